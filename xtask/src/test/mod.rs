//! `cargo xtask test`: the same checks on every machine, each under a heading, with a summary.
//!
//! A check that this machine cannot make is shown as skipped, with the reason; it never counts as
//! passed.

mod end_to_end;
mod lint;
mod report;

use std::process::Command;

use clap::{Args, ValueEnum};

use crate::{
    build,
    error::Error,
    fuzz,
    process::{self, cargo},
    setup, workspace,
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

/// What to check.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The part to run; all where none is named
    part: Option<Part>,
    /// For faults: how often each of them strikes
    #[arg(long, value_name = "N", default_value_t = 1)]
    times: u32,
    /// For e2e and faults: use the OpenFaaS that `OPENFAAS_URL`, `RSFAAS_REGISTRY_PREFIX` and
    /// `RSFAAS_TEMPLATES` name, and the faas-cli's login
    #[arg(long)]
    existing: bool,
}

/// Runs the checks.
///
/// # Errors
/// When one of them failed; the summary has been printed then.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let wants = |part| options.part.is_none_or(|wanted| wanted == part);
    let mut report = Report::default();
    let ready = prepare(&mut report, options);
    if ready && wants(Part::Lint) {
        lint::run(&mut report);
    }
    if ready && wants(Part::Unit) {
        report.step("unit tests", || cargo_test(&["--lib", "--bins"]));
        report.step("documentation tests", || cargo_test(&["--doc"]));
    }
    if ready && wants(Part::Fuzz) {
        fuzz::steps(&mut report, &fuzz::Options::default());
    }
    if ready && wants(Part::Bpf) {
        report.step("what the canary search finds", canary_tests);
        report.step("kernel tests", || cargo_test(&["--test", "*"]));
        report.step("wire tests at TC", || wire_tests("tc"));
        report.step("wire tests at XDP", || wire_tests("xdp"));
    }
    let end_to_end = end_to_end::Wanted {
        tests: wants(Part::E2e),
        faults: wants(Part::Faults).then_some(options.times),
    };
    if ready && end_to_end.any() {
        end_to_end::run(&mut report, end_to_end, options.existing);
    }
    report.finish()
}

/// What every check needs. All checks together also set the machine up.
fn prepare(report: &mut Report, options: &Options) -> bool {
    let all = options.part.is_none();
    let set_up = setup::Options {
        existing: options.existing,
        ..setup::Options::default()
    };
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
        .args([
            "test",
            "--quiet",
            "--workspace",
            "--exclude",
            "rsfaas-tests",
        ])
        .args(which);
    Ok(process::run(&mut command)?)
}

/// The agent between network namespaces, where a recording gateway takes the place of OpenFaaS; `attach` as
/// in the agent's configuration.
fn wire_tests(attach: &str) -> Result<(), Stop> {
    let mut command = tests_of_the_whole("wire");
    command.env("RSFAAS_BIN", build::agent()?);
    Ok(process::run(command.env("RSFAAS_ATTACH", attach))?)
}

/// What the canary search finds where something is planted.
fn canary_tests() -> Result<(), Stop> {
    Ok(process::run(tests_of_the_whole("finds").arg("--lib"))?)
}

fn tests_of_the_whole(test: &str) -> Command {
    let mut command = cargo();
    command.current_dir(workspace::root()).args([
        "test",
        "--package",
        "rsfaas-tests",
        "--test",
        test,
    ]);
    command
}
