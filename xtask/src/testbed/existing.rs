//! An OpenFaaS that was there before, as the environment names it.

use std::{env, ffi::OsString, path::PathBuf};

use super::Testbed;
use crate::{error::Error, process};

impl Testbed {
    /// The OpenFaaS that the environment names: its gateway in `OPENFAAS_URL`, the registry prefix in
    /// `RSFAAS_REGISTRY_PREFIX`, the faas-cli on the search path and its login; the folder that holds
    /// `template/` in `RSFAAS_TEMPLATES` and the agent's `purge_command` in `RSFAAS_PURGE_COMMAND`, where
    /// these are set. Asked for before anything is installed or built.
    ///
    /// # Errors
    /// When one of these is missing, or docker, which faas-cli builds with.
    pub(crate) fn existing() -> Result<Self, Error> {
        Self::named_by(|name| env::var_os(name), process::find)
    }

    fn named_by(
        variable: impl Fn(&str) -> Option<OsString>,
        find: impl Fn(&str) -> Option<PathBuf>,
    ) -> Result<Self, Error> {
        let text = |name: &str, what: &str| {
            variable(name)
                .and_then(|value| value.into_string().ok())
                .ok_or_else(|| Error::Needs(format!("--existing needs {name}: {what}")))
        };
        let gateway = text("OPENFAAS_URL", "the gateway's address")?;
        // faas-cli takes it with a slash at its end, too.
        let gateway = gateway.trim_end_matches('/').to_owned();
        let registry_prefix = text(
            "RSFAAS_REGISTRY_PREFIX",
            "what images are named under, such as registry.example/team",
        )?;
        let program = |name: &str, what: &str| {
            find(name).ok_or_else(|| {
                Error::Needs(format!(
                    "--existing needs {name} on the search path, {what}"
                ))
            })
        };
        let faas_cli = program("faas-cli", "logged in")?;
        program(
            "docker",
            "and a Docker Engine that it reaches: functions are built and pushed with it",
        )?;
        Ok(Self {
            gateway,
            registry_prefix,
            faas_cli,
            templates: variable("RSFAAS_TEMPLATES").map(PathBuf::from),
            credentials: None,
            purge_command: variable("RSFAAS_PURGE_COMMAND").map(PathBuf::from),
            cli_config: None,
            folder: None,
            bin: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of an environment that lacks these.
    fn without(lacking: &[&str]) -> Result<Testbed, String> {
        let there = |name: &str| !lacking.contains(&name);
        Testbed::named_by(
            |name| there(name).then(|| OsString::from("value")),
            |name| there(name).then(|| PathBuf::from("/bin").join(name)),
        )
        .map_err(|error| error.to_string())
    }

    #[test]
    fn whatever_an_existing_openfaas_is_used_by_is_asked_for() {
        for name in [
            "OPENFAAS_URL",
            "RSFAAS_REGISTRY_PREFIX",
            "faas-cli",
            "docker",
        ] {
            let said = without(&[name]).unwrap_err();
            assert!(
                said.starts_with(&format!("--existing needs {name}")),
                "{said}"
            );
        }
        assert!(without(&["docker"]).unwrap_err().contains("Docker Engine"));
    }

    #[test]
    fn an_address_with_a_slash_at_its_end_is_the_one_without() {
        let there = |value: &str| Some(OsString::from(value));
        let testbed = Testbed::named_by(
            |name| {
                there(if name == "OPENFAAS_URL" {
                    "http://g:8080/"
                } else {
                    "value"
                })
            },
            |name| Some(PathBuf::from("/bin").join(name)),
        );
        assert_eq!(testbed.unwrap().gateway, "http://g:8080");
    }

    #[test]
    fn templates_and_a_purge_command_may_be_missing() {
        let testbed = without(&["RSFAAS_TEMPLATES", "RSFAAS_PURGE_COMMAND"]).unwrap();
        assert_eq!(testbed.templates, None);
        assert_eq!(testbed.purge_command, None);
        assert_eq!(testbed.faas_cli, PathBuf::from("/bin/faas-cli"));
    }
}
