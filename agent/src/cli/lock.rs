//! `rsfaas lock`: ends leases now.
use super::{exit::Failure, output, status::Socket};
use crate::control::Command;

/// End a function's lease now, whoever still holds it; returns when everything is ciphertext again.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The function.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    function: Option<String>,
    /// Every function.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    socket: Socket,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    args.socket.ask(&Command::Lock {
        function: args.function.clone(),
    })?;
    let what = args.function.as_deref().unwrap_or("every function");
    output::text(&format!("{what} is locked\n"))
}
