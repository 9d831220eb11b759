//! `build-ebpf`, `build-shim`, `build`: the products that the agent embeds, and the agent.

mod artifact;
mod ebpf;
pub(crate) mod linker;
pub(crate) mod program;
mod shim;
pub(crate) mod toolchain;

pub(crate) use ebpf::build as build_ebpf;
pub(crate) use shim::build as build_shim;

use std::{fs, path::PathBuf};

use crate::{
    error::{At as _, Error},
    process::cargo,
    workspace,
};

/// The agent, and what tests the whole. Selected together: for each alone cargo compiles some dependencies with fewer
/// features, and with them the agent once more.
pub(crate) const TESTED: [&str; 4] = ["--package", "rsfaas", "--package", "rsfaas-tests"];

/// What the agent embeds, nothing more.
pub(crate) fn artifacts() -> Result<(), Error> {
    build_ebpf()?;
    build_shim()
}

/// Everything, down to the agent's binary; where that is.
pub(crate) fn build(release: bool) -> Result<PathBuf, Error> {
    artifacts()?;
    compile_agent(if release { &["--release"] } else { &[] })
}

/// The agent's binary, as tests run it; what it embeds is there already. With its tests, which ask for more of some
/// dependencies: without them these, and the agent, would be compiled once more.
pub(crate) fn agent() -> Result<PathBuf, Error> {
    compile_agent(&["--bins", "--tests"])
}

/// The agent's binary with fault points, in a folder of its own; makes sure that the one without has none.
pub(crate) fn agent_with_fault_points() -> Result<PathBuf, Error> {
    const VARIABLE: &[u8] = b"RSFAAS_FAULT";
    let has_points = |program: &PathBuf| -> Result<bool, Error> {
        let bytes = fs::read(program).at(program)?;
        Ok(bytes.windows(VARIABLE.len()).any(|some| some == VARIABLE))
    };
    let built = compile_agent(&["--features", "fault-points"])?;
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

/// The program that is one of the tests of the whole.
pub(crate) fn test(name: &str) -> Result<PathBuf, Error> {
    let mut command = cargo();
    command
        .current_dir(workspace::root())
        .args(["test", "--no-run"])
        .args(TESTED)
        .args(["--test", name])
        .args(program::TELL);
    program::built_by(&mut command, "test", name)
}

fn compile_agent(arguments: &[&str]) -> Result<PathBuf, Error> {
    let mut command = cargo();
    command
        .current_dir(workspace::root())
        .args(["build", "--package", "rsfaas"])
        .args(arguments)
        .args(program::TELL);
    program::built_by(&mut command, "bin", "rsfaas")
}
