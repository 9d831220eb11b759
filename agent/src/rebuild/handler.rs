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
}

impl SealedHandler {
    /// The sealed handler at a path; it is read when it is needed.
    #[must_use]
    pub fn new(name: &str, path: &Path) -> Self {
        Self {
            name: name.to_owned(),
            file: SealedFile::new(path),
            header: Mutex::new(None),
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

    /// Encrypts the handler afresh.
    ///
    /// # Errors
    /// When the file cannot be opened or replaced; it is as it was then.
    pub fn reseal(&self, key: &Key) -> Result<(), FileError> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let result = self.file.reseal(key, &self.name, now.as_secs());
        *self.header.lock().unwrap_or_else(PoisonError::into_inner) = None;
        result
    }

    fn header(&self) -> Result<Header, FileError> {
        let mut header = self.header.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(header) = header.as_ref() {
            return Ok(header.clone());
        }
        Ok(header.insert(self.file.header()?).clone())
    }
}
