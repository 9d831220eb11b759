//! Files and folders that need not be there.
use std::io;

/// `None` where what was to be read or removed is not there.
pub(crate) fn ignore_not_found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_not_there_is_no_error_and_whatever_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        assert!(ignore_not_found(fs::read(&file)).unwrap().is_none());
        fs::write(&file, "text").unwrap();
        assert_eq!(ignore_not_found(fs::read(&file)).unwrap().unwrap(), b"text");
        let error = ignore_not_found(fs::read(file.join("below"))).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
    }
}
