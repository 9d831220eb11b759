//! `cargo xtask fuzz`: runs the targets in `tests/fuzz`, each for a while.
//!
//! A target starts with the inputs in `tests/fuzz/seeds` and with what earlier runs have found: it stays under
//! `target/fuzz`, which begins with what `tests/fuzz/corpora` has of long ones. An input that breaks a promise is kept
//! there too, and shown.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use clap::Args;

use crate::{
    error::{At as _, Error},
    process::{self, find},
    setup,
    test::{Report, Stop},
    workspace,
};

/// The targets.
const TARGETS: [&str; 5] = ["connection", "event", "frame", "head", "sealed"];
/// Longest input, in bytes: a few segments' worth, so that many can be tried.
const LONGEST: usize = 4096;
/// How long a target runs unless another time is asked for.
const SECONDS: u32 = 5;

/// What to run, and for how long.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Seconds a target
    #[arg(long, default_value_t = SECONDS)]
    seconds: u32,
    /// Afterwards puts the inputs that reach something no other one does into tests/fuzz/corpora
    #[arg(long)]
    keep: bool,
    /// The target; all where none is named
    #[arg(value_parser = TARGETS)]
    target: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seconds: SECONDS,
            keep: false,
            target: None,
        }
    }
}

/// Runs the targets.
///
/// # Errors
/// When one of them has found something, or cannot be run.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let mut report = Report::by_name();
    steps(&mut report, options);
    report.finish()
}

/// Runs them as steps of a longer report. Something may not be installed that they need: coverage counters need a
/// nightly compiler.
pub(crate) fn steps(report: &mut Report, options: &Options) {
    let ready = report.step("build the fuzz targets", || {
        if !setup::has_nightly() {
            return Err(Stop::Missing(
                "no nightly compiler; `rustup toolchain install nightly` gets one".into(),
            ));
        }
        if find("cargo-fuzz").is_none() {
            return Err(Stop::Missing(
                "cargo-fuzz is not installed; `cargo xtask setup`".into(),
            ));
        }
        cargo_fuzz("build", &[])
    });
    if ready.is_none() {
        return;
    }
    for target in TARGETS {
        if options.target.as_deref().is_none_or(|only| only == target) {
            report.step(name(target), || fuzz(target, options));
        }
    }
}

fn name(target: &str) -> &'static str {
    match target {
        "connection" => "fuzzing of connections cut into segments",
        "event" => "fuzzing of events",
        "frame" => "fuzzing of frames",
        "head" => "fuzzing of heads",
        _ => "fuzzing of sealed files",
    }
}

fn fuzz(target: &str, options: &Options) -> Result<(), Stop> {
    let root = workspace::root();
    let corpus = root.join("target/fuzz/corpus").join(target);
    if !corpus.exists() {
        unpack(target, &corpus)?;
    }
    let finds = root.join("target/fuzz/finds").join(target);
    for folder in [&corpus, &finds] {
        fs::create_dir_all(folder).at(folder)?;
    }
    let seeds = root.join("tests/fuzz/seeds").join(target);
    cargo_fuzz(
        "run",
        &[
            target,
            &corpus.display().to_string(),
            &seeds.display().to_string(),
            "--",
            &format!("-max_total_time={}", options.seconds),
            &format!("-max_len={LONGEST}"),
            &format!("-artifact_prefix={}/", finds.display()),
            "-print_final_stats=1",
            "-verbosity=0",
        ],
    )?;
    if options.keep {
        cargo_fuzz("cmin", &[target, &corpus.display().to_string()])?;
        pack(&corpus, target)?;
    }
    Ok(())
}

fn kept(target: &str) -> PathBuf {
    let corpora = workspace::root().join("tests/fuzz/corpora");
    corpora.join(format!("{target}.tar.gz"))
}

fn unpack(target: &str, corpus: &Path) -> Result<(), Error> {
    fs::create_dir_all(corpus).at(corpus)?;
    let mut tar = Command::new("tar");
    process::run(tar.arg("-C").arg(corpus).arg("-xzf").arg(kept(target)))
}

/// The same inputs make the same archive.
fn pack(corpus: &Path, target: &str) -> Result<(), Error> {
    process::run(
        Command::new("tar")
            .args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0"])
            .args(["--numeric-owner", "--mode=u=rwX,go=rX", "-C"])
            .arg(corpus)
            .args(["--use-compress-program=gzip -n", "-cf"])
            .arg(kept(target))
            .arg("."),
    )
}

fn cargo_fuzz(command: &str, arguments: &[&str]) -> Result<(), Stop> {
    let root = workspace::root();
    // Not the cargo that runs this program: the toolchain is another one.
    Ok(process::run(
        Command::new("cargo")
            .current_dir(&root)
            .env_remove("CARGO")
            .env_remove("RUSTUP_TOOLCHAIN")
            .args(["+nightly", "fuzz", command, "--fuzz-dir", "tests/fuzz"])
            // What is fuzzed has no unsafe code: there is nothing for a sanitizer to find.
            .args(["--sanitizer", "none"])
            .arg("--target-dir")
            .arg(root.join("target/fuzz"))
            .args(arguments),
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_seeds_and_kept_inputs() {
        for target in TARGETS {
            assert!(kept(target).is_file(), "{target}");
            let seeds = workspace::root().join("tests/fuzz/seeds").join(target);
            assert!(fs::read_dir(seeds).unwrap().next().is_some(), "{target}");
        }
    }
}
