//! A sealed handler on disk: read, opened, and replaced whole or not at all.
use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use super::{
    FILE_NAME, HANDLER_LABEL,
    archive::{Archive, ArchiveError},
    error::FormatError,
    format,
    header::{self, Header},
    key::Key,
};
use crate::{
    fault, regular,
    replace::{self, Beside, ReplaceError, Replacement},
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

impl FileError {
    /// Whether the file is sealed with another key.
    #[must_use]
    pub fn is_wrong_key(&self) -> bool {
        matches!(
            self,
            Self::Format {
                source: FormatError::WrongKey(_),
                ..
            }
        )
    }
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
        let file = regular::open(&self.path).map_err(|source| self.io(source))?;
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
        regular::read(&self.path).map_err(|source| self.io(source))
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
        let mut beside = Beside::new(&self.path, 0o644).map_err(|source| self.io(source))?;
        self.store_by(&mut beside, key, name, archive, time)
    }

    fn store_by(
        &self,
        replacement: &mut impl Replacement,
        key: &Key,
        name: &str,
        archive: &Archive,
        time: u64,
    ) -> Result<(), FileError> {
        let sealed = format::seal(key, name, HANDLER_LABEL, archive.as_tar(), time)
            .map_err(|source| self.format(source))?;
        let opens = |written: &[u8]| {
            format::open(key, name, HANDLER_LABEL, written)
                .is_ok_and(|opened| *opened == archive.as_tar())
        };
        replace::carry_out(replacement, &sealed, opens, fault::pass).map_err(|error| match error {
            ReplaceError::Io(source) => self.io(source),
            ReplaceError::Wrong => FileError::Verify {
                path: self.path.clone(),
            },
        })
    }

    /// Removes what a replacement that was interrupted has left beside the file: ciphertext, whole or in part.
    ///
    /// # Errors
    /// When the folder cannot be read, or a file not be removed.
    pub fn remove_leftovers(&self) -> Result<(), FileError> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        replace::remove_leftovers(folder).map_err(|source| self.io(source))
    }

    /// Encrypts the content again in place, under a fresh salt, subkey and nonce, and under the next key, from when on
    /// another one opens nothing any more. There is no moment at which both do, or neither.
    ///
    /// # Errors
    /// When [`open`](Self::open) or [`store`](Self::store) fails; the old file is untouched then.
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
mod tests;
