//! What a build product was made from: one fingerprint, which `cargo xtask` writes beside the product
//! and `agent/build.rs` (which includes this file) compares before the agent, which embeds the product by its
//! path, is built, so that an old program is a build error and never runs silently.
//!
//! The fingerprint covers the product's own sources, not the lock file: `cargo xtask build-*` always
//! asks cargo, which knows about dependencies.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

/// A file that the agent embeds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Artifact {
    /// Its name under `target/artifacts/`.
    pub(crate) name: &'static str,
    /// The folder of its sources, relative to the workspace.
    pub(crate) sources: &'static str,
    /// The command that makes it.
    pub(crate) command: &'static str,
}

/// The eBPF object.
pub(crate) const SPOTTER: Artifact = Artifact {
    name: "spotter.o",
    sources: "agent-ebpf",
    command: "cargo xtask build-ebpf",
};
/// The program that parks a process.
pub(crate) const GATE: Artifact = Artifact {
    name: "gate",
    sources: "agent/shim",
    command: "cargo xtask build-shim",
};
/// The locked function.
pub(crate) const LOCKED: Artifact = Artifact {
    name: "locked",
    sources: "agent/shim",
    command: "cargo xtask build-shim",
};

impl Artifact {
    /// Where the product lies.
    pub(crate) fn path(&self, workspace: &Path) -> PathBuf {
        workspace.join("target/artifacts").join(self.name)
    }

    /// Where the fingerprint of what it was made from lies.
    pub(crate) fn sources_path(&self, workspace: &Path) -> PathBuf {
        workspace
            .join("target/artifacts")
            .join(format!("{}.sources", self.name))
    }

    /// The fingerprint of the sources as they are now, in hexadecimal.
    ///
    /// # Errors
    /// When a source cannot be read.
    pub(crate) fn fingerprint(&self, workspace: &Path) -> io::Result<String> {
        of_folder(&workspace.join(self.sources))
    }

    /// Whether the product is there and made from the sources as they are now.
    ///
    /// # Errors
    /// One line that says what is wrong and which command puts it right.
    pub(crate) fn verify(&self, workspace: &Path) -> Result<(), String> {
        let Self {
            name,
            sources,
            command,
        } = self;
        let built_from = fs::read_to_string(self.sources_path(workspace)).unwrap_or_default();
        if built_from.is_empty() || !self.path(workspace).is_file() {
            return Err(format!(
                "target/artifacts/{name} is missing; run `{command}`"
            ));
        }
        let now = self
            .fingerprint(workspace)
            .map_err(|error| format!("cannot read {sources}/: {error}"))?;
        if built_from.trim() == now {
            Ok(())
        } else {
            Err(format!(
                "target/artifacts/{name} is older than {sources}/; run `{command}`"
            ))
        }
    }
}

/// SHA-256, in hexadecimal, over the files of a folder sorted by their relative path: for each the
/// path's length (eight bytes, little-endian), the path, the content's length, the content. Folders
/// named `target` are left out.
///
/// # Errors
/// When a folder or file cannot be read.
pub(crate) fn of_folder(folder: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    collect(folder, Path::new(""), &mut files)?;
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let path = file.to_string_lossy();
        let content = fs::read(folder.join(&file))?;
        for part in [path.as_bytes(), &content] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

fn collect(root: &Path, relative: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(relative))? {
        let entry = entry?;
        let path = relative.join(entry.file_name());
        if !entry.file_type()?.is_dir() {
            files.push(path);
        } else if entry.file_name() != "target" {
            collect(root, &path, files)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARTIFACT: Artifact = Artifact {
        name: "thing",
        sources: "thing-src",
        command: "cargo xtask build-thing",
    };

    /// A workspace of its own with one source file.
    fn workspace() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("thing-src/target")).unwrap();
        fs::create_dir_all(root.join("target/artifacts")).unwrap();
        fs::write(root.join("thing-src/main.rs"), "fn main() {}").unwrap();
        folder
    }

    fn build(root: &Path) {
        fs::write(ARTIFACT.path(root), "product").unwrap();
        fs::write(
            ARTIFACT.sources_path(root),
            ARTIFACT.fingerprint(root).unwrap(),
        )
        .unwrap();
    }

    #[test]
    fn a_product_of_the_present_sources_is_accepted() {
        let folder = workspace();
        let root = folder.path();
        build(root);
        fs::write(root.join("thing-src/target/leftover"), "no source").unwrap();
        assert_eq!(ARTIFACT.verify(root), Ok(()));
    }

    #[test]
    fn a_missing_product_names_the_command_that_makes_it() {
        let folder = workspace();
        let root = folder.path();
        assert_eq!(
            ARTIFACT.verify(root),
            Err("target/artifacts/thing is missing; run `cargo xtask build-thing`".into())
        );
    }

    #[test]
    fn a_changed_source_makes_the_product_old() {
        let folder = workspace();
        let root = folder.path();
        build(root);
        fs::write(root.join("thing-src/main.rs"), "fn main() { }").unwrap();
        assert_eq!(
            ARTIFACT.verify(root),
            Err(
                "target/artifacts/thing is older than thing-src/; run `cargo xtask build-thing`"
                    .into()
            )
        );
    }

    #[test]
    fn moving_content_between_files_changes_the_fingerprint() {
        let folder = workspace();
        let root = folder.path();
        fs::write(root.join("thing-src/a"), "xy").unwrap();
        fs::write(root.join("thing-src/b"), "z").unwrap();
        let before = ARTIFACT.fingerprint(root).unwrap();
        fs::write(root.join("thing-src/a"), "x").unwrap();
        fs::write(root.join("thing-src/b"), "yz").unwrap();
        assert_ne!(ARTIFACT.fingerprint(root).unwrap(), before);
    }
}
