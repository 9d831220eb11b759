//! `rsfaas sweep`: removes what an agent that is gone has left.
use std::path::PathBuf;

use super::{
    exit::{Exit, Failure},
    openfaas::wait_for,
    output,
};
use crate::{
    config::Config,
    control,
    openfaas::{FaasCli, Gateway, remove_left_logins},
    rebuild::{self, Swept, UnlockedNames},
    release::{remove_left, send_pending_resets},
    state::StateDir,
};

/// Remove every container that this host's agent, which is gone, has left, parked or unlocked.
///
/// Ends their processes first, where they run on this host, so that no plaintext is left in memory whatever
/// the provider does. Refuses where an agent runs: that one keeps its own containers. The service manager
/// calls this whenever the agent has ended; an agent does the same when it starts.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The agent's configuration; without it /etc/rsfaas/agent.toml where that exists, else the defaults.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = Config::read(args.config.as_deref())?;
    if control::is_answered(&config.control_socket) {
        let message = format!(
            "an agent runs (it answers on {}) and keeps its own containers; `rsfaas lock --all` ends every \
             lease, stopping the agent removes everything",
            config.control_socket.display()
        );
        return Err(Failure::new(Exit::Exists, message));
    }
    let lines: String = sweep(&config)?
        .removed
        .iter()
        .map(|name| format!("{name} is removed\n"))
        .collect();
    output::text(if lines.is_empty() {
        "nothing was left\n"
    } else {
        &lines
    })
}

/// Removes what was left, where no agent runs, and warns of what stays.
pub(super) fn sweep(config: &Config) -> Result<Swept, Failure> {
    let state = StateDir::new(&config.state_dir);
    // That one may have another socket.
    let _claim = state.claim()?;
    // Before anything else: they hold requests of which nobody takes care.
    if let Err(error) = wait_for(async { Ok(remove_left().await) })? {
        tell!("warning: what the agent left at the network's interfaces stays: {error}");
    }
    // At once: their clients wait.
    match send_pending_resets(state.root()) {
        Ok(0) => {}
        Ok(ended) => tell!("{ended} connections are ended, of whose heads the agent had a part"),
        Err(error) => {
            tell!("warning: clients whose heads the agent had in part wait in vain: {error}");
        }
    }
    let names = UnlockedNames::of_host(&state)
        .map_err(|error| Failure::io(state.root().display(), &error))?;
    let gateway = config.gateway();
    let credentials = config.credentials.as_deref();
    remove_left_logins();
    let faas = FaasCli::new(&config.faas_cli, &gateway, credentials)?;
    let gateway = Gateway::new(&gateway, credentials)?;
    let swept = wait_for(async { Ok(rebuild::sweep(&names, &gateway, &faas).await?) })?;
    if let Some(advice) = swept.advice() {
        tell!("warning: {advice}");
    }
    let complaint = swept.complaint();
    swept.all_removed().map_err(|error| {
        let failure = Failure::from(error);
        let message = complaint.unwrap_or_else(|| failure.to_string());
        Failure::new(failure.exit(), message)
    })
}
