//! What there is to tell of a function.
use tokio::time::Instant;

use super::Driver;
use crate::lease::{FunctionStatus, Phase, single::Lease};

impl Driver {
    pub(super) fn status(&self) -> FunctionStatus {
        let now = Instant::now();
        let told = |(holder, lease): (&_, &Lease)| {
            lease.status(*holder, self.linger, self.idle_limit, now)
        };
        let mut leases: Vec<_> = self.leases.iter().map(told).collect();
        leases.sort_by_key(|lease| std::cmp::Reverse(lease.seconds));
        let phases = [Phase::Unlocked, Phase::Unlocking, Phase::Locking];
        let phase = phases
            .into_iter()
            .find(|phase| leases.iter().any(|lease| lease.phase == *phase));
        FunctionStatus {
            name: self.name().to_owned(),
            // For who looks on it is not over before the last container has gone, though the next unlock may begin.
            phase: phase.unwrap_or(if self.removals.is_empty() {
                Phase::Locked
            } else {
                Phase::Locking
            }),
            rebuild: self.rebuilder.function().rebuild,
            isolation: self.rebuilder.function().isolation,
            key_id: self.rebuilder.sealed().key_id(),
            connections: leases.iter().map(|lease| lease.connections).sum(),
            unlocked: leases.iter().find_map(|lease| lease.container.clone()),
            leases,
            parked: self.rebuilder.parked(),
            unlocks: self.unlocks,
            last_error: self.rebuilder.trouble().or_else(|| self.last_error.clone()),
        }
    }
}
