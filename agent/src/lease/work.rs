//! What takes time: unlocking, locking and removing, each in a task of its own.
use std::{sync::Arc, time::Duration};

use rsfaas_shim::Refusal;
use tokio::{sync::watch, task::JoinSet};

use super::{LockWaiter, removals::Removals, single::Holder};
use crate::{
    chain,
    rebuild::{Container, Keys, RebuildError},
    timeline::Timeline,
};

/// The work on a function's leases, and what it comes to.
pub(super) type Work = JoinSet<(Holder, Done)>;

/// What work on a lease comes to.
pub(super) enum Done {
    Unlocked(Result<String, Failure>, Timeline),
    /// The unlock was given up, since its lease was ended; nobody waits for it.
    GivenUp(Timeline),
    /// Everything is ciphertext again; the container is still to be removed.
    Locked(Result<(), String>, Timeline, Option<Arc<Container>>),
    /// It panicked, which is a defect; the machine must not be left waiting for it.
    BrokenOff(String),
}

/// Why an unlock failed.
pub(super) struct Failure {
    pub(super) refusal: Refusal,
    pub(super) what: String,
}

/// Unlocks, for so long at most, and no longer than until the channel of its keys is closed.
pub(super) fn unlock(
    work: &mut Work,
    holder: Holder,
    container: Arc<Container>,
    keys: watch::Receiver<Keys>,
    mut timeline: Timeline,
    limit: Duration,
) {
    start(work, holder, async move {
        let unlock = container.unlock(&keys, &mut timeline);
        let unlocked = tokio::select! {
            unlocked = tokio::time::timeout(limit, unlock) => unlocked,
            () = closed(keys.clone()) => return Done::GivenUp(timeline),
        };
        let result = match unlocked {
            Ok(result) => result.map_err(Failure::from),
            Err(_) => Err(Failure {
                refusal: Refusal::RebuildTimeout,
                what: format!("the unlock took longer than {} s", limit.as_secs()),
            }),
        };
        Done::Unlocked(result, timeline)
    });
}

/// Locks.
pub(super) fn lock(
    work: &mut Work,
    holder: Holder,
    container: Option<Arc<Container>>,
    keys: Option<Keys>,
    mut timeline: Timeline,
) {
    start(work, holder, async move {
        let result = match &container {
            Some(container) => container.lock(keys, &mut timeline).await,
            None => Ok(()),
        };
        Done::Locked(
            result.map_err(|error| chain::of(&error)),
            timeline,
            container,
        )
    });
}

/// Removes a container in which nothing is left, for those who wait for that.
pub(super) fn remove(
    removals: &mut Removals,
    container: Arc<Container>,
    mut timeline: Timeline,
    waiters: Vec<LockWaiter>,
) {
    let removal = async move {
        let result = container.remove(&mut timeline).await;
        (result.map_err(|error| chain::of(&error)), timeline)
    };
    removals.start(removal, waiters);
}

async fn closed(mut keys: watch::Receiver<Keys>) {
    while keys.changed().await.is_ok() {}
}

fn start(work: &mut Work, holder: Holder, task: impl Future<Output = Done> + Send + 'static) {
    // A task within a task, so that a panic has its lease's name.
    work.spawn(async move {
        let done = tokio::spawn(task).await;
        (
            holder,
            done.unwrap_or_else(|error| Done::BrokenOff(error.to_string())),
        )
    });
}

impl From<RebuildError> for Failure {
    fn from(error: RebuildError) -> Self {
        // The key was right when the request came: another lease has changed it since.
        let refusal = match &error {
            RebuildError::Seal(error) if error.is_wrong_key() => Refusal::KeyWrong,
            _ => Refusal::RebuildFailed,
        };
        Self {
            refusal,
            what: chain::of(&error),
        }
    }
}
