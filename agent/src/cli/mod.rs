//! The command line: one file a subcommand.
use std::process::ExitCode;

/// Runs the subcommand that the arguments name.
#[must_use]
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
