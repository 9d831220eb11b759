//! `cargo xtask bench`: measurements side by side, one module a command.

mod attached;
mod cycles;
mod figures;
mod memory;
mod output;
mod packet;
mod pool;
mod release;
mod share;
mod throughput;
mod unlock;

use std::{
    fs::{self, DirEntry},
    io,
    path::PathBuf,
};

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::{
    build,
    error::{At as _, Error},
    process::{cargo, output},
    setup, testbed,
    testbed::Testbed,
    workspace,
};
use output::Output;

/// Which benchmark.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// What a call costs in each state of a function, and the classic flow beside it (as root)
    Unlock(unlock::Options),
    /// What the way through the agent adds to a call of an unlocked function (as root)
    Release(release::Options),
    /// Many unlocks back to back by several callers, beside a single one without a parked container (as root)
    Pool(pool::Options),
    /// What many unlocks and locks leave behind: nothing, or this fails (as root)
    Cycles(cycles::Options),
    /// What containers that wait for the handler cost of memory, beside one that serves (as root)
    Memory(memory::Options),
    /// What a packet costs in the programs, by what it is, and the gateway's throughput (as root)
    Packet(packet::Options),
}

/// Runs a benchmark.
///
/// # Errors
/// When anything goes otherwise than it should; none of them fails because something is slow.
pub(crate) fn run(bench: &Bench) -> Result<(), Error> {
    match bench {
        Bench::Unlock(options) => unlock::run(options),
        Bench::Release(options) => release::run(options),
        Bench::Pool(options) => pool::run(options),
        Bench::Cycles(options) => cycles::run(options),
        Bench::Memory(options) => memory::run(options),
        Bench::Packet(options) => packet::run(options),
    }
}

/// Where it is measured, and how that is told.
#[derive(Debug, Args)]
struct Place {
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
    /// Uses an OpenFaaS of this host's, whose own agent has to be stopped first. OPENFAAS_URL names its gateway, where
    /// faas-cli is logged in, and RSFAAS_REGISTRY_PREFIX what images are named under; RSFAAS_TEMPLATES the folder that
    /// holds template/, and RSFAAS_PURGE_COMMAND the agent's `purge_command`, where these are set
    #[arg(long)]
    existing: bool,
}

impl Place {
    /// Sets up, builds with optimisation, and gives the OpenFaaS to measure on and the program to measure.
    fn prepare(&self) -> Result<(Output, Testbed, PathBuf), Error> {
        let output = Output::new(self.json)?;
        let existing = testbed::prerequisites(self.existing)?;
        setup::run(setup::Options {
            existing: self.existing,
            ..setup::Options::default()
        })?;
        let program = build::build(true)?;
        let testbed = existing.map_or_else(testbed::up, Ok)?;
        Ok((output, testbed, program))
    }
}

/// A number of things of which there is at least one.
fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1 is needed".to_owned()),
        Ok(count) => Ok(count),
        Err(error) => Err(format!("not a number: {error}")),
    }
}

/// What a benchmark of the agent's own says, in JSON. It runs in the kernel, or waits for it: this side
/// needs no optimisation.
fn agents_own(name: &str) -> Result<Value, Error> {
    let text = output(
        cargo()
            .current_dir(workspace::root())
            .args([
                "bench",
                "--quiet",
                "--profile",
                "dev",
                "--package",
                "rsfaas",
            ])
            .args(["--bench", name]),
    )?;
    serde_json::from_str(&text).map_err(|error| {
        Error::NotSeen(format!("JSON from the benchmark, but {error} in {text:?}"))
    })
}

/// A quantile by the nearest rank, so that it is one of the values; `None` where there are none.
fn quantile(values: &[f64], quantile: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (quantile * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

/// What `/proc` tells of each descriptor of a process (proc_pid_fdinfo(5)); nothing of one that has been closed meanwhile.
///
/// # Errors
/// When there is no such process.
fn descriptors(process: u32) -> Result<Vec<String>, Error> {
    let folder = format!("/proc/{process}/fdinfo");
    let entries = fs::read_dir(&folder).at(&folder)?;
    let text = |entry: io::Result<DirEntry>| {
        Ok(fs::read_to_string(entry.at(&folder)?.path()).unwrap_or_default())
    };
    entries.map(text).collect()
}

/// The rest of the line that starts so, in what others print.
fn behind<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    let mut lines = text.lines().map(str::trim);
    lines
        .find_map(|line| line.strip_prefix(start))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_of_what_is_measured_is_refused() {
        assert_eq!(count("7"), Ok(7));
        assert!(count("0").is_err_and(|error| error.contains("at least 1")));
        assert!(count("some").is_err_and(|error| error.contains("not a number")));
    }
}
