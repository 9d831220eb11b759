//! What a program, or a person's shell, needs to work with an OpenFaaS.
use std::{
    ffi::{OsStr, OsString},
    process::Command,
};

use super::{Testbed, layout::ENGINE};
use crate::process::path_with;

impl Testbed {
    /// Hands a program what it needs to work with this OpenFaaS, in its environment.
    pub(crate) fn lend(&self, command: &mut Command) {
        command.envs(self.variables());
        if let Some(bin) = &self.bin {
            command.env("PATH", path_with(&[bin]));
        }
    }

    /// Prints the same for a shell that is to use it.
    pub(crate) fn print_exports(&self) {
        println!(
            "testbed: for a shell that is to use it:\n{}",
            self.exports()
        );
    }

    fn exports(&self) -> String {
        let variables = self.variables().into_iter();
        let path = self.bin.as_ref().map(|bin| {
            let folder = quoted(bin.as_os_str());
            format!("export PATH={folder}:\"$PATH\"")
        });
        let lines = variables.map(|(name, value)| format!("export {name}={}", quoted(&value)));
        lines.chain(path).collect::<Vec<_>>().join("\n")
    }

    /// All but the search path. What is secret is in files, which these name.
    fn variables(&self) -> Vec<(&'static str, OsString)> {
        let engine = format!("unix://{ENGINE}");
        let paths = [
            ("RSFAAS_FAAS_CLI", Some(&self.faas_cli)),
            ("RSFAAS_TEMPLATES", self.templates.as_ref()),
            ("RSFAAS_CREDENTIALS", self.credentials.as_ref()),
            ("RSFAAS_PURGE_COMMAND", self.purge_command.as_ref()),
            ("OPENFAAS_CONFIG", self.cli_config.as_ref()),
            ("RSFAAS_TESTBED", self.folder.as_ref()),
        ];
        let paths = paths
            .into_iter()
            .filter_map(|(name, path)| Some((name, path?.into())));
        [
            ("OPENFAAS_URL", self.gateway.clone().into()),
            (
                "RSFAAS_REGISTRY_PREFIX",
                self.registry_prefix.clone().into(),
            ),
            ("DOCKER_BUILDKIT", "1".into()),
        ]
        .into_iter()
        .chain(paths)
        .chain(self.bin.is_some().then(|| ("DOCKER_HOST", engine.into())))
        .collect()
    }
}

/// A value as a shell takes it.
fn quoted(value: &OsStr) -> String {
    format!("'{}'", value.to_string_lossy().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{
        super::layout::{GATEWAY, Layout},
        *,
    };

    #[test]
    fn a_shell_that_is_given_the_exports_has_what_a_program_is_lent() {
        let testbed = Testbed::own(&Layout::new(Path::new("/it's here")));
        let mut lent = Command::new("env");
        testbed.lend(&mut lent);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{}\nenv", testbed.exports())]);
        let lines = |command: &mut Command| {
            let output = command.output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let of_testbed = |line: &&str| {
                ["OPENFAAS_", "RSFAAS_", "DOCKER_", "PATH="]
                    .iter()
                    .any(|start| line.starts_with(start))
            };
            let mut lines: Vec<String> =
                text.lines().filter(of_testbed).map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let given = lines(&mut shell);
        assert_eq!(given, lines(&mut lent));
        assert!(given.contains(&format!("OPENFAAS_URL=http://{GATEWAY}")));
    }
}
