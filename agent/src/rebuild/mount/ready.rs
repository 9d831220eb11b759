//! Waits for a function's socket without calling the function.
use std::{io, iter, os::fd::OwnedFd, sync::Arc, time::Duration};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::Instant,
};

use super::{MountError, ParkToken, find::Scan, listen::Listeners, process::Process};

/// Shortest and longest pause between two looks.
const PAUSE: (Duration, Duration) = (Duration::from_micros(200), Duration::from_millis(20));

/// Between two looks for a process.
const SHOW_PAUSE: Duration = Duration::from_millis(10);

/// Waits until something listens on TCP port `port` in the network namespace of a container whose processes
/// carry `token`; `false` where none of this kernel's processes does, nor begins to for so long as `shows_within`.
///
/// # Errors
/// [`MountError::Ended`] when the process ends first, [`MountError::NotListening`] after `timeout`.
pub async fn wait_listening(
    token: Arc<ParkToken>,
    port: u16,
    shows_within: Duration,
    timeout: Duration,
) -> Result<bool, MountError> {
    let start = Instant::now();
    loop {
        if let Some(process) = Scan::beside(&token).await?.into_function() {
            ready(&process, &[], port, timeout).await?;
            return Ok(true);
        }
        if start.elapsed() >= shows_within {
            return Ok(false);
        }
        tokio::time::sleep(SHOW_PAUSE).await;
    }
}

/// Returns once something listens on `port` in the process's network namespace, and the process, which may
/// have listened before its handler was there, has loaded that; so have others with it, as far as they are left.
pub(super) async fn ready(
    process: &Process,
    others: &[Process],
    port: u16,
    timeout: Duration,
) -> Result<(), MountError> {
    let listeners = match Listeners::of(process) {
        Ok(listeners) => listeners,
        // Its files in /proc go first.
        Err(_) if process.is_ending() => return Err(MountError::Ended { pid: process.pid() }),
        Err(error) => return Err(error),
    };
    let timer = timer().map_err(MountError::kernel("a timer"))?;
    let start = Instant::now();
    loop {
        let all = iter::once(process).chain(others);
        let left: Vec<&Process> = all.filter(|process| !process.is_ended()).collect();
        let Some(one) = left.first() else {
            return Err(MountError::Ended { pid: process.pid() });
        };
        let listens = listeners.has(one, port)?;
        let has_loaded = |process: &&Process| matches!(process.is_waiting(), Ok(false));
        if listens && left.iter().all(has_loaded) {
            return Ok(());
        }
        let waited = start.elapsed();
        if waited >= timeout {
            return Err(match listens {
                true => MountError::NotLoaded { waited: timeout },
                false => MountError::NotListening {
                    port,
                    waited: timeout,
                },
            });
        }
        rest(&timer, pause(waited))
            .await
            .map_err(MountError::kernel("a timer"))?;
    }
}

/// A timer of the kernel's: the runtime's own counts whole milliseconds, and every caller would wait for one.
fn timer() -> io::Result<AsyncFd<OwnedFd>> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
    // SAFETY: the timer owns its descriptor, gives the same one each time, and lives inside the `AsyncFd`
    // from here on.
    unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) }.map_err(Into::into)
}

async fn rest(timer: &AsyncFd<OwnedFd>, pause: Duration) -> io::Result<()> {
    let once = Itimerspec {
        it_interval: Timespec::default(),
        it_value: Timespec {
            tv_sec: 0,
            tv_nsec: pause.subsec_nanos().into(),
        },
    };
    // Setting it also takes back that it has expired.
    timerfd_settime(timer.get_ref(), TimerfdTimerFlags::empty(), &once)?;
    timer.readable().await?.clear_ready();
    Ok(())
}

/// A sixteenth of the time waited so far: quick functions are seen at once, slow ones cost little.
fn pause(waited: Duration) -> Duration {
    (waited / 16).clamp(PAUSE.0, PAUSE.1)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rsfaas_shim::PARK_TOKEN;

    use super::*;
    use crate::rebuild::example;

    #[tokio::test]
    async fn a_process_that_has_not_shown_its_token_yet_is_waited_for() {
        let token = Arc::new(ParkToken::generate("host").unwrap());
        let script = format!(
            "cat; sleep 0.2; {PARK_TOKEN}={} exec sleep 9",
            token.expose()
        );
        let mut child = example::started(Command::new("sh").args(["-c", &script]));
        drop(child.stdin.take());
        let found =
            wait_listening(token, 1, Duration::from_secs(60), Duration::from_millis(20)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(
            matches!(found, Err(MountError::NotListening { .. })),
            "{found:?}"
        );
    }

    #[tokio::test]
    async fn a_container_of_another_kernels_is_not_waited_for_any_longer() {
        let token = Arc::new(ParkToken::generate("host").unwrap());
        assert!(
            !wait_listening(token, 1, Duration::from_millis(20), Duration::from_secs(60))
                .await
                .unwrap()
        );
    }

    #[test]
    fn looks_become_rarer_within_limits() {
        assert_eq!(pause(Duration::ZERO), Duration::from_micros(200));
        assert_eq!(pause(Duration::from_millis(160)), Duration::from_millis(10));
        assert_eq!(pause(Duration::from_secs(60)), Duration::from_millis(20));
    }
}
