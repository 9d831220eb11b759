//! Waits for a function's socket without calling the function.
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{MountError, listen::Listeners, process::Process};

/// Shortest and longest pause between two looks.
const PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));

/// Returns once something listens on `port` in the process's network namespace.
pub(super) async fn ready(
    process: &Process,
    port: u16,
    timeout: Duration,
) -> Result<(), MountError> {
    let listeners = Listeners::of(process)?;
    let start = Instant::now();
    loop {
        if listeners.has(process, port)? {
            return Ok(());
        }
        if process.is_ended() {
            return Err(MountError::Ended { pid: process.pid() });
        }
        let waited = start.elapsed();
        if waited >= timeout {
            return Err(MountError::NotListening {
                port,
                waited: timeout,
            });
        }
        sleep(pause(waited)).await;
    }
}

/// A sixteenth of the time waited so far: quick functions are seen at once, slow ones cost little.
fn pause(waited: Duration) -> Duration {
    (waited / 16).clamp(PAUSE.0, PAUSE.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_become_rarer_within_limits() {
        assert_eq!(pause(Duration::ZERO), Duration::from_millis(1));
        assert_eq!(pause(Duration::from_millis(160)), Duration::from_millis(10));
        assert_eq!(pause(Duration::from_secs(60)), Duration::from_millis(20));
    }
}
