//! The checks on a real OpenFaaS: the testbed's own parts, then the agent's.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    Attach, Options, beside,
    report::{Report, Stop},
};
use crate::{
    build, canary,
    error::{At as _, Error},
    process::{self, Background},
    setup,
    testbed::{self, Testbed, Traces},
    workspace,
};

/// Those of upstream's templates that the tests have a function of.
const TEMPLATES: [&str; 7] = [
    "python3-flask",
    "python3-flask-debian",
    "python3-http",
    "python3-http-debian",
    "node22",
    "golang-middleware",
    "dockerfile",
];

/// What is to be tested, and the program that does it. Built before anything runs beside these checks: while the
/// agent with fault points is made it stands in the other's place, and cargo would have to wait for another cargo.
pub(super) struct Built {
    tests: PathBuf,
    /// For the tests of the whole.
    plain: Option<PathBuf>,
    /// Asks the testbed's own gateway where requests lead.
    routing: Option<PathBuf>,
    /// For every fault, so many times.
    with_fault_points: Option<(PathBuf, u32)>,
    attach: Option<Attach>,
}

impl Built {
    /// Builds those that are wanted.
    pub(super) fn build(tests: bool, faults: Option<u32>, how: &Options) -> Result<Self, Error> {
        let with_fault_points = faults
            .map(|times| Ok::<_, Error>((build::agent_with_fault_points()?, times)))
            .transpose()?;
        Ok(Self {
            plain: tests.then(build::agent).transpose()?,
            routing: (tests && !how.existing)
                .then(|| build::test("routing"))
                .transpose()?,
            with_fault_points,
            attach: how.attach,
            tests: build::test("e2e")?,
        })
    }

    fn run(
        &self,
        testbed: &Testbed,
        agent: &Path,
        environment: &[(&str, &str)],
    ) -> Result<String, Stop> {
        let mut command = Command::new(&self.tests);
        testbed.lend(&mut command);
        command
            .current_dir(workspace::root())
            .env("RSFAAS_BIN", agent)
            .envs(self.attach.map(Attach::told))
            .envs(environment.iter().copied());
        if testbed.folder.is_some() {
            // The tests may kill parts of this one, and start them again.
            command.env("RSFAAS_XTASK", process::own()?);
        }
        Ok(process::run_watched(&mut command)?)
    }
}

/// The OpenFaaS that the environment names, with upstream's templates where it names none.
fn existing() -> Result<Testbed, Error> {
    let mut testbed = Testbed::existing()?;
    if testbed.templates.is_none() {
        let folder = workspace::root().join("target/test/upstream");
        pull_templates(&testbed.faas_cli, &folder)?;
        testbed.templates = Some(folder);
    }
    Ok(testbed)
}

/// Pulls upstream's templates from its store; the tests tell which of them are missing.
fn pull_templates(faas_cli: &Path, folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(folder).at(folder)?;
    for template in TEMPLATES {
        let mut pull = Command::new(faas_cli);
        pull.current_dir(folder)
            .args(["template", "store", "pull", template]);
        if let Err(error) = process::output(&mut pull) {
            println!("the template {template} is not there: {error}");
        }
    }
    match folder.join("template").is_dir() {
        true => Ok(()),
        false => Err(Error::Needs(
            "the end-to-end tests need templates, and none could be pulled; name in RSFAAS_TEMPLATES the folder \
             that holds template/"
                .into(),
        )),
    }
}

/// Runs the checks; a testbed of theirs is to be taken down afterwards.
pub(super) fn run(report: &mut Report, built: &Built, existing: bool) {
    let found = report.step("OpenFaaS", || {
        Ok(match existing {
            true => self::existing()?,
            false => testbed::up()?,
        })
    });
    if let Some(testbed) = found {
        if let Some(agent) = &built.plain {
            // It needs a processor, and the next ones wait for containers.
            let program = built.routing.as_ref();
            let routing = program.map(|program| routing(&testbed, program));
            let parts = (!existing).then(|| own_parts(&testbed));
            report.tests("end-to-end tests", || {
                let parts = parts.as_ref().and_then(|parts| parts.as_ref().ok());
                let process = parts.map(|parts| parts.id().to_string());
                let process = process.as_deref().map(|process| ("RSFAAS_BESIDE", process));
                built.run(&testbed, agent, process.as_slice())
            });
            if let Some(parts) = parts {
                report.step("the testbed's own parts", || Ok(parts?.finish()?));
            }
            if let Some(routing) = routing {
                report.step("where a real gateway leads requests", || {
                    Ok(routing?.finish()?)
                });
            }
            report.step("the search for canaries", || {
                Ok(canary::on(&testbed, agent)?)
            });
        }
        if let Some((agent, times)) = &built.with_fault_points {
            report.tests("killed at every step", || {
                let times = times.to_string();
                built.run(&testbed, agent, &[("RSFAAS_FAULT_TIMES", &times)])
            });
        }
    }
}

/// Takes the testbed away; the host is then as it was before.
pub(super) fn take_down(report: &mut Report, before: Option<&Traces>) {
    report.step("the testbed goes", || Ok(testbed::down()?));
    let Some(before) = before else { return };
    report.step("nothing of the testbed is left", || {
        let after = Traces::look()?;
        match after.since(before)[..] {
            [] => Ok(()),
            ref left => Err(Error::NotSeen(format!("a host without {}", left.join(", "))).into()),
        }
    });
}

/// Starts to ask what spotter and agent make of requests, beside what the testbed's gateway does with them.
fn routing(testbed: &Testbed, program: &Path) -> Result<Background, Error> {
    let mut command = Command::new(program);
    testbed.lend(&mut command);
    command.current_dir(workspace::root());
    Background::start(command, &beside::folder()?.join("routing.log"))
}

/// Starts the tests of the testbed's own parts. They mostly wait for containers, and want an OpenFaaS of which nothing
/// is killed meanwhile.
fn own_parts(testbed: &Testbed) -> Result<Background, Error> {
    let go = setup::find_go()?;
    let sources = workspace::root().join("tests/openfaas");
    let modules = tested_modules(&sources).at(&sources)?;
    // Go takes a result from its cache where the sources are the same, whatever OpenFaaS it was of; and vets what it
    // tests once more.
    let mut command = Command::new("sh");
    let checks = "\"$go\" vet ./... && \"$go\" test -count=1 -vet=off ./...";
    command
        .args([
            "-c",
            &format!("go=$0; for module; do cd \"$module\" && {checks} || exit; done"),
        ])
        .arg(go)
        .args(modules);
    testbed.lend(&mut command);
    Background::start(command, &beside::folder()?.join("parts.log"))
}

/// The Go modules below a folder that have tests.
fn tested_modules(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut modules = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.join("go.mod").is_file() && has_tests(&path)? {
            modules.push(path);
        }
    }
    modules.sort();
    Ok(modules)
}

fn has_tests(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let found = if entry.file_type()?.is_dir() {
            has_tests(&entry.path())?
        } else {
            entry.file_name().to_string_lossy().ends_with("_test.go")
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A faas-cli that pulls nothing but one template.
    fn with_store_of(template: &str, folder: &Path) -> PathBuf {
        let faas_cli = folder.join("faas-cli");
        let script = format!(
            "#!/bin/sh\n[ \"$*\" = 'template store pull {template}' ] && mkdir -p template/$4\n"
        );
        fs::write(&faas_cli, script).unwrap();
        fs::set_permissions(&faas_cli, fs::Permissions::from_mode(0o755)).unwrap();
        faas_cli
    }

    #[test]
    fn the_templates_that_the_store_has_are_pulled() {
        let folder = tempfile::tempdir().unwrap();
        let faas_cli = with_store_of("golang-middleware", folder.path());
        let upstream = folder.path().join("upstream");
        pull_templates(&faas_cli, &upstream).unwrap();
        assert!(upstream.join("template/golang-middleware").is_dir());
    }

    #[test]
    fn where_none_can_be_pulled_it_is_told_how_to_name_them() {
        let folder = tempfile::tempdir().unwrap();
        let faas_cli = with_store_of("none", folder.path());
        let error = pull_templates(&faas_cli, &folder.path().join("upstream")).unwrap_err();
        assert!(error.to_string().contains("RSFAAS_TEMPLATES"), "{error}");
    }
}
