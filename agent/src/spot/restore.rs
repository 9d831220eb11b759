//! Programs that others have taken away, or put theirs before: attached again.
use std::ops::Bound;

use super::{Spotter, attach::has_tcx};

/// How many interfaces are looked at at once: a look takes some 30 microseconds.
const LOOKS: usize = 32;

impl Spotter {
    /// Looks at some interfaces, at others each time, and attaches programs again that are not in place any more. To be
    /// called again and again; with TCX nobody can take them away.
    pub fn restore(&mut self) {
        if has_tcx() {
            return;
        }
        for index in self.next_to_look_at() {
            self.looked_at = index;
            if let Some(attached) = self.attached.get_mut(&index) {
                attached.restore(&mut self.ebpf);
            }
        }
        if let Some((name, index, release)) = &mut self.release {
            release.restore(&mut self.ebpf, name, *index);
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
}
