//! `build-ebpf`, `build-shim`, `build`: the products that the agent embeds, and the agent.

mod artifact;
mod ebpf;
mod shim;
pub(crate) mod toolchain;

pub(crate) use ebpf::build as build_ebpf;
pub(crate) use shim::build as build_shim;

use std::path::PathBuf;

use crate::{
    error::Error,
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
