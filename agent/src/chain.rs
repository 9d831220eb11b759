//! An error with everything that has led to it, in one line.
use std::error::Error;

/// The error's text, and those of its causes that it does not name itself.
pub(crate) fn of(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut told = line.clone();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !told.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
            told = text;
        }
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use std::io;

    use crate::{rebuild::RebuildError, seal::file::FileError};

    #[test]
    fn a_cause_behind_an_error_that_names_its_own_is_told_once() {
        let source = io::Error::other("no space");
        let error = RebuildError::Seal(FileError::Io {
            path: "/f".into(),
            source,
        });
        assert_eq!(super::of(&error), "the sealed handler: /f: no space");
    }
}
