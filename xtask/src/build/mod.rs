//! `build-ebpf`, `build-shim`, `build`: the products that the agent embeds, and the agent.

mod artifact;
mod ebpf;
mod shim;
pub(crate) mod toolchain;

pub(crate) use ebpf::build as build_ebpf;
pub(crate) use shim::build as build_shim;

use std::{fs, path::PathBuf};

use crate::{
    error::{At as _, Error},
    process::{self, cargo},
    workspace,
};

/// What the agent embeds, nothing more.
pub(crate) fn artifacts() -> Result<(), Error> {
    build_ebpf()?;
    build_shim()
}

/// Everything, down to the agent's binary.
pub(crate) fn build(release: bool) -> Result<(), Error> {
    artifacts()?;
    compile_agent(release)
}

/// The agent's binary, as tests run it; what it embeds is there already.
pub(crate) fn agent() -> Result<PathBuf, Error> {
    compile_agent(false)?;
    Ok(workspace::root().join("target/debug/rsfaas"))
}

/// The agent's binary with fault points, in a folder of its own; makes sure that the one without has none.
pub(crate) fn agent_with_fault_points() -> Result<PathBuf, Error> {
    const VARIABLE: &[u8] = b"RSFAAS_FAULT";
    let has_points = |program: &PathBuf| -> Result<bool, Error> {
        let bytes = fs::read(program).at(program)?;
        Ok(bytes.windows(VARIABLE.len()).any(|some| some == VARIABLE))
    };
    let mut command = cargo();
    command.current_dir(workspace::root()).args([
        "build",
        "--package",
        "rsfaas",
        "--features",
        "fault-points",
    ]);
    process::run(&mut command)?;
    let built = workspace::root().join("target/debug/rsfaas");
    let folder = workspace::root().join("target/fault-points");
    fs::create_dir_all(&folder).at(&folder)?;
    let copy = folder.join("rsfaas");
    fs::copy(&built, &copy).at(&copy)?;
    // In its place again; both stay in cargo's cache.
    let without = agent()?;
    match (has_points(&copy)?, has_points(&without)?) {
        (true, false) => Ok(copy),
        _ => Err(Error::NotSeen(
            "fault points in the agent built for tests, and none in the other".into(),
        )),
    }
}

fn compile_agent(release: bool) -> Result<(), Error> {
    let mut command = cargo();
    command
        .current_dir(workspace::root())
        .args(["build", "--package", "rsfaas"]);
    if release {
        command.arg("--release");
    }
    process::run(&mut command)
}
