//! Finds the processes of a container by the token in their environment: the same with every runtime.
use std::sync::Arc;

use super::{
    MountError, ParkToken,
    error::seen,
    process::{self, Process},
};

/// What one look through `/proc` found.
pub(super) struct Scan {
    /// The process that waits for its handler. Of several (a supervisor may have a mount table open for
    /// a moment) the last, which is the innermost.
    pub(super) waiting: Option<Process>,
    /// The container's first process, where that is another one: the watchdog, or the gate.
    pub(super) first: Option<Process>,
    /// A further one that carries the token.
    pub(super) carrier: Option<Process>,
    /// How many do.
    pub(super) carriers: usize,
}

impl Scan {
    /// Looks through all processes once (some milliseconds on a busy host).
    ///
    /// # Errors
    /// When the agent has too few descriptors or too little memory left to look: nobody can tell then who waits.
    pub(super) fn of(token: &ParkToken) -> Result<Self, MountError> {
        let mut scan = Self {
            waiting: None,
            first: None,
            carrier: None,
            carriers: 0,
        };
        for pid in all()? {
            let is_carrier = |environ: Option<Vec<u8>>| environ.is_some_and(|it| token.is_in(&it));
            if !is_carrier(seen(process::environ_of(pid))?) {
                continue;
            }
            let Some(process) = seen(Process::open(pid))? else {
                continue;
            };
            // Asked again of the very process that is now held.
            if !is_carrier(seen(process.read("environ"))?) {
                continue;
            }
            scan.carriers += 1;
            if seen(process.is_waiting())?.unwrap_or(false) {
                scan.waiting = Some(process);
            } else if seen(process.is_first())?.unwrap_or(false) {
                scan.first = Some(process);
            } else {
                scan.carrier = Some(process);
            }
        }
        Ok(scan)
    }

    /// Looks through all processes once, beside what else the agent has to do.
    ///
    /// # Errors
    /// When [`Self::of`] fails; [`MountError::Stopped`] when the agent ends.
    pub(super) async fn beside(token: &Arc<ParkToken>) -> Result<Self, MountError> {
        let token = Arc::clone(token);
        tokio::task::spawn_blocking(move || Self::of(&token))
            .await
            .map_err(|_| MountError::Stopped)?
    }

    /// The function of a container that nobody waits in: the first process, with which the container ends. A further
    /// one may be a health check, which is about to end.
    pub(super) fn into_function(self) -> Option<Process> {
        self.first.or(self.carrier)
    }
}

/// Numbers of all processes, in ascending order.
pub(super) fn all() -> Result<Vec<i32>, MountError> {
    process::all().map_err(|source| {
        MountError::exhausted(source).unwrap_or_else(MountError::kernel("reading /proc"))
    })
}

/// Tells whether the environment of the process of that number is such a one.
pub(super) fn carries(pid: i32, is_carrier: impl Fn(&[u8]) -> bool) -> Result<bool, MountError> {
    Ok(seen(process::environ_of(pid))?.is_some_and(|environ| is_carrier(&environ)))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rsfaas_shim::PARK_TOKEN;

    use super::*;
    use crate::rebuild::example;

    #[test]
    fn a_carrier_that_does_not_wait_is_counted_only() {
        let token = ParkToken::generate("host").unwrap();
        let mut child = example::started(Command::new("cat").env(PARK_TOKEN, token.expose()));
        let scan = Scan::of(&token).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(scan.carriers, 1);
        assert!(scan.waiting.is_none());
    }

    #[test]
    fn a_containers_function_is_its_first_process_whoever_else_carries_the_token() {
        let token = ParkToken::generate("host").unwrap();
        let mut container = example::started(
            Command::new("unshare")
                .args(["--pid", "--fork", "--kill-child", "sh", "-c", "cat; :"])
                .env(PARK_TOKEN, token.expose()),
        );
        let scan = Scan::of(&token).unwrap();
        container.kill().unwrap();
        container.wait().unwrap();
        assert_eq!(
            scan.carriers, 3,
            "unshare, the shell, and what it has started"
        );
        let first = scan.first.as_ref().map(Process::pid);
        assert!(first.is_some() && scan.carrier.is_some());
        assert_eq!(scan.into_function().as_ref().map(Process::pid), first);
    }

    #[test]
    fn a_token_that_nobody_carries_finds_nobody() {
        let scan = Scan::of(&ParkToken::generate("host").unwrap()).unwrap();
        assert_eq!(scan.carriers, 0);
    }
}
