//! `cargo xtask test`: the same checks on every machine, each under a heading, with a summary.
//!
//! A check that this machine cannot make is shown as skipped, with the reason; it never counts as
//! passed. One that was asked for by name fails where something is not installed that it needs. Of the
//! tests on an OpenFaaS and on a wire the summary says how many were ignored.

mod beside;
mod end_to_end;
mod lint;
mod report;

use std::{path::PathBuf, process::Command};

use clap::{Args, ValueEnum};

use crate::{
    build,
    error::Error,
    fuzz,
    process::{self, Background, cargo},
    setup, testbed, workspace,
};
pub(crate) use report::{Report, Stop};

/// A part of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Formatting, clippy, licences and sources of dependencies
    Lint,
    /// Unit tests
    Unit,
    /// Fuzzing, a few seconds a target
    Fuzz,
    /// Tests in the kernel: eBPF programs through its test run, mounts, namespaces, the agent on a wire
    /// of its own (root)
    Bpf,
    /// A real OpenFaaS with the agent (root)
    E2e,
    /// The same with an agent that is killed at each step in turn (root)
    Faults,
}

/// The hook of a host's interfaces at which requests are spotted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Attach {
    Tc,
    Xdp,
}

impl Attach {
    /// For tests of the whole, as the agent's configuration has it.
    fn told(self) -> (&'static str, &'static str) {
        let name = match self {
            Self::Tc => "tc",
            Self::Xdp => "xdp",
        };
        ("RSFAAS_ATTACH", name)
    }
}

/// What to check.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The parts to run; all where none is named
    #[arg(value_name = "PART")]
    parts: Vec<Part>,
    /// For faults: how often each of them strikes
    #[arg(long, value_name = "N", default_value_t = 1)]
    times: u32,
    /// For e2e and faults: the hook of the agent's programs, if not the one that it chooses
    #[arg(long)]
    attach: Option<Attach>,
    /// For e2e and faults: use an OpenFaaS of this host's, whose own agent has to be stopped first. `OPENFAAS_URL`
    /// names its gateway, on 127.0.0.1, where faas-cli is logged in, and `RSFAAS_REGISTRY_PREFIX` what images are named
    /// under; `RSFAAS_TEMPLATES` the folder that holds template/, where it is not upstream's that are to be pulled, and
    /// `RSFAAS_PURGE_COMMAND` the agent's `purge_command`, if any
    #[arg(long)]
    existing: bool,
    /// Keeps the summary in a file instead of printing it
    #[arg(long, hide = true)]
    summary: Option<PathBuf>,
}

impl Options {
    /// Whether somebody has named the parts. All parts together are run in two processes, the second of which is
    /// told its parts and keeps the summary for the first.
    fn by_name(&self) -> bool {
        !self.parts.is_empty() && self.summary.is_none()
    }
}

/// Runs the checks.
///
/// # Errors
/// When one of them failed; the summary has been printed then.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let all = options.parts.is_empty();
    let wants = |part| all || options.parts.contains(&part);
    let mut report = match options.by_name() {
        true => Report::by_name(),
        false => Report::default(),
    };
    if prepare(&mut report, options) {
        let keep = options.existing || testbed::is_up();
        let raises = !keep && (wants(Part::E2e) || wants(Part::Faults));
        let before = match raises {
            true => report.step("look at the host", || Ok(testbed::Traces::look()?)),
            false => None,
        };
        // It takes minutes on a fresh machine, most of them waiting for disk and network.
        let raised = match all && !keep {
            true => report.step("start raising an OpenFaaS", || Ok(beside::testbed()?)),
            false => None,
        };
        if wants(Part::Unit) {
            report.step("unit tests", || cargo_test(&["--lib", "--bins"]));
            report.step("documentation tests", || cargo_test(&["--doc"]));
        }
        let faults = wants(Part::Faults).then_some(options.times);
        let built = if wants(Part::E2e) || faults.is_some() {
            report.step("build the agent and its tests", || {
                Ok(end_to_end::Built::build(wants(Part::E2e), faults, options)?)
            })
        } else {
            None
        };
        // These need the processors, and what follows mostly waits for containers.
        let beside = if all {
            report.step("start lints, fuzzing and kernel tests", || {
                Ok(beside::Checks::start(&["lint", "bpf", "fuzz"])?)
            })
        } else {
            // Beside the tests on an OpenFaaS the processors are free only towards the end: those mostly wait by then.
            if wants(Part::Lint) {
                lint::run(&mut report);
            }
            if wants(Part::Bpf) {
                bpf(&mut report);
            }
            if wants(Part::Fuzz) {
                fuzz::steps(&mut report, &fuzz::Options::default());
            }
            None
        };
        on_openfaas(
            &mut report,
            raised,
            built,
            |report, built| end_to_end::run(report, &built, options.existing),
            |report| {
                if !keep {
                    end_to_end::take_down(report, before.as_ref());
                }
            },
        );
        if let Some(beside) = beside
            && let Err(error) = beside.finish(&mut report)
        {
            report.step::<()>("lints, fuzzing and kernel tests", || Err(error.into()));
        }
    }
    if let Some(file) = &options.summary {
        return report.write(file);
    }
    report.finish()
}

/// Tests what is built on an OpenFaaS. One that was begun to be raised is waited for, and goes, even where nothing is
/// built that could be tested on it.
fn on_openfaas<B>(
    report: &mut Report,
    raised: Option<Background>,
    built: Option<B>,
    test: impl FnOnce(&mut Report, B),
    take_down: impl FnOnce(&mut Report),
) {
    let begun = raised.is_some() || built.is_some();
    if let Some(raised) = raised {
        report.step("an OpenFaaS is raised", || Ok(raised.finish()?));
    }
    if let Some(built) = built {
        test(report, built);
    }
    if begun {
        take_down(report);
    }
}

fn bpf(report: &mut Report) {
    report.step("what the canary search finds", canary_tests);
    // They wait for most of their time; what follows needs a processor for all of it.
    report.tests("wire tests at TC", || wire_tests(Attach::Tc));
    report.tests("wire tests at XDP", || wire_tests(Attach::Xdp));
    report.step("kernel tests", || {
        // Of this program there are none, and cargo would build it anew, for other features, in its own place.
        let exclude = ["--exclude", "rsfaas-tests", "--exclude", "xtask"];
        cargo_test(&[&exclude[..], &["--test", "*"]].concat())
    });
}

/// What every check needs. All checks together also set the machine up.
fn prepare(report: &mut Report, options: &Options) -> bool {
    let all = options.parts.is_empty();
    let set_up = setup::Options {
        existing: options.existing,
        ..setup::Options::default()
    };
    let is_on_openfaas = |part: &Part| matches!(part, Part::E2e | Part::Faults);
    if all || options.parts.iter().any(is_on_openfaas) {
        let there = || Ok(testbed::prerequisites(options.existing)?);
        if report.step("what an OpenFaaS needs", there).is_none() {
            return false;
        }
    }
    if all && report.step("set-up", || Ok(setup::run(set_up)?)).is_none() {
        return false;
    }
    report
        .step("build what the agent embeds", || Ok(build::artifacts()?))
        .is_some()
}

fn cargo_test(which: &[&str]) -> Result<(), Stop> {
    let mut command = cargo();
    command
        .current_dir(workspace::root())
        .args(["test", "--quiet", "--workspace"])
        .args(which);
    Ok(process::run(&mut command)?)
}

/// The agent between network namespaces, where a recording gateway takes the place of OpenFaaS.
fn wire_tests(attach: Attach) -> Result<String, Stop> {
    let mut command = tests_of_the_whole("wire");
    command.env("RSFAAS_BIN", build::agent()?);
    Ok(process::run_watched(command.envs([attach.told()]))?)
}

/// What the canary search finds where something is planted.
fn canary_tests() -> Result<(), Stop> {
    Ok(process::run(&mut tests_of_the_whole("finds"))?)
}

fn tests_of_the_whole(test: &str) -> Command {
    let mut command = cargo();
    command
        .current_dir(workspace::root())
        .arg("test")
        .args(build::TESTED)
        .args(["--test", test]);
    command
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn parts_that_run_beside_the_rest_count_as_asked_for_by_nobody() {
        let by_name = |arguments: &[&str]| {
            let arguments = ["test"].iter().chain(arguments);
            Arguments::parse_from(arguments).options.by_name()
        };
        assert!(by_name(&["fuzz"]));
        assert!(!by_name(&[]));
        assert!(!by_name(&["fuzz", "--summary", "file"]));
    }

    #[test]
    fn an_openfaas_that_was_begun_is_finished_and_goes_where_its_tests_could_not_be_built() {
        let folder = tempfile::tempdir().unwrap();
        let raised = folder.path().join("raised");
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 0.2; touch \"$0\""]).arg(&raised);
        let begun = Background::start(command, &folder.path().join("log")).unwrap();
        let mut gone = false;
        on_openfaas(
            &mut Report::default(),
            Some(begun),
            None::<()>,
            |_, ()| panic!("nothing is built"),
            |_| gone = raised.exists(),
        );
        assert!(gone, "not finished, or not taken down");
    }
}
