//! The state folder: a record for each sealed function, whole or not there.
use std::{
    io,
    path::{Path, PathBuf},
};

use super::SealedFunction;
use crate::{not_found::ignore_not_found, replace};

/// The agent's folder for what outlives it.
#[derive(Debug, Clone)]
pub struct StateDir {
    root: PathBuf,
}

/// What can go wrong in the state folder; each variant names the path.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file or folder could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A record is not valid JSON, lacks a field, or is another function's.
    #[error(
        "{path}: not the record of a sealed function: {source}; seal the function again, or remove the file where it \
         is nobody's record"
    )]
    Record {
        /// The record.
        path: PathBuf,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// Another agent or sweep is at work.
    #[error(
        "an agent, or a sweep, runs already with the state folder {path}: {by}; one host has one agent for it"
    )]
    Claimed {
        /// The folder.
        path: PathBuf,
        /// Who, in words.
        by: String,
    },
}

impl StateDir {
    /// Where the agent keeps its state unless told otherwise.
    pub const DEFAULT: &'static str = "/var/lib/rsfaas";

    /// Names a state folder; nothing is created yet.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of the records, one `NAME.json` a function.
    #[must_use]
    pub fn functions(&self) -> PathBuf {
        self.root.join("functions")
    }

    fn record(&self, name: &str) -> PathBuf {
        self.functions().join(format!("{name}.json"))
    }

    /// Writes a record, whole or not at all.
    ///
    /// # Errors
    /// When the folder cannot be made or the file not be written.
    pub fn register(&self, function: &SealedFunction) -> Result<(), StateError> {
        self.write(self.record(&function.name), function)
    }

    pub(super) fn write(&self, path: PathBuf, function: &SealedFunction) -> Result<(), StateError> {
        let io = |source| StateError::Io {
            path: path.clone(),
            source,
        };
        std::fs::create_dir_all(self.functions()).map_err(io)?;
        let text = serde_json::to_vec_pretty(function).map_err(|source| StateError::Record {
            path: path.clone(),
            source,
        })?;
        replace::replace(&path, &text).map_err(io)
    }

    /// Removes what was left where writing was interrupted.
    ///
    /// # Errors
    /// When a folder cannot be read, or a file not be removed.
    pub fn remove_leftovers(&self) -> Result<(), StateError> {
        for folder in [self.root.clone(), self.functions()] {
            replace::remove_leftovers(&folder).map_err(|source| StateError::Io {
                path: folder,
                source,
            })?;
        }
        Ok(())
    }

    /// Removes what is known of a function; one of which nothing is known is no error.
    ///
    /// # Errors
    /// When a file is there and cannot be removed.
    pub fn unregister(&self, name: &str) -> Result<(), StateError> {
        remove(self.record(name))?;
        self.finish(name)
    }

    /// One record, or `None` where the function is not sealed.
    ///
    /// # Errors
    /// When the record is there and cannot be read, or is another function's: a copy must not take the place of what it
    /// was copied from.
    pub fn function(&self, name: &str) -> Result<Option<SealedFunction>, StateError> {
        let path = self.record(name);
        match read(path.clone())? {
            Some(function) if function.name != name => {
                let what = format!("the name inside is {:?}", function.name);
                let source = serde::de::Error::custom(what);
                Err(StateError::Record { path, source })
            }
            function => Ok(function),
        }
    }

    /// Every record, by name; a record that cannot be read stands as its error.
    ///
    /// # Errors
    /// When the folder cannot be read to its end. One that is not there tells nothing of functions: the agent makes it,
    /// and a backup that is being restored comes in its place.
    pub fn all(&self) -> Result<Vec<Result<SealedFunction, StateError>>, StateError> {
        let folder = self.functions();
        let io = |source| StateError::Io {
            path: folder.clone(),
            source,
        };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(io)? {
            // What is no text is no function's name.
            let file = entry.map_err(io)?.file_name().into_string();
            let name = file
                .ok()
                .and_then(|file| Some(file.strip_suffix(".json")?.to_owned()));
            names.extend(name.filter(|name| !name.starts_with('.')));
        }
        names.sort();
        Ok(names
            .iter()
            .filter_map(|name| self.function(name).transpose())
            .collect())
    }
}

pub(super) fn read(path: PathBuf) -> Result<Option<SealedFunction>, StateError> {
    match ignore_not_found(std::fs::read(&path)) {
        Ok(Some(text)) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|source| StateError::Record { path, source }),
        Ok(None) => Ok(None),
        Err(source) => Err(StateError::Io { path, source }),
    }
}

pub(super) fn remove(path: PathBuf) -> Result<(), StateError> {
    match ignore_not_found(std::fs::remove_file(&path)) {
        Ok(_) => Ok(()),
        Err(source) => Err(StateError::Io { path, source }),
    }
}
