//! What the agent counts beside the programs' own counters.
use std::collections::BTreeMap;

use rsfaas_shim::Refusal;

/// Outcomes in the agent, since its start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Requests released to an unlocked container.
    pub(super) served: u64,
    /// Of these, the ones that were let in by the door of an open lease.
    pub(super) served_by_door: u64,
    /// Requests that named an unlocked container, hidden from the gateway.
    pub(super) direct: u64,
    /// Frames sent on.
    pub(super) frames_released: u64,
    /// Frames that could not be sent on; the client sends them again.
    pub(super) frames_lost: u64,
    /// Held frames that could not be read.
    pub(super) frames_bad: u64,
    /// Segments that were not kept for lack of room; the client sends them again.
    pub(super) segments_dropped: u64,
    /// Heads that did not come in time.
    pub(super) heads_timed_out: u64,
    /// Parts of heads of which the client was told that they have come, so that it sends the rest.
    pub(super) heads_acknowledged: u64,
    /// Texts of requests that were taken for parts of bodies, and went on as they were.
    pub(super) lookalikes_passed: u64,
    /// Connections whose lease was taken because nothing happened on them.
    pub(super) leases_idle: u64,
    /// Changes of the kernel's tables that failed.
    pub(super) table_errors: u64,
    refused: BTreeMap<&'static str, u64>,
}

impl Counters {
    /// Counts a refused request.
    pub(super) fn refused(&mut self, refusal: Refusal) {
        *self.refused.entry(refusal.reason()).or_default() += 1;
    }

    /// Every counter by name.
    pub(super) fn all(&self) -> BTreeMap<String, u64> {
        let plain = [
            ("served", self.served),
            ("served_by_door", self.served_by_door),
            ("direct_hidden", self.direct),
            ("frames_released", self.frames_released),
            ("frames_lost", self.frames_lost),
            ("frames_bad", self.frames_bad),
            ("segments_dropped", self.segments_dropped),
            ("heads_timed_out", self.heads_timed_out),
            ("heads_acknowledged", self.heads_acknowledged),
            ("lookalikes_passed", self.lookalikes_passed),
            ("leases_idle", self.leases_idle),
            ("table_errors", self.table_errors),
        ];
        let refused = self
            .refused
            .iter()
            .map(|(reason, count)| (format!("refused_{}", reason.replace('-', "_")), *count));
        plain
            .into_iter()
            .map(|(name, count)| (name.to_owned(), count))
            .chain(refused)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_for_users_tells_of_every_counter() {
        let page = include_str!("../../../docs/counters.md");
        let mut counters = Counters::default();
        for refusal in Refusal::ALL {
            counters.refused(refusal);
        }
        let programs = agent_ebpf::Counter::ALL.iter().map(|(_, name)| *name);
        for name in counters.all().keys().map(String::as_str).chain(programs) {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
    }
}
