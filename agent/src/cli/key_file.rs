//! The `--key-file` argument that several subcommands share.
use std::path::{Path, PathBuf};

use super::exit::Failure;
use crate::{
    memory_protection,
    seal::{key::Key, source::KeySource},
};

/// Where the key is.
#[derive(Debug, clap::Args)]
pub(super) struct KeyFile {
    /// File that holds the key, or `-` for standard input. Keys are never given as arguments.
    #[arg(long, value_name = "FILE|-")]
    key_file: KeySource,
}

impl KeyFile {
    /// Where the key's file really is; none where it is a pipe.
    pub(super) fn place(&self) -> Option<PathBuf> {
        let path = match &self.key_file {
            KeySource::Stdin => Path::new("/dev/stdin"),
            KeySource::File(path) => path,
        };
        path.canonicalize().ok()
    }

    /// Reads the key; warns where others may read its file.
    pub(super) fn read(&self) -> Result<Key, Failure> {
        // Here and from here on keys and plaintext pass through this process.
        memory_protection::no_core_dumps();
        let read = self.key_file.read()?;
        if let Some(mode) = read.exposed {
            let file = &self.key_file;
            tell!(
                "warning: {file} has mode {mode:04o}, so others on this host may read the key; \
                 run `chmod 600 {file}`"
            );
        }
        Ok(read.key)
    }
}
