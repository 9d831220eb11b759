//! Functions that are being sealed. Their records are written before their handlers are encrypted, under names that
//! the agent does not look at, so that a run of `seal` can go on where an earlier one was killed or has failed.
use std::path::PathBuf;

use super::{
    SealedFunction, StateDir, StateError,
    folder::{read, remove},
};
use crate::replace::{Beside, Replacement as _};

/// Bytes of a record, or a few more than it has.
const RECORD: usize = 4096;

impl StateDir {
    fn begun_record(&self, name: &str) -> PathBuf {
        self.functions().join(format!(".{name}.json"))
    }

    /// Makes sure that records can be written, before anything is done that cannot be taken back.
    ///
    /// # Errors
    /// When they cannot.
    pub fn check_writable(&self) -> Result<(), StateError> {
        let path = self.functions();
        std::fs::create_dir_all(&path)
            .and_then(|()| Beside::new(&path.join("writable"), 0o600))
            // A disk that has no room for content may still have some for a name.
            .and_then(|mut file| file.write(&[0; RECORD]))
            .map_err(|source| StateError::Io { path, source })
    }

    /// Notes that a function is going to be sealed, and how.
    ///
    /// # Errors
    /// When the folder cannot be made or the file not be written.
    pub fn begin(&self, function: &SealedFunction) -> Result<(), StateError> {
        self.write(self.begun_record(&function.name), function)
    }

    /// What was noted of a function whose sealing was not finished.
    ///
    /// # Errors
    /// When there is something that cannot be read.
    pub fn begun(&self, name: &str) -> Result<Option<SealedFunction>, StateError> {
        read(self.begun_record(name))
    }

    /// Takes back what [`Self::begin`] has noted: the sealing is finished.
    ///
    /// # Errors
    /// When the file is there and cannot be removed.
    pub fn finish(&self, name: &str) -> Result<(), StateError> {
        remove(self.begun_record(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function() -> SealedFunction {
        let record = serde_json::json!({
            "name": "pydict", "sealed": "/f/handler.sealed", "base_image": "b", "locked_image": "l",
            "handler_dir": "/home/app/function", "park": "python", "upstream_port": 5000, "stack": {},
        });
        serde_json::from_value(record).unwrap()
    }

    #[test]
    fn a_function_whose_sealing_has_begun_is_known_to_seal_and_to_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        state.begin(&function()).unwrap();
        assert_eq!(state.begun("pydict").unwrap(), Some(function()));
        assert_eq!(state.function("pydict").unwrap(), None);
        assert!(state.all().unwrap().is_empty());
        // It is served before its images are purged, and not finished before they are.
        state.register(&function()).unwrap();
        assert_eq!(state.begun("pydict").unwrap(), Some(function()));
        state.finish("pydict").unwrap();
        assert_eq!(state.begun("pydict").unwrap(), None);
        assert_eq!(state.function("pydict").unwrap(), Some(function()));
    }

    #[test]
    fn of_a_function_that_is_taken_back_nothing_stays() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        state.begin(&function()).unwrap();
        state.register(&function()).unwrap();
        state.unregister("pydict").unwrap();
        state.unregister("pydict").unwrap();
        assert!(
            std::fs::read_dir(state.functions())
                .unwrap()
                .next()
                .is_none()
        );
    }

    #[test]
    fn a_folder_that_takes_no_records_is_told_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path().join("state"));
        state.check_writable().unwrap();
        assert!(
            std::fs::read_dir(state.functions())
                .unwrap()
                .next()
                .is_none()
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = StateDir::new(file.path()).check_writable().unwrap_err();
        assert!(error.to_string().contains("/functions: "), "{error}");
    }
}
