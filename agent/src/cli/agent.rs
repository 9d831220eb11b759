//! `rsfaas agent`: the daemon, in the foreground.
use std::path::PathBuf;

use tracing_subscriber::EnvFilter;

use super::exit::Failure;
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
    start_log(config.log);
    // One thread: what is held passes from task to task without waking another, and work that takes long
    // has threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io("the agent's threads", &error))?;
    Ok(runtime.block_on(daemon::run(config))?)
}

fn start_log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // A terminal that is gone would have the complaint about it end the agent in the middle of its work.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().init(),
    }
}
