//! First segments that are left out: the client sends them again, and nothing behind them is to be taken for the start.
use agent_ebpf::FlowKey;

use super::Switchboard;
use crate::{release::BadFrame, spot::HeldFrame};

impl Switchboard {
    /// Leaves a frame out that cannot be read.
    pub(super) fn reject(&mut self, held: &HeldFrame, error: BadFrame) {
        self.counters.frames_bad += 1;
        // Damaged ones anybody can send: they are counted only.
        if !matches!(error, BadFrame::Damaged { .. }) {
            tracing::warn!(%error, "a held frame cannot be read");
        }
        if held.place.is_further {
            return;
        }
        match error {
            // The number may be what is damaged, unless the programs have seen a request end there.
            BadFrame::Damaged { sequence } if held.place.is_answered => {
                self.miss(&held.flow, sequence);
            }
            _ => self.judge_afresh(&held.flow),
        }
    }

    /// What comes of a flow that the programs have just given is judged as if they had not; the end of one that was known
    /// before is told still.
    fn judge_afresh(&mut self, key: &FlowKey) {
        let result = if self.flows.contains_key(key) {
            self.table.set_opaque(key)
        } else {
            self.table.remove(key)
        };
        self.note(result);
    }

    /// Has the first segment that was held of a flow, with this sequence number, come again before what follows it.
    pub(super) fn miss(&mut self, key: &FlowKey, sequence: u32) {
        let result = self.table.set_missed(key, sequence);
        if result.is_ok() {
            self.missed.insert(*key);
        }
        self.note(result);
    }

    /// Whether a segment follows one that was left out: it was held before the programs heard of that. Taken for the
    /// start, it would have them wait for a first segment that never comes.
    pub(super) fn is_missed(&mut self, held: &HeldFrame) -> bool {
        if held.place.is_further {
            return self.missed.contains(&held.flow);
        }
        self.missed.remove(&held.flow);
        false
    }
}
