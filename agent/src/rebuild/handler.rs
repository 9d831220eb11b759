//! A function's sealed handler, with its header at hand: keys are checked without reading the file, unless somebody has
//! replaced it.
use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use super::{Keys, RebuildError};
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
    header: Mutex<Option<(Version, Header)>>,
    /// Leases that end at the same time encrypt one after the other. They wait for it where that blocks no thread.
    writing: Arc<tokio::sync::Mutex<()>>,
}

/// What tells a file from the one that it has replaced.
#[derive(PartialEq, Eq)]
struct Version {
    file: (u64, u64),
    length: u64,
    changed: (i64, i64),
}

impl Version {
    fn of(path: &Path) -> io::Result<Self> {
        let known = fs::metadata(path)?;
        Ok(Self {
            file: (known.dev(), known.ino()),
            length: known.len(),
            // Unlike the time of the content, nobody can set it: a backup restored has a new one.
            changed: (known.ctime(), known.ctime_nsec()),
        })
    }
}

impl SealedHandler {
    /// The sealed handler at a path; it is read when it is needed.
    #[must_use]
    pub fn new(name: &str, path: &Path) -> Self {
        Self {
            name: name.to_owned(),
            file: SealedFile::new(path),
            header: Mutex::new(None),
            writing: Arc::default(),
        }
    }

    /// The function's name.
    pub(super) fn name(&self) -> &str {
        &self.name
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

    /// Decrypts the handler, in memory: with the next key where another lease that had it has encrypted it afresh.
    ///
    /// # Errors
    /// When the file cannot be read, or does not open with either key.
    pub fn open(&self, key: &Key, next: Option<&Key>) -> Result<Archive, FileError> {
        match (self.file.open(key, &self.name), next) {
            (Err(error), Some(next)) if error.is_wrong_key() => self.file.open(next, &self.name),
            (opened, _) => opened,
        }
    }

    /// Encrypts the handler afresh when it is its turn, under the next key where there is one.
    ///
    /// It stays as it is where neither key opens it any more: another lease had a next key, and has
    /// encrypted it afresh.
    ///
    /// # Errors
    /// When the file cannot be opened or replaced; it is as it was then.
    pub async fn reseal(self: &Arc<Self>, keys: Keys) -> Result<(), RebuildError> {
        let turn = Arc::clone(&self.writing).lock_owned().await;
        let sealed = Arc::clone(self);
        let encrypted = tokio::task::spawn_blocking(move || {
            // For as long as it writes, whoever waits for it.
            let _turn = turn;
            sealed.encrypt(&keys.present, keys.next.as_deref())
        });
        Ok(encrypted.await.map_err(|_| RebuildError::BrokenOff)??)
    }

    /// Encrypts the handler afresh, under the next key where there is one; whoever calls this has the turn.
    pub(crate) fn encrypt(&self, key: &Key, next: Option<&Key>) -> Result<(), FileError> {
        let header = self.file.header()?;
        let opens = |key: &&Key| header.verify_key(key).is_ok();
        let Some(present) = [Some(key), next].into_iter().flatten().find(opens) else {
            return Ok(());
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let next = next.unwrap_or(present);
        self.file.rekey(present, next, &self.name, now.as_secs())
    }

    /// Removes what an interrupted encryption has left beside the handler, which is no plaintext.
    ///
    /// # Errors
    /// When the folder cannot be read, or a file not be removed.
    pub fn remove_leftovers(&self) -> Result<(), FileError> {
        self.file.remove_leftovers()
    }

    fn header(&self) -> Result<Header, FileError> {
        let mut known = self.header.lock().unwrap_or_else(PoisonError::into_inner);
        // Before it is read: one that is replaced meanwhile is read again.
        let version = Version::of(self.file.path()).map_err(|source| FileError::Io {
            path: self.file.path().to_owned(),
            source,
        })?;
        if let Some((of, header)) = known.as_ref()
            && *of == version
        {
            return Ok(header.clone());
        }
        let header = self.file.header()?;
        *known = Some((version, header.clone()));
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::folder::seal_folder;

    fn sealed(key: &Key) -> (tempfile::TempDir, SealedHandler) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("handler.py"), "def handle(req): pass\n").unwrap();
        seal_folder(folder.path(), "pydict", key, 1).unwrap();
        let handler = SealedHandler::new("pydict", &folder.path().join(crate::seal::FILE_NAME));
        (folder, handler)
    }

    #[test]
    fn the_next_key_opens_and_the_old_one_is_another_ones_key() {
        let [old, next] = [Key::generate().unwrap(), Key::generate().unwrap()];
        let (_folder, handler) = sealed(&old);
        assert!(handler.verify(&old).unwrap());
        handler.encrypt(&old, Some(&next)).unwrap();
        assert_eq!(handler.key_id(), Some(next.id().to_string()));
        assert!(handler.verify(&next).unwrap() && !handler.verify(&old).unwrap());
        assert!(handler.open(&next, None).is_ok() && handler.open(&old, None).is_err());
    }

    #[test]
    fn who_waits_with_a_next_key_has_it_opened_once_another_lease_has_changed_the_key() {
        let [old, next, other] = [(); 3].map(|()| Key::generate().unwrap());
        let (_folder, handler) = sealed(&old);
        assert!(handler.open(&old, Some(&next)).is_ok());
        handler.encrypt(&old, Some(&next)).unwrap();
        assert!(handler.open(&old, Some(&next)).is_ok());
        let refused = handler.open(&old, Some(&other));
        assert!(refused.is_err_and(|error| error.is_wrong_key()));
    }

    #[test]
    fn a_handler_that_somebody_else_replaces_opens_with_its_new_key_at_once() {
        let [old, next] = [Key::generate().unwrap(), Key::generate().unwrap()];
        let (_folder, handler) = sealed(&old);
        assert!(handler.verify(&old).unwrap());
        let restored = SealedHandler::new("pydict", handler.file.path());
        restored.encrypt(&old, Some(&next)).unwrap();
        assert!(handler.verify(&next).unwrap());
        assert!(!handler.verify(&old).unwrap());
        assert_eq!(handler.key_id(), Some(next.id().to_string()));
        // Written over in place, as `cp` does it.
        let bytes = fs::read(handler.file.path()).unwrap();
        restored.encrypt(&next, Some(&old)).unwrap();
        assert!(handler.verify(&old).unwrap());
        // The file system's clock has ticks.
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::write(handler.file.path(), bytes).unwrap();
        assert!(handler.verify(&next).unwrap());
    }

    #[test]
    fn a_handler_that_is_gone_is_no_wrong_key() {
        let key = Key::generate().unwrap();
        let (_folder, handler) = sealed(&key);
        assert!(handler.verify(&key).unwrap());
        fs::remove_file(handler.file.path()).unwrap();
        assert!(matches!(handler.verify(&key), Err(FileError::Io { .. })));
    }

    #[test]
    fn leases_that_end_after_the_key_has_changed_leave_it_so() {
        let [old, next] = [Key::generate().unwrap(), Key::generate().unwrap()];
        let (_folder, handler) = sealed(&old);
        handler.encrypt(&old, Some(&next)).unwrap();
        for late in [None, Some(&next)] {
            handler.encrypt(&old, late).unwrap();
            assert!(handler.verify(&next).unwrap(), "{}", late.is_some());
        }
    }
}
