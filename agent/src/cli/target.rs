//! The `NAME|PATH` argument: a sealed function of this host, or a sealed file anywhere.
use std::path::{Path, PathBuf};

use super::exit::{Exit, Failure};
use crate::{
    seal::{FILE_NAME, file::SealedFile},
    state::StateDir,
};

/// What to look at.
#[derive(Debug, clap::Args)]
pub(super) struct Target {
    /// A sealed function's name; or the path of a sealed file, or of the folder that holds it.
    #[arg(value_name = "NAME|PATH")]
    target: PathBuf,
    /// The agent's state folder, where names are looked up.
    #[arg(long, value_name = "DIR", default_value = StateDir::DEFAULT)]
    state_dir: PathBuf,
}

/// A sealed file, and the function that it must belong to.
pub(super) struct Found {
    pub(super) file: SealedFile,
    pub(super) name: String,
}

impl Target {
    /// Finds the file. A name that this host has sealed comes first; `./NAME` is always a path.
    pub(super) fn find(&self) -> Result<Found, Failure> {
        let name = self.target.to_str().filter(|text| !text.contains('/'));
        if let Some(name) = name {
            if let Some(function) = StateDir::new(&self.state_dir).function(name)? {
                return Ok(Found {
                    file: SealedFile::new(function.sealed),
                    name: function.name,
                });
            }
            if !self.target.exists() {
                let state = self.state_dir.display();
                let message = format!(
                    "{name} is neither a sealed function of this host (according to {state}) nor \
                     a file or folder here"
                );
                return Err(Failure::new(Exit::NotSealed, message));
            }
        }
        let file = SealedFile::new(sealed_path(&self.target));
        if self.target.is_dir() && !file.exists()? {
            let message = format!(
                "{} is not sealed: no {FILE_NAME} there",
                self.target.display()
            );
            return Err(Failure::new(Exit::NotSealed, message));
        }
        let name = file.header()?.name().to_owned();
        Ok(Found { file, name })
    }
}

fn sealed_path(path: &Path) -> PathBuf {
    if path.is_dir() {
        path.join(FILE_NAME)
    } else {
        path.to_owned()
    }
}
