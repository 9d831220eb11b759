//! What is logged, to standard error.
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::LogFormat;

/// The agent's log, in a format; `RUST_LOG` chooses what is in it.
pub(super) fn of_agent(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = fmt()
        .with_env_filter(filter)
        // A terminal that is gone would have the complaint about it end the agent in the middle of its work.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().init(),
    }
}

/// What would be a warning in the agent's log, told to whoever runs another subcommand.
pub(super) fn of_command() {
    fmt()
        .with_env_filter(EnvFilter::new("rsfaas=warn"))
        .log_internal_errors(false)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .init();
}
