//! Ends all processes of a container, those that the handler started included; or all but the first,
//! which had no part in the handler.
use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    MountError, ParkToken, find,
    namespace::{self, Namespace},
    process::{self, Process},
};

const TIMEOUT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(2);

/// Kills what carries the token or lives in the mount namespace, again and again until nothing but the
/// spared process is left: a process may have forked between two looks.
pub(super) async fn kill_all(
    token: &Arc<ParkToken>,
    namespace: Option<&Arc<Namespace>>,
    spared: Option<&Process>,
) -> Result<(), MountError> {
    let spared = spared.map(Process::pid);
    let start = Instant::now();
    loop {
        let (token, namespace) = (Arc::clone(token), namespace.cloned());
        let left =
            tokio::task::spawn_blocking(move || kill_once(&token, namespace.as_deref(), spared))
                .await
                .map_err(|_| MountError::Stopped)??;
        if left.is_empty() {
            return Ok(());
        }
        if start.elapsed() >= TIMEOUT {
            return Err(MountError::Survivors { pids: left });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Kills each process of the container once; returns their numbers.
fn kill_once(
    token: &ParkToken,
    namespace: Option<&Namespace>,
    spared: Option<i32>,
) -> Result<Vec<i32>, MountError> {
    let number = namespace.map(Namespace::number);
    let belongs = |pid| {
        number.is_some_and(|number| namespace::number_of(pid) == Some(number))
            || find::carries(pid, token)
    };
    let mut killed = Vec::new();
    for pid in process::all().map_err(MountError::kernel("reading /proc"))? {
        if Some(pid) != spared
            && let Some(process) = hold(pid, belongs)
        {
            process.kill()?;
            killed.push(pid);
        }
    }
    Ok(killed)
}

/// Takes hold of a process that belongs to a container.
pub(super) fn hold(pid: i32, belongs: impl Fn(i32) -> bool) -> Option<Process> {
    if !belongs(pid) {
        return None;
    }
    // Held first, then asked again: the number may have gone to somebody else.
    Process::open(pid).ok().filter(|_| belongs(pid))
}
