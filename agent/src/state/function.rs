//! One sealed function, as the state folder keeps it.
use std::{
    io,
    path::{Path, PathBuf},
};

use rsfaas_shim::DEFAULT_KEY_HEADER;
use serde::{Deserialize, Serialize};

use crate::{image::GATE_PATH, replace, stack::Deployment, there::if_there};

/// How the unlocked container comes to its handler.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Rebuild {
    /// Parked container, handler delivered into its mount namespace, in memory.
    #[default]
    Mount,
    /// An image built at each unlock: plaintext touches the engine's and the registry's disks.
    Image,
}

/// Who shares an unlocked container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Every connection with the key.
    #[default]
    Shared,
    /// Nobody: each connection with the key has one of its own, which ends with it.
    Connection,
}

/// Where a parked process waits for its handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Park {
    /// Inside the import of the handler package, everything else loaded.
    Python,
    /// At the `require` of the handler folder, everything else loaded.
    Node,
    /// Before the process starts, behind the gate binary.
    Gate,
    /// Before the container starts anything, behind the gate binary, which stays its first process.
    Container,
}

/// What the agent needs to know of a sealed function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SealedFunction {
    /// The function's OpenFaaS name, also the record's file name.
    pub name: String,
    /// Absolute path of the sealed handler; authoritative, replaced atomically at each close.
    pub sealed: PathBuf,
    /// Image without a handler (and with the gate), as the provider pulls it.
    pub base_image: String,
    /// Image of the locked function.
    pub locked_image: String,
    /// What is mounted in the container, absolute: the handler folder, or the last place where something that
    /// was built of the handler is delivered.
    pub handler_dir: PathBuf,
    /// Where the process waits.
    pub park: Park,
    /// Port on which the function's own process listens (`upstream_url`), or the container's port.
    pub upstream_port: u16,
    /// The image's user, to whom a handler in an image belongs; empty for root.
    #[serde(default)]
    pub user: String,
    /// How the unlocked container comes to its handler.
    #[serde(default)]
    pub rebuild: Rebuild,
    /// Who shares an unlocked container.
    #[serde(default)]
    pub isolation: Isolation,
    /// The key header that the locked function names to its callers. It was the usual one for all functions that were
    /// sealed before it was kept.
    #[serde(default = "usual_key_header")]
    pub key_header: String,
    /// The function's entry of the stack file, as written (environment, labels, secrets, limits),
    /// with paths made absolute and the template's process where it names none.
    pub stack: serde_json::Value,
    /// SHA-256 of the dependency manifests that the base image was built from, as hexadecimal; not known of functions
    /// that were sealed by earlier versions.
    #[serde(default)]
    pub manifests: Option<String>,
}

fn usual_key_header() -> String {
    DEFAULT_KEY_HEADER.to_owned()
}

impl SealedFunction {
    /// A deployment of an image whose gate the function's own process is to start behind, where the
    /// stack file names that process.
    #[must_use]
    pub fn behind_gate(&self, deployment: Deployment) -> Deployment {
        match self.park {
            Park::Gate => deployment.behind(GATE_PATH),
            Park::Python | Park::Node | Park::Container => deployment,
        }
    }
}

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
    match if_there(std::fs::read(&path)) {
        Ok(Some(text)) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|source| StateError::Record { path, source }),
        Ok(None) => Ok(None),
        Err(source) => Err(StateError::Io { path, source }),
    }
}

pub(super) fn remove(path: PathBuf) -> Result<(), StateError> {
    match if_there(std::fs::remove_file(&path)) {
        Ok(_) => Ok(()),
        Err(source) => Err(StateError::Io { path, source }),
    }
}
