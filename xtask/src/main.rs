//! The one entry for people and CI: `cargo xtask COMMAND`.
//!
//! Main reads the command line and calls the command; each command is a module of its own.

mod bench;
mod build;
mod canary;
mod debian;
mod demo;
mod error;
mod files;
mod fingerprint;
mod fuzz;
mod kernels;
mod process;
mod reader;
mod scene;
mod setup;
mod test;
mod testbed;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use error::Error;

/// Builds, sets up and tests RsFaaS.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Builds the eBPF programs that the agent embeds
    BuildEbpf,
    /// Builds the static programs that run inside containers, which the agent embeds too
    BuildShim,
    /// Builds all of these and the agent
    Build {
        /// With optimisation
        #[arg(long)]
        release: bool,
    },
    /// Installs what building and testing need (Debian, as root); skips what is there
    Setup {
        /// Only says what would be installed
        #[arg(long)]
        dry_run: bool,
        /// Leaves out what only the testbed needs: this host has an OpenFaaS
        #[arg(long)]
        existing: bool,
        /// Only what `cargo xtask build` needs
        #[arg(long, conflicts_with = "existing")]
        build: bool,
    },
    /// Writes `xtask/debian.lock` anew, by what the archive of Debian 12 has now (on that, as root)
    LockPackages,
    /// Raises and removes an OpenFaaS on this host, for development and tests (as root)
    #[command(subcommand)]
    Testbed(Bed),
    /// Measures side by side; asserts nothing about speed
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Shows the main job from nothing to the answer (as root)
    Demo {
        /// Leaves everything running and says how to play with it
        #[arg(long)]
        keep: bool,
        /// Uses an OpenFaaS of this host's, whose own agent has to be stopped first. OPENFAAS_URL names its gateway, where
        /// faas-cli is logged in, and RSFAAS_REGISTRY_PREFIX what images are named under; RSFAAS_TEMPLATES the folder that
        /// holds template/, and RSFAAS_PURGE_COMMAND the agent's `purge_command`, where these are set
        #[arg(long)]
        existing: bool,
    },
    /// Seals a function with a canary in its source, calls it, and searches for what is left (as root)
    Canary {
        /// Uses an OpenFaaS of this host's, whose own agent has to be stopped first. OPENFAAS_URL names its gateway, where
        /// faas-cli is logged in, and RSFAAS_REGISTRY_PREFIX what images are named under; RSFAAS_TEMPLATES the folder that
        /// holds template/, and RSFAAS_PURGE_COMMAND the agent's `purge_command`, where these are set
        #[arg(long)]
        existing: bool,
    },
    /// Runs the checks: all of them, or one part
    Test(test::Options),
    /// Feeds the targets of `tests/fuzz` (heads, connections, frames, events, sealed files) with whatever finds a way
    /// through them
    Fuzz(fuzz::Options),
    /// Boots other kernels in virtual machines and tests the packet path there; fetches what it
    /// needs (as root)
    TestKernels {
        /// Only this one
        #[arg(value_parser = kernels::VERSIONS)]
        kernel: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
enum Bed {
    /// Raises it; what runs already is used
    Up,
    /// Says how each part stands
    Status,
    /// Takes away everything that it left on the host
    Down,
    /// Kills a part of it, for tests of what follows; `up` starts that again
    Crash {
        /// The part
        part: testbed::Part,
    },
}

fn main() -> ExitCode {
    let task = Arguments::parse().task;
    reader::while_there(|| match run(task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    })
}

fn run(task: Task) -> Result<(), Error> {
    match task {
        Task::BuildEbpf => build::build_ebpf(),
        Task::BuildShim => build::build_shim(),
        Task::Build { release } => build::build(release).map(drop),
        Task::Setup {
            dry_run,
            existing,
            build,
        } => setup::run(setup::Options {
            dry_run,
            existing,
            build,
            ..setup::Options::default()
        }),
        Task::LockPackages => debian::renew(&packages()),
        Task::Testbed(Bed::Up) => testbed::up().map(|testbed| testbed.print_exports()),
        Task::Testbed(Bed::Status) => {
            testbed::status();
            Ok(())
        }
        Task::Testbed(Bed::Down) => testbed::down(),
        Task::Testbed(Bed::Crash { part }) => testbed::crash(part),
        Task::Canary { existing } => canary::run(existing),
        Task::Test(options) => test::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::TestKernels { kernel } => kernels::run(kernel.as_deref()),
        Task::Bench(bench) => bench::run(&bench),
        Task::Demo { keep, existing } => demo::run(&demo::Options { keep, existing }),
    }
}

/// All Debian packages that any command installs.
fn packages() -> Vec<&'static str> {
    [
        setup::packages(),
        testbed::packages(),
        kernels::PACKAGES.to_vec(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_is_not_tested_cannot_be_asked_for() {
        let parse = |kernel| Arguments::try_parse_from(["xtask", "test-kernels", kernel]);
        assert!(parse("6.1").is_ok());
        let error = parse("6.6").unwrap_err().to_string();
        assert!(error.contains("5.10, 6.1, 6.12"), "{error}");
    }

    #[test]
    fn every_debian_package_that_is_installed_is_locked() {
        let locked = debian::locked();
        for package in packages() {
            assert!(locked.iter().any(|it| it.name == package), "{package}");
        }
    }
}
