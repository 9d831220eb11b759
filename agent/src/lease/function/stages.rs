//! From the unlock to the next parked container: work that is started, and what comes of it.
use std::sync::Arc;

use rsfaas_shim::Refusal;

use super::Driver;
use crate::{
    clock::monotonic_now,
    fault::{self, Point},
    lease::{
        LockWaiter, Phase, keys,
        removals::Removed,
        single::{Holder, Lease},
        work::{self, Done},
    },
    rebuild::{self, Rebuilder, Standby},
    timeline::{Step, Timeline},
};

impl Driver {
    pub(super) fn unlock(&mut self, holder: Holder) {
        let Some(lease) = self.leases.get_mut(&holder) else {
            return;
        };
        let Some(keys) = lease.begin_unlock() else {
            // A defect; the machine must not be left waiting for it.
            let actions = lease.fail(Refusal::RebuildFailed);
            self.failed("there is no key to unlock with");
            self.act(holder, actions);
            return;
        };
        self.unlocks += 1;
        let container = Arc::new(self.rebuilder.container());
        lease.container = Some(Arc::clone(&container));
        let timeline = timeline(&self.rebuilder, lease);
        let limit = self.unlock_timeout;
        work::unlock(&mut self.work, holder, container, keys, timeline, limit);
    }

    pub(super) fn lock(&mut self, holder: Holder) {
        if holder == Holder::Everybody {
            self.end_admissions();
        }
        if let Some(lease) = self.leases.get_mut(&holder) {
            let (container, keys) = lease.close();
            let timeline = timeline(&self.rebuilder, lease);
            work::lock(&mut self.work, holder, container, keys, timeline);
        }
    }

    pub(super) fn done(&mut self, holder: Holder, done: Done) {
        let Some(lease) = self.leases.get_mut(&holder) else {
            return;
        };
        let changes_key = lease.changes_key;
        let actions = match done {
            Done::Unlocked(Ok(container), timeline) => {
                tracing::info!(function = self.rebuilder.name(), container, "unlocked");
                lease.timeline = Some(timeline);
                if let (Holder::Everybody, Some(container)) = (holder, &lease.container) {
                    self.ends.spawn(rebuild::ended(container.ends()));
                }
                lease.serve(container, self.lease_limit)
            }
            Done::Unlocked(Err(failure), timeline) => {
                lease.timeline = Some(timeline);
                let actions = lease.fail(failure.refusal);
                let trouble = self.rebuilder.trouble();
                // Whoever has waited for so long has not been told of it.
                let trouble = trouble.filter(|_| failure.refusal == Refusal::RebuildTimeout);
                self.failed(&match trouble {
                    Some(trouble) => format!("{}; {trouble}", failure.what),
                    None => failure.what,
                });
                actions
            }
            Done::GivenUp(timeline) => {
                tracing::info!(
                    function = self.rebuilder.name(),
                    "an unlock was given up: its lease has been ended"
                );
                lease.timeline = Some(timeline);
                lease.fail(Refusal::RebuildFailed)
            }
            Done::Locked(result, timeline, container) => {
                let (actions, waiters) = (lease.locked(), lease.take_waiters());
                self.locked(result, &waiters);
                if let Some(container) = container {
                    work::remove(&mut self.removals, container, timeline, waiters);
                }
                actions
            }
            Done::BrokenOff(what) => {
                let (actions, waiters) = match lease.machine.phase() {
                    Phase::Unlocking => (lease.fail(Refusal::RebuildFailed), Vec::new()),
                    _ => (lease.locked(), lease.take_waiters()),
                };
                self.not_locked(&format!("work was broken off: {what}"), &waiters);
                actions
            }
        };
        if changes_key {
            keys::keep_promises(&mut self.leases, self.rebuilder.sealed());
        }
        self.act(holder, actions);
        self.take_postponed();
    }

    /// Tells that everything of a lease is ciphertext, or that it is not, and under which key.
    fn locked(&mut self, result: Result<(), String>, waiters: &[LockWaiter]) {
        let key = self.rebuilder.sealed().key_id().unwrap_or_default();
        match result {
            Ok(()) => tracing::info!(function = self.name(), key, "locked"),
            Err(what) => {
                self.not_locked(&what, waiters);
                tracing::warn!(function = self.name(), key, "not everything is locked");
            }
        }
    }

    /// Parks the next container, unless the agent stops, and tells the lease's timeline.
    pub(super) fn removed(&mut self, removed: Removed) {
        if let Err(what) = &removed.result {
            self.not_locked(what, &removed.waiters);
        }
        let Some(mut timeline) = removed.timeline else {
            return;
        };
        let rebuilder = Arc::clone(&self.rebuilder);
        let timelines = self.timelines.clone();
        let park = !self.stopping;
        tokio::spawn(async move {
            if park && rebuilder.fill().await == Standby::Parked {
                timeline.note(Step::Parked);
                fault::pass(Point::LockParked);
            }
            // The receiver is gone only when the agent stops.
            let _ = timelines.send(timeline);
        });
    }
}

/// A lease's timeline; a new one where work on it was broken off.
fn timeline(rebuilder: &Rebuilder, lease: &mut Lease) -> Timeline {
    let timeline = lease.timeline.take();
    timeline.unwrap_or_else(|| Timeline::start(rebuilder.name(), monotonic_now()))
}
