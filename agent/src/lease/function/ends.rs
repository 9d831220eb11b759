//! The ends of leases: their time is over, or somebody has asked for it.
use rsfaas_shim::Refusal;
use tokio::time::Instant;

use super::Driver;
use crate::lease::single::Holder;

impl Driver {
    pub(super) fn stop(&mut self) {
        self.stopping = true;
        self.end_all();
    }

    pub(super) fn end_all(&mut self) {
        self.refuse_postponed(Refusal::RebuildFailed);
        for holder in self.leases.keys().copied().collect::<Vec<_>>() {
            self.end(holder);
        }
    }

    pub(super) fn end(&mut self, holder: Holder) {
        if let Some(lease) = self.leases.get_mut(&holder) {
            let actions = lease.end();
            self.act(holder, actions);
        }
    }

    /// Ends the leases whose time is over, and tells those who have waited too long for a lock.
    pub(super) fn expire(&mut self) {
        let now = Instant::now();
        let is_over = |time: Option<Instant>| time.is_some_and(|time| time <= now);
        let over: Vec<Holder> = self
            .leases
            .iter()
            .filter(|(_, lease)| is_over(lease.deadline()))
            .map(|(holder, _)| *holder)
            .collect();
        let mut waited = is_over(self.patience());
        if waited {
            self.refuse_postponed(Refusal::RebuildTimeout);
        }
        for holder in over {
            let Some(lease) = self.leases.get_mut(&holder) else {
                continue;
            };
            if lease.machine.is_kept_waiting() {
                waited = true;
                let actions = lease.give_up();
                self.act(holder, actions);
                continue;
            }
            if lease.is_expired(now) {
                tracing::info!(function = self.name(), "the lease has reached its limit");
            }
            self.end(holder);
        }
        if waited {
            self.failed("to lock takes long; callers who came meanwhile do not wait any longer");
        }
    }
}
