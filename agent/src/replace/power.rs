//! A disk whose power goes: it remembers the steps of a replacement, and tells everything that may be found
//! after a failure at any moment of them.
//!
//! It promises no more than POSIX does. What was written and not synced may be there in part, in any order,
//! or as zeros; a name may be there before its content; a name is sure only once its folder is synced.
use std::{io, iter};

use super::Replacement;

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Write,
    Sync,
    Rename,
    SyncName,
}

/// A replacement that is only remembered.
#[derive(Default)]
pub(crate) struct Recorded {
    steps: Vec<Step>,
    content: Vec<u8>,
}

/// What a reader finds under the file's name after a failure.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Found {
    /// The file as it was before; none where there was none.
    Old,
    /// A file with this content.
    New(Vec<u8>),
}

impl Replacement for Recorded {
    fn write(&mut self, content: &[u8]) -> io::Result<()> {
        self.content.extend_from_slice(content);
        self.steps.push(Step::Write);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.steps.push(Step::Sync);
        Ok(())
    }

    fn read_back(&mut self) -> io::Result<Vec<u8>> {
        Ok(self.content.clone())
    }

    fn rename(&mut self) -> io::Result<()> {
        self.steps.push(Step::Rename);
        Ok(())
    }

    fn sync_name(&mut self) -> io::Result<()> {
        self.steps.push(Step::SyncName);
        Ok(())
    }
}

impl Recorded {
    /// Everything that may be found when the power goes before, during or after any of the steps.
    pub(crate) fn found(&self) -> Vec<Found> {
        let mut found: Vec<Found> = (0..=self.steps.len())
            .flat_map(|done| self.found_after(done))
            .collect();
        found.sort();
        found.dedup();
        found
    }

    /// What may be found once all steps are done.
    pub(crate) fn found_at_the_end(&self) -> Vec<Found> {
        self.found_after(self.steps.len())
    }

    /// What may be found after so many whole steps; what the next one may have done already is among what the last may
    /// not have.
    fn found_after(&self, done: usize) -> Vec<Found> {
        let steps = &self.steps[..done];
        let Some(renamed) = steps.iter().position(|step| *step == Step::Rename) else {
            return vec![Found::Old];
        };
        let is_named = steps[renamed..].contains(&Step::SyncName);
        // A sync that comes before the write, or none, makes nothing stay.
        let written = steps.iter().rposition(|step| *step == Step::Write);
        let synced = steps.iter().rposition(|step| *step == Step::Sync);
        let contents = match (written, synced) {
            (Some(written), Some(synced)) if written < synced => vec![self.content.clone()],
            (Some(_), _) => torn(&self.content),
            (None, _) => vec![Vec::new()],
        };
        let old = (!is_named).then_some(Found::Old);
        contents.into_iter().map(Found::New).chain(old).collect()
    }

    /// This replacement with a step left out or in another place, for the tests of the tests.
    fn reordered(&self, order: &[Step]) -> Self {
        Self {
            steps: order.to_vec(),
            content: self.content.clone(),
        }
    }
}

/// What may be on the disk of content that was not synced: nothing, a part, zeros in place of any sector or
/// of all, the whole.
fn torn(content: &[u8]) -> Vec<Vec<u8>> {
    let sectors = || (0..content.len()).step_by(SECTOR);
    let cut = sectors().map(|at| content[..at].to_vec());
    let holes = sectors().map(|at| {
        let mut with_hole = content.to_vec();
        with_hole[at..content.len().min(at + SECTOR)].fill(0);
        with_hole
    });
    // Later sectors are there, earlier ones are not.
    let late = sectors().map(|at| {
        let mut late = vec![0; at];
        late.extend_from_slice(&content[at..]);
        late
    });
    let zeros = iter::once(vec![0; content.len()]);
    cut.chain(holes).chain(late).chain(zeros).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replace::carry_out;

    fn recorded() -> Recorded {
        let mut recorded = Recorded::default();
        let content: Vec<u8> = (0..2000_u16).map(|n| (n % 251) as u8 + 1).collect();
        carry_out(&mut recorded, &content, |read| read == content, |_| {}).unwrap();
        recorded
    }

    fn is_whole(recorded: &Recorded, found: &Found) -> bool {
        match found {
            Found::Old => true,
            Found::New(content) => *content == recorded.content,
        }
    }

    #[test]
    fn whenever_the_power_goes_the_file_is_the_old_or_the_new_one_whole() {
        let recorded = recorded();
        let found = recorded.found();
        assert!(found.iter().all(|found| is_whole(&recorded, found)));
        assert_eq!(found, [Found::Old, Found::New(recorded.content.clone())]);
    }

    #[test]
    fn a_finished_replacement_outlasts_a_power_failure() {
        let recorded = recorded();
        assert_eq!(
            recorded.found_at_the_end(),
            [Found::New(recorded.content.clone())]
        );
    }

    #[test]
    fn any_other_order_and_any_step_left_out_is_noticed() {
        use Step::{Rename, Sync, SyncName, Write};
        let right = recorded();
        let holds = |order: &[Step]| {
            let recorded = right.reordered(order);
            recorded
                .found()
                .iter()
                .all(|found| is_whole(&recorded, found))
                && !recorded.found_at_the_end().contains(&Found::Old)
        };
        assert_eq!(right.steps, [Write, Sync, Rename, SyncName]);
        assert!(holds(&right.steps));
        for wrong in [
            &[Write, Rename, SyncName] as &[Step],
            &[Write, Rename, Sync, SyncName],
            &[Write, Rename, SyncName, Sync],
            &[Sync, Write, Rename, SyncName],
            &[Rename, Write, Sync, SyncName],
            &[Write, Sync, Rename],
            &[Write, Sync, SyncName, Rename],
            &[Write, Sync],
        ] {
            assert!(!holds(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn what_reads_back_wrong_never_gets_the_name() {
        let mut recorded = Recorded::default();
        assert!(carry_out(&mut recorded, b"content", |_| false, |_| {}).is_err());
        assert_eq!(recorded.found(), [Found::Old]);
    }
}
