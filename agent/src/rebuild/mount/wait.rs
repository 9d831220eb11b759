//! Waits until a process of a container waits for its handler.
use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{MountError, ParkToken, Parked, find::Scan, process::Process, swap};

/// First and longest pause between two looks for a parked process: each look reads all of `/proc`.
const LOOK: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(80));

/// For how long none of a container's processes may be there any more until the container has ended: one may follow
/// another.
const GONE: Duration = Duration::from_secs(2);

/// Waits until a process that carries `token` in its environment waits for its handler.
///
/// # Errors
/// [`MountError::NotParked`] when none does within `timeout`, [`MountError::EndedEarly`] as soon as the container's
/// processes have ended, [`MountError::NotIsolated`] when it shares its mount namespace with the agent or the host.
pub async fn wait_parked(token: Arc<ParkToken>, timeout: Duration) -> Result<Parked, MountError> {
    let start = Instant::now();
    let mut pause = LOOK.0;
    let mut carriers = Carriers::default();
    loop {
        let scan = Scan::beside(&token).await?;
        if let Some(process) = scan.waiting
            && waits_still(&process).await
        {
            if process.namespace()?.is_hosts()? {
                return Err(MountError::NotIsolated { pid: process.pid() });
            }
            let unswapped = keep_out_of_swap(&process);
            return Ok(Parked {
                process,
                first: scan.first,
                token,
                unswapped,
            });
        }
        if carriers.have_ended(scan.carriers, Instant::now()) {
            return Err(MountError::EndedEarly);
        }
        if start.elapsed() >= timeout {
            return Err(MountError::NotParked {
                waited: timeout,
                carriers: scan.carriers,
            });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LOOK.1);
    }
}

/// When a container's processes were there last.
#[derive(Default)]
struct Carriers(Option<Instant>);

impl Carriers {
    /// Notes how many are there now; whether there have been some, and none for too long since.
    fn have_ended(&mut self, count: usize, now: Instant) -> bool {
        if count > 0 {
            self.0 = Some(now);
        }
        self.0.is_some_and(|last| now.duration_since(last) >= GONE)
    }
}

/// Before there is anything in the container's memory that must not get there.
fn keep_out_of_swap(process: &Process) -> bool {
    match swap::keep_out(process) {
        Ok(()) => true,
        Err(error) => {
            tracing::debug!(pid = process.pid(), %error, "where swap is on, this container may be swapped");
            false
        }
    }
}

/// Tells a process that waits from one that reads its mount table in passing, as programs in Go do when
/// they start.
async fn waits_still(process: &Process) -> bool {
    tokio::time::sleep(LOOK.0).await;
    process.is_waiting().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rsfaas_shim::PARK_TOKEN;

    use super::*;
    use crate::rebuild::example;

    #[test]
    fn a_container_has_ended_when_its_processes_have_been_gone_for_a_while() {
        let start = Instant::now();
        let mut carriers = Carriers::default();
        let mut ended =
            |count, seconds| carriers.have_ended(count, start + Duration::from_secs(seconds));
        assert!(!ended(0, 30), "it is still to come");
        assert!(!ended(1, 31));
        assert!(!ended(0, 32), "another may follow");
        assert!(!ended(1, 33));
        assert!(!ended(0, 34));
        assert!(ended(0, 35));
    }

    #[tokio::test]
    async fn who_waits_for_a_container_that_ends_is_told_long_before_the_time_limit() {
        let token = Arc::new(ParkToken::generate("host").unwrap());
        let mut child = example::started(Command::new("cat").env(PARK_TOKEN, token.expose()));
        let wait = wait_parked(Arc::clone(&token), Duration::from_secs(60));
        let end = async {
            while Scan::of(&token).unwrap().carriers == 0 {
                tokio::time::sleep(LOOK.0).await;
            }
            // Whoever waits has looked by then.
            tokio::time::sleep(Duration::from_secs(1)).await;
            child.kill().unwrap();
            child.wait().unwrap();
        };
        let (parked, ()) = tokio::join!(wait, end);
        assert!(matches!(parked, Err(MountError::EndedEarly)));
    }
}
