//! The `NAME|PATH` argument: a sealed function of this host, or a sealed file anywhere.
use std::path::{Path, PathBuf};

use super::exit::{Classify as _, Exit, Failure};
use crate::{
    config::{Config, ConfigError},
    seal::{FILE_NAME, file::SealedFile},
    state::{SealedFunction, StateDir, StateError},
};

/// What to look at.
#[derive(Debug, clap::Args)]
pub(super) struct Target {
    /// A sealed function's name; or the path of a sealed file, or of the folder that holds it.
    #[arg(value_name = "NAME|PATH")]
    target: PathBuf,
    /// The agent's configuration, which says where its state folder is; without it /etc/rsfaas/agent.toml where that
    /// exists and may be read.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The agent's state folder, where names are looked up; without it, that of the agent's configuration.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

/// A sealed file, and the function that it must belong to.
pub(super) struct Found {
    pub(super) file: SealedFile,
    pub(super) name: String,
}

impl Target {
    /// Finds the file. A name that this host has sealed comes first; `./NAME` is always a path.
    pub(super) fn find(&self) -> Result<Found, Failure> {
        let name = self.target.to_str().filter(|text| !text.contains('/'));
        if let Some(name) = name {
            let state = self.state()?;
            if let Some(function) = self.known(name, state.function(name))? {
                return Ok(Found {
                    file: SealedFile::new(function.sealed),
                    name: function.name,
                });
            }
            if !self.target.exists() {
                let state = state.root().display();
                let message = format!(
                    "{name} is neither a sealed function of this host (according to {state}) nor \
                     a file or folder here"
                );
                return Err(Failure::new(Exit::NotSealed, message));
            }
        }
        let file = SealedFile::new(sealed_path(&self.target));
        if self.target.is_dir() && !file.exists()? {
            let message = format!(
                "{} is not sealed: no {FILE_NAME} there",
                self.target.display()
            );
            return Err(Failure::new(Exit::NotSealed, message));
        }
        let name = file.header()?.name().to_owned();
        Ok(Found { file, name })
    }

    /// What is known of a name. Who may not look into the agent's records may have a sealed file here all the same.
    fn known(
        &self,
        name: &str,
        record: Result<Option<SealedFunction>, StateError>,
    ) -> Result<Option<SealedFunction>, Failure> {
        match record {
            Err(error) if error.exit() == Exit::Permission && self.target.exists() => Ok(None),
            Err(error) if error.exit() == Exit::Permission => {
                let message = format!("{error}; run this as root, or give a path (./{name})");
                Err(Failure::new(Exit::Permission, message))
            }
            record => Ok(record?),
        }
    }

    /// Where the agent has its records. Who may not read its configuration may have a sealed file all the same.
    fn state(&self) -> Result<StateDir, Failure> {
        if let Some(folder) = &self.state_dir {
            return Ok(StateDir::new(folder));
        }
        match Config::read(self.config.as_deref()) {
            Ok(config) => Ok(StateDir::new(config.state_dir)),
            Err(ConfigError::Read { .. }) if self.config.is_none() => {
                Ok(StateDir::new(StateDir::DEFAULT))
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn sealed_path(path: &Path) -> PathBuf {
    if path.is_dir() {
        path.join(FILE_NAME)
    } else {
        path.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io};

    use super::*;
    use crate::seal::{folder::seal_folder, key::Key};

    #[test]
    fn a_name_is_looked_up_where_the_configuration_says_and_a_path_nowhere() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir(at("f")).unwrap();
        fs::write(at("f/handler.py"), "source").unwrap();
        seal_folder(&at("f"), "f", &Key::generate().unwrap(), 1).unwrap();
        let record = serde_json::json!({
            "name": "known", "sealed": at("f").join(FILE_NAME), "base_image": "b", "locked_image": "l",
            "handler_dir": "/f", "park": "python", "upstream_port": 5000, "stack": {},
        });
        let record = serde_json::from_value(record).unwrap();
        StateDir::new(at("state")).register(&record).unwrap();
        let config = format!("state_dir = {:?}\n", at("state"));
        fs::write(at("agent.toml"), config).unwrap();
        let find = |target: PathBuf, config: &str, state: Option<&str>| {
            let target = Target {
                target,
                config: Some(at(config)),
                state_dir: state.map(at),
            };
            target.find().map(|found| found.name)
        };
        let named = |config, state| find("known".into(), config, state);
        assert_eq!(named("agent.toml", None).unwrap(), "known");
        assert_eq!(named("none.toml", Some("state")).unwrap(), "known");
        let failure = named("agent.toml", Some("other")).unwrap_err();
        assert_eq!(failure.exit(), Exit::NotSealed);
        assert_eq!(named("none.toml", None).unwrap_err().exit(), Exit::File);
        assert_eq!(find(at("f"), "none.toml", None).unwrap(), "f");
    }

    #[test]
    fn a_name_whose_record_may_not_be_read_is_a_path_where_there_is_one() {
        let root = tempfile::tempdir().unwrap();
        let known = |target: PathBuf, kind: io::ErrorKind| {
            let target = Target {
                target,
                config: None,
                state_dir: None,
            };
            let path = "/state/functions/f.json".into();
            let source = kind.into();
            target.known("f", Err(StateError::Io { path, source }))
        };
        let denied = io::ErrorKind::PermissionDenied;
        assert_eq!(known(root.path().into(), denied).unwrap(), None);
        let failure = known(root.path().join("f"), denied).unwrap_err();
        assert_eq!(failure.exit(), Exit::Permission);
        assert!(failure.to_string().ends_with("(./f)"), "{failure}");
        let failure = known(root.path().into(), io::ErrorKind::Other).unwrap_err();
        assert_eq!(failure.exit(), Exit::File);
    }
}
