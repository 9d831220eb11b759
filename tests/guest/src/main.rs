//! The first and only process of a virtual machine that `cargo xtask test-kernels` starts: shows that
//! the agent's programs load on its kernel, and that a request is spotted, held, released and its end
//! seen, by the agent's own code and over real interfaces.
//!
//! Each line that it prints of itself starts with [`TAG`]; the last one is the verdict.

mod agent;
mod cases;
mod failure;
mod machine;
mod network;
mod others;
mod server;

use std::process::ExitCode;

use crate::failure::Failure;

/// What tells this program's lines from the kernel's.
const TAG: &str = "rsfaas-guest:";

fn main() -> ExitCode {
    if std::process::id() != 1 {
        eprintln!("the first process of a virtual machine; see `cargo xtask test-kernels`");
        return ExitCode::FAILURE;
    }
    match run() {
        Ok(0) => println!("{TAG} verdict passed"),
        Ok(failed) => println!("{TAG} verdict {failed} failed"),
        Err(error) => {
            println!("{TAG} FAILED preparation: {error}");
            println!("{TAG} verdict failed");
        }
    }
    machine::stop();
    ExitCode::FAILURE
}

/// Runs every case; how many failed.
fn run() -> Result<usize, Failure> {
    machine::prepare()?;
    let mut failed = 0;
    for (name, outcome) in cases::all()? {
        match outcome {
            Ok(()) => println!("{TAG} passed {name}"),
            Err(error) => {
                failed += 1;
                println!("{TAG} FAILED {name}: {error}");
            }
        }
    }
    Ok(failed)
}
