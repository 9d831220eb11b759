//! Puts a product where the agent's build looks for it, with the fingerprint of its sources.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    error::{At as _, Error},
    files,
    fingerprint::Artifact,
};

/// A product under way: the fingerprint is taken before the build, so that a source edited during
/// the build makes the product old.
pub(super) struct Pending {
    artifact: Artifact,
    workspace: PathBuf,
    fingerprint: String,
}

impl Pending {
    /// Takes the fingerprint.
    pub(super) fn new(artifact: Artifact, workspace: &Path) -> Result<Self, Error> {
        let fingerprint = artifact.fingerprint(workspace).at(workspace)?;
        Ok(Self {
            artifact,
            workspace: workspace.to_owned(),
            fingerprint,
        })
    }

    /// Copies what was built. An unchanged file is not touched, so that the agent is not built anew.
    pub(super) fn finish(self, built: &Path) -> Result<(), Error> {
        let path = self.artifact.path(&self.workspace);
        let sources = self.artifact.sources_path(&self.workspace);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).at(folder)?;
        }
        let new = fs::read(built).at(built)?;
        if fs::read(&path).ok().as_ref() != Some(&new) {
            // Without its fingerprint a half-written product counts as missing.
            files::remove_file(&sources)?;
            fs::copy(built, &path).at(&path)?;
        }
        if fs::read_to_string(&sources).ok().as_ref() != Some(&self.fingerprint) {
            fs::write(&sources, &self.fingerprint).at(&sources)?;
        }
        self.artifact
            .verify(&self.workspace)
            .map_err(Error::Needs)?;
        println!(
            "target/artifacts/{}: {} bytes",
            self.artifact.name,
            new.len()
        );
        Ok(())
    }
}
