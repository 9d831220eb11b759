//! `cargo xtask bench`: measurements side by side, one module a command.

pub(crate) mod cycles;
mod figures;
mod output;
pub(crate) mod packet;
pub(crate) mod pool;
pub(crate) mod release;
pub(crate) mod unlock;

use serde_json::Value;

use crate::{
    build,
    error::Error,
    process::{cargo, output},
    setup, testbed,
    testbed::Testbed,
    workspace,
};
use output::Output;

/// Sets up, builds with optimisation, and gives the OpenFaaS to measure on.
fn prepare(existing: bool) -> Result<Testbed, Error> {
    setup::run(setup::Options {
        existing,
        ..setup::Options::default()
    })?;
    build::build(true)?;
    if existing {
        Testbed::existing()
    } else {
        testbed::up()
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
