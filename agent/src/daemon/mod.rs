//! The agent: everything put together, and its life from start to stop.
mod agent;
mod commands;
mod counters;
mod limits;
mod listing;
mod records;
mod registry;
mod stop;
mod switchboard;
mod watch;

use self::agent::Agent;
use crate::{chain, config::Config, control, rebuild, release::Port};

/// Why the agent could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The programs or the kernel's tables.
    #[error(transparent)]
    Spot(#[from] crate::spot::SpotError),
    /// The way back into the host.
    #[error(transparent)]
    Release(#[from] crate::release::ReleaseError),
    /// The state folder.
    #[error(transparent)]
    State(#[from] crate::state::StateError),
    /// The control socket.
    #[error(transparent)]
    Control(#[from] control::ServerError),
    /// The gateway or faas-cli.
    #[error(transparent)]
    Faas(#[from] crate::openfaas::FaasError),
    /// What an earlier agent left.
    #[error("what an earlier agent left: {0}")]
    Sweep(#[from] rebuild::RebuildError),
    /// Something of the system.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// Netlink has ended.
    #[error("interfaces can no longer be followed: netlink has ended")]
    Netlink,
    /// Nothing could be released any more.
    #[error(
        "the agent's pair of interfaces, {} and {}, was removed or set down by another program; a restart makes it anew",
        Port::PAIR[0],
        Port::PAIR[1]
    )]
    PairGone,
}

impl DaemonError {
    fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}

/// Runs the agent until it is told to stop.
///
/// # Errors
/// When it cannot start, or something that it cannot do without fails.
pub async fn run(config: Config) -> Result<(), DaemonError> {
    let mut agent = Agent::start(config).await?;
    let ended = agent.serve().await;
    if let Err(error) = &ended {
        tracing::error!(error = chain::of(error), "the agent cannot go on");
    }
    // Whatever it ends with, leases end with it.
    agent.stop().await;
    ended
}
