//! Build contexts as tar archives in memory.
use std::{io, path::Path};

use hyper::body::Bytes;

/// A build context in the making.
pub(super) struct Context(tar::Builder<Vec<u8>>);

impl Context {
    pub(super) fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    /// Adds a folder with all that is in it.
    pub(super) fn folder(mut self, folder: &Path) -> io::Result<Self> {
        self.0.follow_symlinks(false);
        self.0.append_dir_all(".", folder)?;
        Ok(self)
    }

    /// Adds a file.
    pub(super) fn file(mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<Self> {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        self.0.append_data(&mut header, path, content)?;
        Ok(self)
    }

    /// The archive.
    pub(super) fn finish(self) -> io::Result<Bytes> {
        Ok(self.0.into_inner()?.into())
    }
}
