//! `rsfaas lock`: ends a lease now.
use super::{exit::Failure, output, status::Socket};
use crate::control::Command;

/// End a function's lease now, whoever still holds it; returns when everything is ciphertext again.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The function.
    function: String,
    #[command(flatten)]
    socket: Socket,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    args.socket.ask(&Command::Lock {
        function: args.function.clone(),
    })?;
    output::text(&format!("{} is locked\n", args.function))
}
