//! `rsfaas lock`: ends leases now.
use super::{
    exit::{Exit, Failure},
    output,
    status::Socket,
};
use crate::control::{Command, Reply};

/// End a function's lease now, whoever still holds it; returns when nothing of it is left.
///
/// Everything is ciphertext again then. Where anything of that failed, the rest is done all the same, and the command
/// fails and says what.
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
    let reply = args.socket.ask(&Command::Lock {
        function: args.function.clone(),
    })?;
    if let Reply::NotLocked(failures) = reply {
        return Err(not_locked(&failures));
    }
    let what = args.function.as_deref().unwrap_or("every function");
    output::text(&format!("{what} is locked\n"))
}

fn not_locked(failures: &[String]) -> Failure {
    let what = format!(
        "the leases have ended, but not everything of them could be cleaned up: {}; the agent removes what is left of \
         containers when it starts again (systemctl restart rsfaas-agent), and `rsfaas inspect` tells which key opens \
         a handler",
        failures.join("; ")
    );
    Failure::new(Exit::NotLocked, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_locked_has_a_code_of_its_own_and_is_told_with_what_helps() {
        let failure = not_locked(&["pydict: disk full".into(), "node: no answer".into()]);
        assert_eq!(failure.exit(), Exit::NotLocked);
        let text = failure.to_string();
        assert!(
            text.contains("pydict: disk full; node: no answer"),
            "{text}"
        );
        assert!(text.contains("restart"), "{text}");
    }
}
