//! Waits for a function's socket without calling the function.
use std::{io, iter, os::fd::OwnedFd, time::Duration};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::Instant,
};

use super::{MountError, listen::Listeners, process::Process};

/// Shortest and longest pause between two looks.
const PAUSE: (Duration, Duration) = (Duration::from_micros(200), Duration::from_millis(20));

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
    use super::*;

    #[test]
    fn looks_become_rarer_within_limits() {
        assert_eq!(pause(Duration::ZERO), Duration::from_micros(200));
        assert_eq!(pause(Duration::from_millis(160)), Duration::from_millis(10));
        assert_eq!(pause(Duration::from_secs(60)), Duration::from_millis(20));
    }
}
