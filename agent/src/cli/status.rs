//! `rsfaas status`: what a running agent does.
use std::{fmt::Write as _, path::PathBuf};

use super::{
    exit::{Exit, Failure},
    output,
};
use crate::{
    config::Config,
    control::{self, Command, Reply, Status},
    lease::{FunctionStatus, LeaseStatus, Phase},
};

/// Show what the agent does: functions, leases, parked containers and their memory, counters.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    socket: Socket,
}

/// Where the agent answers.
#[derive(Debug, clap::Args)]
pub(super) struct Socket {
    /// The agent's control socket; without it, that of the agent's configuration.
    #[arg(long, value_name = "PATH")]
    control_socket: Option<PathBuf>,
    /// The agent's configuration; without it /etc/rsfaas/agent.toml where that exists.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Socket {
    /// Asks the agent; what it refuses is an error.
    pub(super) fn ask(&self, command: &Command) -> Result<Reply, Failure> {
        accepted(control::ask(&self.path()?, command)?)
    }

    fn path(&self) -> Result<PathBuf, Failure> {
        Ok(match &self.control_socket {
            Some(path) => path.clone(),
            None => Config::read(self.config.as_deref())?.control_socket,
        })
    }
}

fn accepted(reply: Reply) -> Result<Reply, Failure> {
    match reply {
        Reply::Error(what) => Err(Failure::new(Exit::Unexpected, what)),
        Reply::NotServed(name) => {
            let what = format!(
                "no sealed function {name:?} is served here; `rsfaas status` lists those that are"
            );
            Err(Failure::new(Exit::NotSealed, what))
        }
        Reply::Stopping => Err(Failure::new(Exit::NoAgent, "the agent is stopping")),
        reply => Ok(reply),
    }
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let Reply::Status(status) = args.socket.ask(&Command::Status)? else {
        return Err(Failure::new(
            Exit::Unexpected,
            "the agent answered something else",
        ));
    };
    let text = if args.json {
        serde_json::to_string(&status).map_err(|error| Failure::new(Exit::Unexpected, error))?
            + "\n"
    } else {
        to_text(&status)
    };
    output::text(&text)
}

fn to_text(status: &Status) -> String {
    let interfaces: Vec<String> = status
        .interfaces
        .iter()
        .map(|interface| format!("{} ({})", interface.name, interface.attached))
        .collect();
    let mut text = format!(
        "agent {}, process {}, gateway port {}, on {}\n",
        status.version,
        status.pid,
        status.port,
        interfaces.join(" "),
    );
    if !status.swap.places.is_empty() {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "swap is on ({}): the agent is {}; a function whose parked containers are not marked `unswapped` may go \
             there while it is unlocked",
            status.swap.places.join(" "),
            if status.swap.agent_is_locked {
                "locked in memory"
            } else {
                "NOT locked in memory, and may go there"
            },
        );
    }
    if status.functions.is_empty() && status.busy.is_empty() {
        text += "no sealed functions; seal one with `rsfaas seal`\n";
    }
    for function in &status.functions {
        text += &line(function);
    }
    for name in &status.busy {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{name:<20} busy       does not answer at the moment; ask again"
        );
    }
    for (name, count) in status.counters.iter().filter(|(_, count)| **count > 0) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<24} {count}");
    }
    text
}

fn line(function: &FunctionStatus) -> String {
    let phase = word(function.phase);
    let parked: Vec<String> = function
        .parked
        .iter()
        .map(|parked| {
            let memory = parked.memory_kib.map(|memory| format!("{memory} KiB"));
            let unswapped = parked.unswapped.then(|| "unswapped".to_owned());
            let notes: Vec<String> = memory.into_iter().chain(unswapped).collect();
            if notes.is_empty() {
                parked.name.clone()
            } else {
                format!("{} ({})", parked.name, notes.join(", "))
            }
        })
        .collect();
    let mut text = format!(
        "{:<20} {phase:<10} key {} connections {} unlocks {} parked {}\n",
        function.name,
        function.key_id.as_deref().unwrap_or("unreadable"),
        function.connections,
        function.unlocks,
        if parked.is_empty() {
            "none".to_owned()
        } else {
            parked.join(", ")
        },
    );
    for lease in &function.leases {
        text += &lease_line(lease);
    }
    if let Some(error) = &function.last_error {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  last error: {error}");
    }
    text
}

fn lease_line(lease: &LeaseStatus) -> String {
    let mut text = format!("  lease {} for {} s", word(lease.phase), lease.seconds);
    if let Some(container) = &lease.container {
        text += &format!(" in {container}");
    }
    text += &match &lease.client {
        Some(client) => format!(", of {client}"),
        None => format!(", connections {}", lease.connections),
    };
    text += &limits(lease);
    if let Some(next) = &lease.next_key_id {
        text += &format!(", key afterwards {next}");
    }
    text + "\n"
}

/// What ends a lease, but for its last close.
fn limits(lease: &LeaseStatus) -> String {
    let mut text = String::new();
    if let Some(left) = lease.ends_in_seconds {
        text += &format!(", ends in {left} s");
    }
    match lease.lingers_for_seconds {
        Some(left) => text += &format!(", lingers for {left} s"),
        None if lease.linger_seconds > 0 => {
            text += &format!(", to linger for {} s", lease.linger_seconds);
        }
        None => {}
    }
    text + &format!(", idle limit {} s", lease.idle_limit_seconds)
}

fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Locked => "locked",
        Phase::Unlocking => "unlocking",
        Phase::Unlocked => "unlocked",
        Phase::Locking => "locking",
    }
}

#[cfg(test)]
mod tests;
