//! What is wrong with a configuration, all of it in one go.
use std::{fmt, io, path::PathBuf};

/// What `rsfaas seal` is told for each function, and the agent's configuration does not have.
const OF_SEAL: [&str; 2] = ["isolation", "rebuild"];

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no TOML; the parser says where.
    #[error("the configuration {path} is not valid: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, column and cause.
        source: Box<toml::de::Error>,
    },
    /// The file has keys or values that cannot be used.
    #[error("the configuration {path} is not valid: {mistakes}")]
    Mistakes {
        /// The file.
        path: PathBuf,
        /// All of them.
        mistakes: Mistakes,
    },
}

/// The mistakes of a configuration: one in the same line, several in a line each.
#[derive(Debug, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

/// One mistake of a configuration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// A key that is not known, or has a value of another kind.
    #[error("line {line}, `{key}`: {what}")]
    Key {
        /// The line, from 1 on.
        line: usize,
        /// The key.
        key: String,
        /// What the parser said.
        what: String,
    },
    /// A key that is set in another place.
    #[error("line {line}: `{key}` is each function's own: give it to `rsfaas seal` as --{key}")]
    OfSeal {
        /// The line, from 1 on.
        line: usize,
        /// The key.
        key: &'static str,
    },
    /// A key that has a value which cannot be used.
    #[error("{0}")]
    Value(&'static str),
}

impl Mistake {
    /// The mistake of a key in a line, by what the parser says of it.
    pub(super) fn key(line: usize, key: &str, error: &toml::de::Error) -> Self {
        match OF_SEAL.into_iter().find(|of_seal| *of_seal == key) {
            Some(key) => Self::OfSeal { line, key },
            None => Self::Key {
                line,
                key: key.to_owned(),
                what: error.message().to_owned(),
            },
        }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0[..] {
            [mistake] => mistake.fmt(f),
            mistakes => {
                write!(f, "it has {} mistakes", mistakes.len())?;
                mistakes
                    .iter()
                    .try_for_each(|mistake| write!(f, "\n  {mistake}"))
            }
        }
    }
}
