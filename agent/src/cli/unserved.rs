//! Whether the agent still serves a function whose record is gone: it ends the leases first.
use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::exit::{Exit, Failure};
use crate::control::{self, ClientError, Command, Reply};

/// How long the agent may go on serving a function: for hangs only, as it ends leases and removes containers.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two questions whether it still does.
const PAUSE: Duration = Duration::from_millis(100);

/// Whether a running agent serves a function, or is still ending its leases.
pub(super) fn is_served(socket: &Path, name: &str) -> Result<bool, ClientError> {
    match control::ask(socket, &Command::Status) {
        Ok(Reply::Status(status)) => {
            let is_busy = status.busy.iter().any(|it| it == name);
            Ok(is_busy || status.functions.iter().any(|it| it.name == name))
        }
        // It is stopping, and ends every lease.
        Ok(_) => Ok(true),
        Err(ClientError::NoAgent { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Waits until the agent, where one runs, has ended a function's leases and does not serve it any more.
pub(super) async fn wait_until_unserved(socket: &Path, name: &str) -> Result<(), Failure> {
    let start = Instant::now();
    loop {
        match is_served(socket, name) {
            Ok(false) => return Ok(()),
            // Its record is gone already, or has never been this user's: it is another one's agent.
            Err(ClientError::NotPermitted { .. }) => return Ok(()),
            Ok(true) | Err(_) if start.elapsed() < PATIENCE => tokio::time::sleep(PAUSE).await,
            Ok(true) => {
                let message = format!(
                    "the agent has not let go of {name} within {} s: stop the agent",
                    PATIENCE.as_secs()
                );
                return Err(Failure::new(Exit::Unexpected, message));
            }
            Err(error) => return Err(error.into()),
        }
    }
}
