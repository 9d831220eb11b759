//! The signals that tell the agent to stop.
use std::{fs, io};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM, SIGINT, and the end of the terminal.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    /// None where whoever has started the agent wants it to outlive the terminal (nohup).
    hangup: Option<Signal>,
}

impl StopSignals {
    /// From here on they end nothing by themselves.
    pub(super) fn new() -> io::Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let hangup = (!is_hangup_ignored(&status)).then(|| signal(SignalKind::hangup()));
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: hangup.transpose()?,
        })
    }

    /// Waits for one. Safe to cancel.
    pub(super) async fn next(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = hangup => {}
        }
    }
}

/// Whether SIGHUP is ignored, by a process's status: signal 1 is the lowest bit.
fn is_hangup_ignored(status: &str) -> bool {
    let ignored = status.lines().find_map(|it| it.strip_prefix("SigIgn:"));
    ignored
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use nix::{
        sys::signal::{Signal, kill},
        unistd::Pid,
    };

    use super::*;

    #[test]
    fn an_ignored_hangup_is_told_from_other_signals() {
        assert!(is_hangup_ignored("Name:\tx\nSigIgn:\t0000000000001001\n"));
        assert!(!is_hangup_ignored("Name:\tx\nSigIgn:\t0000000000001000\n"));
        assert!(!is_hangup_ignored(""));
    }

    #[tokio::test]
    async fn the_end_of_the_terminal_stops_the_agent() {
        let mut stop = StopSignals::new().unwrap();
        // Also where the tests run under nohup.
        stop.hangup = Some(signal(SignalKind::hangup()).unwrap());
        kill(Pid::this(), Signal::SIGHUP).unwrap();
        stop.next().await;
    }
}
