//! Errors in one line: one with everything that has led to it, and several of which one is told.
use std::{error::Error, fmt::Display};

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

/// The first of some outcomes that is an error. Nobody is told of those after it, so they are logged, with what they
/// are of.
pub(crate) fn first<E: Error>(
    of: &dyn Display,
    outcomes: impl IntoIterator<Item = Result<(), E>>,
) -> Result<(), E> {
    let mut first = Ok(());
    for outcome in outcomes {
        match outcome {
            Err(error) if first.is_err() => {
                tracing::warn!(%of, error = self::of(&error), "went wrong, too");
            }
            Err(error) => first = Err(error),
            Ok(()) => {}
        }
    }
    first
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

    #[test]
    fn of_two_errors_one_is_told_and_the_other_logged() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(log.reopen().unwrap())
            .finish();
        let error = |text| Err(io::Error::other(text));
        let outcomes = [Ok(()), error("one"), Ok(()), error("two")];
        let told = tracing::subscriber::with_default(subscriber, || {
            super::first(&"pydict", outcomes).unwrap_err().to_string()
        });
        let log = std::fs::read_to_string(log.path()).unwrap();
        assert_eq!(told, "one");
        assert!(
            log.contains("two") && log.contains("pydict") && !log.contains("one"),
            "{log}"
        );
        assert!(super::first(&"pydict", [Ok::<_, io::Error>(())]).is_ok());
    }
}
