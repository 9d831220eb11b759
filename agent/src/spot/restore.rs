//! Programs that others have taken away, or put theirs before: attached again.
use std::ops::Bound;

use super::{Spotter, attach::has_tcx};
use crate::chain;

/// How many interfaces are looked at at once: a look takes some 30 microseconds.
const LOOKS: usize = 32;

impl Spotter {
    /// Looks at some interfaces, at others each time, and attaches the programs anew where they are not in place any more.
    /// To be called again and again; with TCX nobody can take them away.
    pub fn restore(&mut self) {
        if has_tcx() {
            return;
        }
        for (interface, wanted) in self.lost.clone().into_values() {
            if self.attach(&interface, wanted).is_ok() {
                tracing::info!(interface = interface.name, "requests are spotted again");
            }
        }
        for index in self.next_to_look_at() {
            self.looked_at = index;
            self.restore_at(index);
        }
    }

    /// Those behind the last that was looked at, and the first ones again behind the last of all.
    fn next_to_look_at(&self) -> Vec<u32> {
        let behind = (Bound::Excluded(self.looked_at), Bound::Unbounded);
        let behind = self.attached.range(behind).map(|(index, _)| *index);
        let first = self
            .attached
            .range(..=self.looked_at)
            .map(|(index, _)| *index);
        behind.chain(first).take(LOOKS).collect()
    }

    fn restore_at(&mut self, index: u32) {
        let Some(attached) = self.attached.get(&index) else {
            return;
        };
        if attached.are_in_place() {
            return;
        }
        let (interface, wanted) = (attached.interface.clone(), attached.wanted);
        tracing::warn!(
            interface = interface.name,
            "another program has taken the spotter's away, or has put its own before; attaching them again"
        );
        self.detach(index);
        if let Err(error) = self.attach(&interface, wanted) {
            let error = chain::of(&error);
            tracing::warn!(
                error,
                "requests through this interface are not spotted until that works"
            );
            self.lost.insert(index, (interface, wanted));
        }
    }
}
