//! The end of a container's first process, the watchdog or the gate, while the provider removes the container.
//!
//! Providers take a container's network down while it runs: faasd does so only then, and a container that
//! has died by itself leaves its address and its firewall rules on the host for good. So the first
//! process, which never had the handler, outlives the others, stopped. A stopped process would keep a
//! provider waiting that asks it to end and gives it time to do so; the question, a pending SIGTERM,
//! tells that the network is down, and is answered with SIGKILL.
use std::{pin::pin, time::Duration};

use tokio::time::{sleep, timeout};

use super::process::Process;

/// Between two looks whether a process has stopped, and how long it may take on a busy host.
const STOP_PAUSE: Duration = Duration::from_millis(1);
const STOP_PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(5);
/// For first processes that have no handler for SIGTERM: the kernel drops it, and nothing is pending.
const PATIENCE: Duration = Duration::from_secs(5);

/// Waits until a process that was told to stop has stopped: the kernel tells one of its threads, which
/// tells the others once it runs. Until then it may still see its child die, and end by itself.
pub(super) async fn stopped(first: &Process) {
    let stopped = async {
        while !first.is_stopped() && !first.is_ended() {
            sleep(STOP_PAUSE).await;
        }
    };
    // The handler's process is not kept alive for longer.
    let _ = timeout(STOP_PATIENCE, stopped).await;
}

/// Runs a removal, and kills the stopped process once it is asked to end, or when the removal is over.
pub(super) async fn attend<T>(first: &Process, removal: impl Future<Output = T>) -> T {
    let mut removal = pin!(removal);
    tokio::select! {
        removed = &mut removal => {
            kill(first);
            removed
        }
        _ = timeout(PATIENCE, asked_to_end(first)) => {
            kill(first);
            removal.await
        }
    }
}

async fn asked_to_end(first: &Process) {
    while !first.is_ended() && !first.is_asked_to_end() {
        sleep(PAUSE).await;
    }
}

fn kill(first: &Process) {
    if let Err(error) = first.kill() {
        tracing::warn!(%error, "the first process of a container is left to its provider");
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use nix::{
        sys::signal::{Signal, kill},
        unistd::Pid,
    };

    use super::*;

    /// A stopped process, as the watchdog is.
    async fn watchdog() -> (Child, Process) {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::open(child.id().cast_signed()).unwrap();
        process.stop().unwrap();
        stopped(&process).await;
        (child, process)
    }

    #[tokio::test]
    async fn a_provider_that_asks_and_waits_sees_the_process_end_and_goes_on() {
        let (mut child, process) = watchdog().await;
        let pid = Pid::from_raw(process.pid());
        let removal = async {
            // Not asked yet: a provider takes the network down first.
            sleep(PAUSE * 4).await;
            assert!(!process.is_ended());
            kill(pid, Signal::SIGTERM).unwrap();
            while !process.is_ended() {
                sleep(PAUSE).await;
            }
            "removed"
        };
        assert_eq!(attend(&process, removal).await, "removed");
        child.wait().unwrap();
    }

    #[tokio::test]
    async fn nothing_is_left_after_a_removal_that_asks_nobody() {
        let (mut child, process) = watchdog().await;
        attend(&process, async {}).await;
        child.wait().unwrap();
        assert!(process.is_ended());
    }
}
