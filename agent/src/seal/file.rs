//! A sealed handler on disk: read, opened, and replaced whole or not at all.
use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
};

use super::{
    FILE_NAME, HANDLER_LABEL,
    archive::{Archive, ArchiveError, TEMP_PREFIX},
    format::{self, FormatError},
    header::{self, Header},
    key::Key,
};

/// What can go wrong with a sealed file; names the file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file cannot be read or written.
    #[error("{path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file does not open.
    #[error("{path}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        source: FormatError,
    },
    /// The file opens, but not to a handler folder.
    #[error("{path}")]
    Archive {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ArchiveError,
    },
    /// What was written does not read back as what was meant.
    #[error("{path}: what was written does not open to what was sealed; the old file stays")]
    Verify {
        /// The file.
        path: PathBuf,
    },
}

/// A sealed handler, by its path.
#[derive(Debug, Clone)]
pub struct SealedFile {
    path: PathBuf,
}

impl SealedFile {
    /// The sealed file at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The sealed file of a handler folder.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self::new(folder.join(FILE_NAME))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is one.
    ///
    /// # Errors
    /// When the folder cannot be looked into.
    pub fn exists(&self) -> Result<bool, FileError> {
        self.path.try_exists().map_err(|source| self.io(source))
    }

    /// The header alone: no key is needed, and the payload is not read.
    ///
    /// # Errors
    /// When the file cannot be read, or does not begin with a good header.
    pub fn header(&self) -> Result<Header, FileError> {
        let file = fs::File::open(&self.path).map_err(|source| self.io(source))?;
        let mut head = Vec::with_capacity(header::MAX_LEN);
        file.take(header::MAX_LEN as u64)
            .read_to_end(&mut head)
            .map_err(|source| self.io(source))?;
        Header::parse(&head).map_err(|source| self.format(source))
    }

    /// The ciphertext.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&self) -> Result<Vec<u8>, FileError> {
        fs::read(&self.path).map_err(|source| self.io(source))
    }

    /// The handler folder in memory.
    ///
    /// # Errors
    /// When the file cannot be read, does not open for this function with this key, or holds
    /// anything but a handler folder.
    pub fn open(&self, key: &Key, name: &str) -> Result<Archive, FileError> {
        let plaintext = format::open(key, name, HANDLER_LABEL, &self.read()?)
            .map_err(|source| self.format(source))?;
        Archive::parse(plaintext).map_err(|source| FileError::Archive {
            path: self.path.clone(),
            source,
        })
    }

    /// Seals `archive` into this file, in place of what was there. What was written is read back
    /// and opened before it takes the old file's place; mode and owner stay (a new file gets mode
    /// 0644 and the owner of its folder).
    ///
    /// `time` is in seconds since 1970.
    ///
    /// # Errors
    /// When it cannot be sealed, written or read back; the old file is untouched then.
    pub fn store(
        &self,
        key: &Key,
        name: &str,
        archive: &Archive,
        time: u64,
    ) -> Result<(), FileError> {
        let io = |source| self.io(source);
        let sealed = format::seal(key, name, HANDLER_LABEL, archive.as_tar(), time)
            .map_err(|source| self.format(source))?;
        let folder = match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let mut temporary = tempfile::Builder::new()
            .prefix(TEMP_PREFIX)
            .tempfile_in(folder)
            .map_err(io)?;
        temporary.write_all(&sealed).map_err(io)?;
        let (mode, like) = match fs::metadata(&self.path) {
            Ok(status) => (status.mode() & 0o777, status),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (0o644, fs::metadata(folder).map_err(io)?)
            }
            Err(error) => return Err(io(error)),
        };
        let file = temporary.as_file();
        let status = file.metadata().map_err(io)?;
        if (status.uid(), status.gid()) != (like.uid(), like.gid()) {
            fchown(file, Some(like.uid()), Some(like.gid())).map_err(io)?;
        }
        file.set_permissions(fs::Permissions::from_mode(mode))
            .map_err(io)?;
        file.sync_all().map_err(io)?;
        let written = fs::read(temporary.path()).map_err(io)?;
        let opened = format::open(key, name, HANDLER_LABEL, &written);
        if !opened.is_ok_and(|opened| *opened == archive.as_tar()) {
            return Err(FileError::Verify {
                path: self.path.clone(),
            });
        }
        temporary
            .persist(&self.path)
            .map_err(|error| io(error.error))?;
        fs::File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(io)
    }

    /// Encrypts the content again in place, under a fresh salt, subkey and nonce.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`store`](Self::store); the old file is untouched then.
    pub fn reseal(&self, key: &Key, name: &str, time: u64) -> Result<(), FileError> {
        self.rekey(key, key, name, time)
    }

    /// The same under another key, from when on the old one opens nothing any more. There is no moment at
    /// which both do, or neither.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`store`](Self::store); the old file is untouched then.
    pub fn rekey(&self, key: &Key, next: &Key, name: &str, time: u64) -> Result<(), FileError> {
        self.store(next, name, &self.open(key, name)?, time)
    }

    fn io(&self, source: io::Error) -> FileError {
        FileError::Io {
            path: self.path.clone(),
            source,
        }
    }

    fn format(&self, source: FormatError) -> FileError {
        FileError::Format {
            path: self.path.clone(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::archive::Survey;

    fn sealed() -> (tempfile::TempDir, Key, SealedFile) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join("handler.py"),
            "def handle(req): return req\n",
        )
        .unwrap();
        let archive = Survey::of(folder.path()).unwrap().read().unwrap();
        let (key, file) = (
            Key::generate().unwrap(),
            SealedFile::in_folder(folder.path()),
        );
        file.store(&key, "pydict", &archive, 1).unwrap();
        (folder, key, file)
    }

    #[test]
    fn resealing_changes_the_bytes_and_keeps_content_mode_and_owner() {
        let (_folder, key, file) = sealed();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o640)).unwrap();
        let before = file.read().unwrap();
        file.reseal(&key, "pydict", 2).unwrap();
        let after = file.read().unwrap();
        assert_eq!(before.len(), after.len());
        assert_ne!(before[16..48], after[16..48], "salt");
        assert_eq!(file.header().unwrap().sealed_at(), 2);
        assert_eq!(fs::metadata(file.path()).unwrap().mode() & 0o777, 0o640);
        assert_eq!(file.open(&key, "pydict").unwrap().entries().len(), 1);
    }

    #[test]
    fn after_the_key_has_changed_the_new_one_opens_and_the_old_one_does_not() {
        let (_folder, key, file) = sealed();
        let next = Key::generate().unwrap();
        file.rekey(&key, &next, "pydict", 2).unwrap();
        assert_eq!(file.header().unwrap().key_id(), next.id());
        assert_eq!(file.open(&next, "pydict").unwrap().entries().len(), 1);
        let refused = file.open(&key, "pydict").err();
        assert!(matches!(
            refused,
            Some(FileError::Format {
                source: FormatError::WrongKey(_),
                ..
            })
        ));
    }

    #[test]
    fn a_failed_resealing_leaves_the_file_and_nothing_beside_it() {
        let (folder, _key, file) = sealed();
        let before = file.read().unwrap();
        let other = Key::generate().unwrap();
        assert!(matches!(
            file.reseal(&other, "pydict", 2),
            Err(FileError::Format { .. })
        ));
        assert_eq!(file.read().unwrap(), before);
        assert!(Survey::of(folder.path()).unwrap().leftovers.is_empty());
    }

    #[test]
    fn the_header_of_a_file_cut_short_in_its_payload_is_still_told() {
        let (_folder, key, file) = sealed();
        let bytes = file.read().unwrap();
        fs::write(file.path(), &bytes[..200]).unwrap();
        assert_eq!(file.header().unwrap().key_id(), key.id());
        assert!(matches!(
            file.open(&key, "pydict").err(),
            Some(FileError::Format {
                source: FormatError::Truncated { .. },
                ..
            })
        ));
    }
}
