//! Checks that run nothing of ours.

use std::{fs, path::PathBuf};

use super::report::{Report, Stop};
use crate::{
    process::{self, cargo, cargo_bin, find},
    workspace,
};

/// Runs them.
pub(super) fn run(report: &mut Report) {
    report.step("formatting", || {
        needs(
            "cargo-fmt",
            "`rustup component add rustfmt`, or Debian's rustfmt-web",
        )?;
        cargo_run(&["fmt", "--all", "--check"])
    });
    report.step("clippy", || clippy(&["--workspace", "--all-targets"]));
    report.step("clippy, with fault points", || {
        clippy(&["--package", "rsfaas", "--features", "fault-points"])
    });
    report.step("clippy, of what is fuzzed alone", || {
        clippy(&["--package", "rsfaas", "--lib", "--no-default-features"])
    });
    report.step("licences, bans and sources of dependencies", || {
        needs("cargo-deny", "`cargo xtask setup`")?;
        cargo_run(&[
            "deny",
            "--log-level",
            "warn",
            "check",
            "licenses",
            "bans",
            "sources",
        ])
    });
    report.step("advisories about dependencies", || {
        needs("cargo-deny", "`cargo xtask setup`")?;
        if !has_advisories() {
            return Err(Stop::Skipped(
                "no copy of the advisory database; `cargo deny fetch db` gets one where the network \
                 allows"
                    .into(),
            ));
        }
        cargo_run(&["deny", "--offline", "--log-level", "warn", "check", "advisories"])
    });
}

fn clippy(what: &[&str]) -> Result<(), Stop> {
    needs(
        "cargo-clippy",
        "`rustup component add clippy`; Debian has none that is new enough",
    )?;
    cargo_run(&[&["clippy"], what, &["--", "-D", "warnings"]].concat())
}

fn cargo_run(arguments: &[&str]) -> Result<(), Stop> {
    Ok(process::run(
        cargo().current_dir(workspace::root()).args(arguments),
    )?)
}

fn needs(program: &str, installed_by: &str) -> Result<(), Stop> {
    match find(program) {
        Some(_) => Ok(()),
        None => Err(Stop::Skipped(format!(
            "{program} is not installed; {installed_by}"
        ))),
    }
}

/// Whether cargo-deny has fetched its database some time.
fn has_advisories() -> bool {
    cargo_bin()
        .and_then(|bin| bin.parent().map(PathBuf::from))
        .and_then(|home| fs::read_dir(home.join("advisory-dbs")).ok())
        .is_some_and(|mut databases| databases.next().is_some())
}
