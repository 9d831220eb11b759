//! `rsfaas agent`: the daemon, in the foreground.
use std::path::PathBuf;

use nix::unistd::geteuid;

use super::{exit::Failure, log, told};
use crate::{
    config::{Config, LogFormat},
    daemon,
};

/// Run the agent: hold keyed requests, serve sealed functions, lock them again.
///
/// Stays in the foreground and logs to standard error. SIGTERM, SIGINT and the end of the
/// terminal (SIGHUP, unless it is ignored, as with nohup) end running leases, encrypt their handlers afresh and remove
/// every container of the agent's own. RUST_LOG chooses what is
/// logged, `info` unless set.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Configuration file; without it /etc/rsfaas/agent.toml where that exists, else the defaults.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = Config::read(args.config.as_deref())?;
    let format = config.log;
    log::of_agent(format);
    // One thread: what is held passes from task to task without waking another, and work that takes long
    // has threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io("the agent's threads", &error))?;
    let ended = runtime.block_on(daemon::run(config));
    ended.map_err(|error| {
        let failure = Failure::from(error);
        match format {
            LogFormat::Text => failure,
            // Whoever reads such a log takes every line for an object.
            LogFormat::Json => {
                tracing::error!("{}", told(&failure, geteuid().is_root()));
                failure.already_told()
            }
        }
    })
}
