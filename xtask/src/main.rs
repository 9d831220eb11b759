//! The one entry for people and CI: `cargo xtask COMMAND`.
//!
//! Main reads the command line and calls the command; each command is a module of its own.

mod bench;
mod build;
mod canary;
mod demo;
mod error;
mod files;
mod fingerprint;
mod fuzz;
mod kernels;
mod process;
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
    },
    /// Raises and removes an OpenFaaS on this host, for development and tests (as root)
    #[command(subcommand)]
    Testbed(Bed),
    /// Measures side by side; asserts nothing about speed
    #[command(subcommand)]
    Bench(Bench),
    /// Shows the main job from nothing to the answer (as root)
    Demo {
        /// Leaves everything running and says how to play with it
        #[arg(long)]
        keep: bool,
        /// Uses the OpenFaaS that OPENFAAS_URL, the faas-cli login and RSFAAS_REGISTRY_PREFIX name
        #[arg(long)]
        existing: bool,
    },
    /// Seals a function with a canary in its source, calls it, and searches for what is left (as root)
    Canary {
        /// Uses the OpenFaaS that OPENFAAS_URL, the faas-cli login and RSFAAS_REGISTRY_PREFIX name
        #[arg(long)]
        existing: bool,
    },
    /// Runs the checks: all of them, or one part
    Test(test::Options),
    /// Feeds everything that reads foreign bytes with whatever finds a way through it
    Fuzz(fuzz::Options),
    /// Boots other kernels in virtual machines and tests the packet path there; fetches what it
    /// needs (as root)
    TestKernels {
        /// Only this one: 5.10, 6.1 or 6.12
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

#[derive(Debug, Subcommand)]
enum Bench {
    /// What a call costs in each state of a function, and the classic flow beside it (as root)
    Unlock {
        /// How often each is measured
        #[arg(long, default_value_t = 10)]
        runs: usize,
        /// Prints one JSON object
        #[arg(long)]
        json: bool,
        /// Uses the OpenFaaS that OPENFAAS_URL, the faas-cli login and RSFAAS_REGISTRY_PREFIX name
        #[arg(long)]
        existing: bool,
    },
    /// What the way through the agent adds to a call of an unlocked function (as root)
    Release {
        /// How often each is called
        #[arg(long, default_value_t = 500)]
        runs: usize,
        /// Prints one JSON object
        #[arg(long)]
        json: bool,
        /// Uses the OpenFaaS that OPENFAAS_URL, the faas-cli login and RSFAAS_REGISTRY_PREFIX name
        #[arg(long)]
        existing: bool,
    },
    /// Many unlocks back to back by several callers, beside a single one without a parked container (as root)
    Pool {
        /// Calls in all
        #[arg(long, default_value_t = 200)]
        runs: usize,
        /// Callers at a time
        #[arg(long, default_value_t = 4)]
        callers: usize,
        /// Parked containers
        #[arg(long, default_value_t = 4)]
        standby: usize,
        /// Prints one JSON object
        #[arg(long)]
        json: bool,
        /// Uses the OpenFaaS that OPENFAAS_URL, the faas-cli login and RSFAAS_REGISTRY_PREFIX name
        #[arg(long)]
        existing: bool,
    },
    /// What many unlocks and locks leave behind: nothing, or this fails (as root)
    Cycles {
        /// Unlocks, each with its lock
        #[arg(long, default_value_t = 2000)]
        cycles: usize,
        /// Prints one JSON object
        #[arg(long)]
        json: bool,
        /// Uses the OpenFaaS that OPENFAAS_URL, the faas-cli login and RSFAAS_REGISTRY_PREFIX name
        #[arg(long)]
        existing: bool,
    },
    /// What a packet costs in the programs, by what it is, and the gateway's throughput (as root)
    Packet {
        /// Pairs of measurements of the gateway's throughput, with the agent and without
        #[arg(long, default_value_t = 21)]
        pairs: usize,
        /// Prints one JSON object
        #[arg(long)]
        json: bool,
        /// Uses the OpenFaaS that OPENFAAS_URL, the faas-cli login and RSFAAS_REGISTRY_PREFIX name
        #[arg(long)]
        existing: bool,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<(), Error> {
    match task {
        Task::BuildEbpf => build::build_ebpf(),
        Task::BuildShim => build::build_shim(),
        Task::Build { release } => build::build(release),
        Task::Setup { dry_run, existing } => setup::run(setup::Options { dry_run, existing }),
        Task::Testbed(Bed::Up) => testbed::up().map(drop),
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
        Task::Bench(Bench::Unlock {
            runs,
            json,
            existing,
        }) => bench::unlock::run(&bench::unlock::Options {
            runs: runs.max(1),
            json,
            existing,
        }),
        Task::Bench(Bench::Release {
            runs,
            json,
            existing,
        }) => bench::release::run(&bench::release::Options {
            runs: runs.max(1),
            json,
            existing,
        }),
        Task::Bench(Bench::Pool {
            runs,
            callers,
            standby,
            json,
            existing,
        }) => bench::pool::run(&bench::pool::Options {
            runs: runs.max(1),
            callers: callers.max(1),
            standby,
            json,
            existing,
        }),
        Task::Bench(Bench::Cycles {
            cycles,
            json,
            existing,
        }) => bench::cycles::run(&bench::cycles::Options {
            cycles: cycles.max(1),
            json,
            existing,
        }),
        Task::Bench(Bench::Packet {
            pairs,
            json,
            existing,
        }) => bench::packet::run(&bench::packet::Options {
            pairs: pairs.max(1),
            json,
            existing,
        }),
        Task::Demo { keep, existing } => demo::run(&demo::Options { keep, existing }),
    }
}
