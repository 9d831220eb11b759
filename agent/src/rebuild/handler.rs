//! A function's sealed handler, with its header at hand: keys are checked without touching the disk.
use std::{
    path::Path,
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::seal::{
    archive::Archive,
    file::{FileError, SealedFile},
    header::Header,
    key::Key,
};

/// The sealed handler of one function.
pub struct SealedHandler {
    name: String,
    file: SealedFile,
    header: Mutex<Option<Header>>,
    /// Leases that end at the same time encrypt one after the other.
    writing: Mutex<()>,
}

impl SealedHandler {
    /// The sealed handler at a path; it is read when it is needed.
    #[must_use]
    pub fn new(name: &str, path: &Path) -> Self {
        Self {
            name: name.to_owned(),
            file: SealedFile::new(path),
            header: Mutex::new(None),
            writing: Mutex::new(()),
        }
    }

    /// Whether a key is this handler's, in constant time.
    ///
    /// # Errors
    /// When the file has no readable header.
    pub fn verify(&self, key: &Key) -> Result<bool, FileError> {
        Ok(self.header()?.verify_key(key).is_ok())
    }

    /// The public name of the handler's key; `None` where the file cannot be read.
    #[must_use]
    pub fn key_id(&self) -> Option<String> {
        self.header().ok().map(|header| header.key_id().to_string())
    }

    /// Decrypts the handler, in memory.
    ///
    /// # Errors
    /// When the file cannot be read, or does not open with this key.
    pub fn open(&self, key: &Key) -> Result<Archive, FileError> {
        self.file.open(key, &self.name)
    }

    /// Encrypts the handler afresh, under the next key where there is one.
    ///
    /// It stays as it is where neither key opens it any more: another lease had a next key, and has
    /// encrypted it afresh.
    ///
    /// # Errors
    /// When the file cannot be opened or replaced; it is as it was then.
    pub fn reseal(&self, key: &Key, next: Option<&Key>) -> Result<(), FileError> {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let header = self.file.header()?;
        let opens = |key: &&Key| header.verify_key(key).is_ok();
        let Some(present) = [Some(key), next].into_iter().flatten().find(opens) else {
            return Ok(());
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let next = next.unwrap_or(present);
        let result = self.file.rekey(present, next, &self.name, now.as_secs());
        *self.header.lock().unwrap_or_else(PoisonError::into_inner) = None;
        result
    }

    /// Removes what an interrupted encryption has left beside the handler, which is no plaintext.
    ///
    /// # Errors
    /// When the folder cannot be read, or a file not be removed.
    pub fn remove_leftovers(&self) -> Result<(), FileError> {
        self.file.remove_leftovers()
    }

    fn header(&self) -> Result<Header, FileError> {
        let mut header = self.header.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(header) = header.as_ref() {
            return Ok(header.clone());
        }
        Ok(header.insert(self.file.header()?).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::folder::seal_folder;

    fn sealed(key: &Key) -> (tempfile::TempDir, SealedHandler) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("handler.py"), "def handle(req): pass\n").unwrap();
        seal_folder(folder.path(), "pydict", key, 1).unwrap();
        let handler = SealedHandler::new("pydict", &folder.path().join(crate::seal::FILE_NAME));
        (folder, handler)
    }

    #[test]
    fn the_next_key_opens_and_the_old_one_is_another_ones_key() {
        let [old, next] = [Key::generate().unwrap(), Key::generate().unwrap()];
        let (_folder, handler) = sealed(&old);
        assert!(handler.verify(&old).unwrap());
        handler.reseal(&old, Some(&next)).unwrap();
        assert_eq!(handler.key_id(), Some(next.id().to_string()));
        assert!(handler.verify(&next).unwrap() && !handler.verify(&old).unwrap());
        assert!(handler.open(&next).is_ok() && handler.open(&old).is_err());
    }

    #[test]
    fn leases_that_end_after_the_key_has_changed_leave_it_so() {
        let [old, next] = [Key::generate().unwrap(), Key::generate().unwrap()];
        let (_folder, handler) = sealed(&old);
        handler.reseal(&old, Some(&next)).unwrap();
        for late in [None, Some(&next)] {
            handler.reseal(&old, late).unwrap();
            assert!(handler.verify(&next).unwrap(), "{}", late.is_some());
        }
    }
}
