//! Build contexts as tar archives in memory.
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use hyper::body::Bytes;
use zeroize::Zeroizing;

/// Room that an entry's headers take at most: its own, and those of a long path and a long target.
const ENTRY: usize = 8 * 512;

/// A build context in the making. It may hold plaintext: wiped when dropped, also by whoever sends it.
pub(super) struct Context {
    tar: tar::Builder<Buffer>,
    /// Time of every entry, in seconds since 1970.
    time: u64,
}

/// A buffer that is wiped when dropped.
struct Buffer(Zeroizing<Vec<u8>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Context {
    pub(super) fn new() -> Self {
        Self::with_capacity(0, 0)
    }

    /// With room for so many entries whose contents have so many bytes in all.
    pub(super) fn with_capacity(entries: usize, contents: usize) -> Self {
        let buffer = Vec::with_capacity((entries + 1) * ENTRY + contents);
        Self {
            tar: tar::Builder::new(Buffer(Zeroizing::new(buffer))),
            time: 0,
        }
    }

    /// With entries of a time.
    pub(super) fn at(mut self, time: SystemTime) -> Self {
        self.time = time
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        self
    }

    /// Adds a folder of the disk with all that is in it.
    pub(super) fn folder(self, folder: &Path) -> io::Result<Self> {
        self.folder_without(folder, &|_| false)
    }

    /// Adds a folder of the disk without some files and links, told by their paths in the folder.
    pub(super) fn folder_without(
        mut self,
        folder: &Path,
        without: &dyn Fn(&Path) -> bool,
    ) -> io::Result<Self> {
        self.tar.follow_symlinks(false);
        let mut paths = vec![PathBuf::new()];
        while let Some(path) = paths.pop() {
            for entry in fs::read_dir(folder.join(&path))? {
                let entry = entry?;
                let path = path.join(entry.file_name());
                if entry.file_type()?.is_dir() {
                    self.tar.append_dir(&path, entry.path())?;
                    paths.push(path);
                } else if !without(&path) {
                    self.tar.append_path_with_name(entry.path(), &path)?;
                }
            }
        }
        Ok(self)
    }

    /// Adds a file.
    pub(super) fn file(
        mut self,
        path: impl AsRef<Path>,
        mode: u32,
        content: &[u8],
    ) -> io::Result<Self> {
        let mut header = self.header(tar::EntryType::Regular, mode);
        header.set_size(content.len() as u64);
        self.tar.append_data(&mut header, path, content)?;
        Ok(self)
    }

    /// Adds an empty folder.
    pub(super) fn dir(mut self, path: &Path, mode: u32) -> io::Result<Self> {
        let mut header = self.header(tar::EntryType::Directory, mode);
        self.tar.append_data(&mut header, path, io::empty())?;
        Ok(self)
    }

    /// Adds a symbolic link.
    pub(super) fn link(mut self, path: &Path, target: &Path) -> io::Result<Self> {
        let mut header = self.header(tar::EntryType::Symlink, 0o777);
        self.tar.append_link(&mut header, path, target)?;
        Ok(self)
    }

    fn header(&self, kind: tar::EntryType, mode: u32) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(self.time);
        header.set_size(0);
        header
    }

    /// The archive.
    pub(super) fn finish(self) -> io::Result<Bytes> {
        Ok(Bytes::from_owner(self.tar.into_inner()?))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn files_folders_and_links_are_there_as_they_were_added() {
        let context = Context::with_capacity(3, 5)
            .file("Dockerfile", 0o644, b"FROM x")
            .and_then(|context| context.dir(Path::new("handler/shop"), 0o755))
            .and_then(|context| context.file(Path::new("handler/shop/a.py"), 0o600, b"plain"))
            .and_then(|context| context.link(Path::new("handler/b.py"), Path::new("shop/a.py")))
            .unwrap();
        let bytes = context.finish().unwrap();
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut seen = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let link = entry
                .link_name()
                .unwrap()
                .map(|link| link.display().to_string());
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            seen.push((path, entry.header().mode().unwrap(), link, content));
        }
        let entry = |path: &str, mode, link: Option<&str>, content: &str| {
            (
                path.to_owned(),
                mode,
                link.map(str::to_owned),
                content.to_owned(),
            )
        };
        assert_eq!(
            seen,
            [
                entry("Dockerfile", 0o644, None, "FROM x"),
                entry("handler/shop", 0o755, None, ""),
                entry("handler/shop/a.py", 0o600, None, "plain"),
                entry("handler/b.py", 0o777, Some("shop/a.py"), ""),
            ]
        );
    }

    #[test]
    fn a_context_that_was_sized_never_moves() {
        let context = Context::with_capacity(1, 100_000);
        let start = context.tar.get_ref().0.as_ptr();
        let context = context.file("a", 0o644, &vec![1; 100_000]).unwrap();
        assert_eq!(start, context.tar.get_ref().0.as_ptr());
    }
}
