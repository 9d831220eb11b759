//! `cargo xtask setup`: installs what building and testing need and this host lacks, and nothing
//! else. Go and cargo are the prerequisites that it does not install.

mod boot;
mod go;
mod packages;
mod plan;
mod services;

use std::process::Command;

use crate::{
    build::toolchain::{Found, LLVM},
    error::Error,
    process::{self, cargo, find},
};
pub(crate) use go::find_go;
use plan::{Host, Step};

const BPF_LINKER: &str = "0.13.0";
const CARGO_DENY: &str = "0.20.2";
const CARGO_FUZZ: &str = "0.13.2";

/// What to set up.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options {
    /// Only say what would be installed.
    pub(crate) dry_run: bool,
    /// Leave out what only the testbed needs.
    pub(crate) existing: bool,
    /// Leave out all that `cargo xtask build` does not need.
    pub(crate) build: bool,
    /// Leave out the clients that only tests and benchmarks call functions with.
    pub(crate) no_clients: bool,
}

/// Installs what is missing.
pub(crate) fn run(options: Options) -> Result<(), Error> {
    let Options {
        dry_run,
        existing,
        build,
        no_clients,
    } = options;
    let steps = plan::plan(&Host {
        existing,
        build,
        no_clients,
        ..look()
    });
    if !dry_run {
        services::recover()?;
    }
    if steps.is_empty() {
        println!("set-up: everything is installed");
    } else if !dry_run {
        packages::check_rights()?;
    }
    for step in &steps {
        println!("set-up: {step}");
        if !dry_run {
            carry_out(step)?;
        }
    }
    if !existing
        && !build
        && let Err(error) = find_go()
    {
        println!("set-up: {error}");
    }
    Ok(())
}

fn look() -> Host {
    Host {
        ebpf: Found::look(),
        engine: ["docker", "dockerd", "containerd"]
            .iter()
            .all(|program| find(program).is_some()),
        node: find("node").is_some(),
        formatter: find("cargo-fmt").is_some(),
        deny: find("cargo-deny").is_some(),
        fuzz: find("cargo-fuzz").is_some(),
        nightly: has_nightly(),
        missing: packages::missing(plan::ALL_PACKAGES),
        ..Host::default()
    }
}

fn carry_out(step: &Step) -> Result<(), Error> {
    match step {
        Step::Packages(names) => packages::install(names),
        Step::BpfLinker => process::run(
            cargo_install("bpf-linker", BPF_LINKER)
                // Without the prefix, another LLVM on the host is found first.
                .env("LLVM_PREFIX", format!("/usr/lib/llvm-{LLVM}"))
                .args([
                    "--no-default-features",
                    "--features",
                    &format!("llvm-{LLVM}"),
                ]),
        ),
        Step::CargoDeny => process::run(&mut cargo_install("cargo-deny", CARGO_DENY)),
        Step::CargoFuzz => process::run(&mut cargo_install("cargo-fuzz", CARGO_FUZZ)),
    }
}

/// Installs a program that runs for seconds: optimising it would take longer than it gains.
fn cargo_install(name: &str, version: &str) -> Command {
    let mut command = cargo();
    command.args(["install", name, "--version", version, "--locked", "--debug"]);
    command
}

/// Installs Debian packages that only one command needs.
pub(crate) fn install(names: &[&str]) -> Result<(), Error> {
    packages::check_rights()?;
    println!("set-up: install Debian packages {}", names.join(" "));
    packages::install(names)
}

/// Whether rustup has a nightly compiler, which fuzzing needs.
pub(crate) fn has_nightly() -> bool {
    process::succeeds(Command::new("rustc").args(["+nightly", "--version"]))
}

/// All Debian packages that a host may need.
pub(crate) fn packages() -> Vec<&'static str> {
    plan::ALL_PACKAGES.concat()
}

/// Which commands the testbed cannot do without and this host lacks, of those that the set-up installs.
pub(crate) fn missing_for_testbed() -> Vec<&'static str> {
    [
        "docker",
        "dockerd",
        "containerd",
        "docker-registry",
        "mkfs.ext4",
        "prometheus",
        "mmdebstrap",
        "iptables",
        "ip",
    ]
    .into_iter()
    .filter(|program| find(program).is_none())
    .collect()
}

/// Debian's own docker client, which comes with what builds need (another may be first on the path),
/// for the engine of this host, whatever the environment says.
pub(crate) fn docker() -> Command {
    let mut command = Command::new("/usr/bin/docker");
    command
        .env("DOCKER_BUILDKIT", "1")
        .env("DOCKER_HOST", "unix:///var/run/docker.sock");
    command
}
