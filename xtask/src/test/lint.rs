//! Checks that run nothing of ours.

use std::{fs, path::PathBuf};

use super::report::{Report, Stop};
use crate::{
    error::Error,
    process::{self, cargo, cargo_bin, find},
    workspace,
};

/// The fuzz targets are a workspace of their own.
const OF_FUZZING: &[&str] = &["--manifest-path", "tests/fuzz/Cargo.toml"];

/// Runs them.
pub(super) fn run(report: &mut Report) {
    report.step("formatting", || {
        comes_with_rust(
            "cargo-fmt",
            "`rustup component add rustfmt`, or Debian's rustfmt-web",
        )?;
        cargo_run(&["fmt", "--all", "--check"])?;
        cargo_run(&[&["fmt", "--check"], OF_FUZZING].concat())
    });
    // This workspace's own is up to date once cargo has run this program.
    report.step("the lock file of the fuzz targets", || {
        let check = &["tree", "--locked", "--quiet", "--depth", "0"];
        cargo_run(&[check, OF_FUZZING].concat())
    });
    report.step("clippy", || clippy(&["--workspace", "--all-targets"]));
    report.step("clippy, with fault points", || {
        clippy(&["--package", "rsfaas", "--features", "fault-points"])
    });
    report.step("clippy, of what is fuzzed alone", || {
        clippy(&["--package", "rsfaas", "--lib", "--no-default-features"])
    });
    report.step("licences, bans and sources of dependencies", || {
        installed("cargo-deny", "`cargo xtask setup`").map_err(Stop::Missing)?;
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
        installed("cargo-deny", "`cargo xtask setup`").map_err(Stop::Missing)?;
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
    comes_with_rust(
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

/// What no Rust is complete without: a machine that lacks it cannot check what is asked of every change.
fn comes_with_rust(program: &str, installed_by: &str) -> Result<(), Stop> {
    installed(program, installed_by).map_err(|missing| Error::Needs(missing).into())
}

fn installed(program: &str, by: &str) -> Result<(), String> {
    match find(program) {
        Some(_) => Ok(()),
        None => Err(format!("{program} is not installed; {by}")),
    }
}

/// Whether cargo-deny has fetched its database some time.
fn has_advisories() -> bool {
    cargo_bin()
        .and_then(|bin| bin.parent().map(PathBuf::from))
        .and_then(|home| fs::read_dir(home.join("advisory-dbs")).ok())
        .is_some_and(|mut databases| databases.next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_a_formatter_or_clippy_fails() {
        let stop = comes_with_rust("xtask-no-such-program", "`rustup`").unwrap_err();
        assert!(matches!(stop, Stop::Failed(Error::Needs(text))
            if text == "xtask-no-such-program is not installed; `rustup`"));
    }
}
