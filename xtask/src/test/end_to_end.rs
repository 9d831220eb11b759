//! The checks on a real OpenFaaS: the testbed's own parts, then the agent's.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use super::report::{Report, Stop};
use crate::{
    build, canary,
    error::{At as _, Error},
    process::{self, cargo, find},
    testbed::{self, Testbed},
    workspace,
};

/// What is to be run.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    /// The tests of the whole.
    pub(super) tests: bool,
    /// Every fault, so many times.
    pub(super) faults: Option<u32>,
}

impl Wanted {
    /// Whether there is anything.
    pub(super) fn any(self) -> bool {
        self.tests || self.faults.is_some()
    }
}

/// Runs them. A testbed that was not there before is gone afterwards.
pub(super) fn run(report: &mut Report, wanted: Wanted, existing: bool) {
    let keep = existing || testbed::is_up();
    let found = report.step("OpenFaaS", || {
        Ok(if existing {
            Testbed::existing()?
        } else {
            testbed::up()?
        })
    });
    if let Some(testbed) = found {
        if !existing && wanted.tests {
            report.step("the testbed's own parts", || go_tests(&testbed));
        }
        if wanted.tests {
            report.step("end-to-end tests", || {
                rust_tests(&testbed, &build::agent()?, &[])
            });
            report.step("the search for canaries", || {
                build::agent()?;
                Ok(canary::on(&testbed)?)
            });
        }
        if let Some(times) = wanted.faults {
            report.step("killed at every step", || {
                let times = times.to_string();
                let agent = build::agent_with_fault_points()?;
                rust_tests(&testbed, &agent, &[("RSFAAS_FAULT_TIMES", &times)])
            });
        }
    }
    if !keep {
        report.step("the testbed goes", || Ok(testbed::down()?));
    }
}

fn rust_tests(testbed: &Testbed, agent: &Path, environment: &[(&str, &str)]) -> Result<(), Stop> {
    if testbed.templates.is_none() {
        let needs = "the end-to-end tests need RSFAAS_TEMPLATES: the folder that holds template/, as \
                     `faas-cli template pull` leaves it";
        return Err(Error::Needs(needs.into()).into());
    }
    let mut command = cargo();
    testbed.lend(&mut command);
    command
        .current_dir(workspace::root())
        .env("RSFAAS_BIN", agent)
        .envs(environment.iter().copied())
        .args(["test", "--package", "rsfaas-tests", "--test", "e2e"]);
    if testbed.folder.is_some() {
        // The tests may kill parts of this one, and start them again.
        let xtask = env::current_exe().at("/proc/self/exe")?;
        command.env("RSFAAS_XTASK", xtask);
    }
    Ok(process::run(&mut command)?)
}

fn go_tests(testbed: &Testbed) -> Result<(), Stop> {
    let Some(go) = find("go") else {
        return Err(Stop::Skipped("Go is not installed".into()));
    };
    let sources = workspace::root().join("tests/openfaas");
    for module in tested_modules(&sources).at(&sources)? {
        for verb in ["vet", "test"] {
            let mut command = Command::new(&go);
            testbed.lend(&mut command);
            process::run(command.current_dir(&module).args([verb, "./..."]))?;
        }
    }
    Ok(())
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
