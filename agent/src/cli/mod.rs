//! The command line: one file a subcommand, each with its arguments and a `run`.
//!
//! A subcommand writes its result to standard output and everything else to standard error, and
//! ends with one of the codes of [`exit`]. Keys come from files or standard input, never from
//! arguments or the environment, where other processes could read them.
/// Tells people something on standard error. Whoever could have read it may have gone, which stops nothing.
macro_rules! tell {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}

mod agent;
mod classify;
pub mod exit;
mod forget;
mod inspect;
mod key_file;
mod keygen;
mod lease_images;
mod lock;
mod log;
mod open;
mod openfaas;
mod output;
mod seal;
mod signals;
mod status;
mod sweep;
mod target;
mod unseal;
mod unserved;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use nix::{errno::Errno, unistd::geteuid};

use self::exit::{Exit, Failure};

/// Functions on an OpenFaaS host whose source is ciphertext, except while a caller who holds the
/// key is being served.
#[derive(Debug, Parser)]
#[command(
    name = "rsfaas",
    version,
    after_help = "Begin with `rsfaas keygen -o NAME.key`. \
                  Exit codes and their meaning: docs/exit-codes.md"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Keygen(keygen::Args),
    Seal(seal::Args),
    Unseal(unseal::Args),
    Forget(forget::Args),
    Open(open::Args),
    Inspect(inspect::Args),
    Agent(agent::Args),
    Status(status::Args),
    Lock(lock::Args),
    Sweep(sweep::Args),
}

/// Runs the subcommand that the arguments name.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => {
            let exit = if told.use_stderr() {
                Exit::Usage.into()
            } else {
                ExitCode::SUCCESS
            };
            return match told.print() {
                Ok(()) => exit,
                Err(_) => Exit::File.into(),
            };
        }
    };
    if !matches!(cli.command, Command::Agent(_)) {
        log::of_command();
    }
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.is_told() {
                tell!("error: {}", told(&failure, geteuid().is_root()));
            }
            failure.exit().into()
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Keygen(args) => keygen::run(&args),
        Command::Seal(args) => seal::run(&args),
        Command::Unseal(args) => unseal::run(&args),
        Command::Forget(args) => forget::run(&args),
        Command::Agent(args) => agent::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Lock(args) => lock::run(&args),
        Command::Sweep(args) => sweep::run(&args),
        Command::Open(args) => open::run(&args),
        Command::Inspect(args) => inspect::run(&args),
    }
}

/// What is told of a failure: its causes, and what helps where the system does not permit it or has no room.
fn told(failure: &Failure, is_root: bool) -> String {
    let text = failure.to_string();
    // Some say so themselves, and to what else it comes down.
    let advice = match failure.exit() {
        Exit::Permission if !is_root && !text.contains(" root") => "; run it as root (sudo)",
        Exit::File if text.contains(Errno::ENOSPC.desc()) && !text.contains("free some room") => {
            "; free some room there, and run it again"
        }
        _ => "",
    };
    text + advice
}

#[cfg(test)]
mod tests {
    use std::io;

    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn who_lacks_a_permission_is_told_to_be_root_once_and_root_is_not() {
        let not_permitted = |text: &str| Failure::new(Exit::Permission, text);
        let failure = not_permitted("/var/lib/rsfaas: Permission denied");
        assert_eq!(
            told(&failure, false),
            "/var/lib/rsfaas: Permission denied; run it as root (sudo)"
        );
        assert_eq!(told(&failure, true), failure.to_string());
        for failure in [
            not_permitted("not permitted; run the agent as root"),
            Failure::new(Exit::File, "/f: No such file or directory"),
        ] {
            assert_eq!(told(&failure, false), failure.to_string());
        }
    }

    #[test]
    fn who_lacks_room_is_told_to_make_some_once() {
        let full = io::Error::from_raw_os_error(Errno::ENOSPC as i32);
        let failure = Failure::io("/f/handler.sealed", &full);
        assert_eq!(
            told(&failure, true),
            "/f/handler.sealed: No space left on device (os error 28); free some room there, and run it again"
        );
        let says_so = Failure::io("/tmp, where you may free some room", &full);
        assert_eq!(told(&says_so, true), says_so.to_string());
    }
}
