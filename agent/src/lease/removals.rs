//! The removal of containers that have served, and who waits for it.
use std::collections::HashMap;

use tokio::task::{Id, JoinSet};

use super::LockWaiter;
use crate::timeline::Timeline;

/// What a removal comes to.
pub(super) type Removal = (Result<(), String>, Timeline);

/// Removals that are under way.
#[derive(Default)]
pub(super) struct Removals {
    tasks: JoinSet<Removal>,
    waiters: HashMap<Id, Vec<LockWaiter>>,
}

/// A removal that is over.
pub(super) struct Removed {
    pub(super) result: Result<(), String>,
    /// None where it was broken off.
    pub(super) timeline: Option<Timeline>,
    /// Who is to be told.
    pub(super) waiters: Vec<LockWaiter>,
}

impl Removals {
    /// Starts one, for those who wait for its end.
    pub(super) fn start(
        &mut self,
        removal: impl Future<Output = Removal> + Send + 'static,
        waiters: Vec<LockWaiter>,
    ) {
        let id = self.tasks.spawn(removal).id();
        self.waiters.insert(id, waiters);
    }

    /// Has somebody told how those end that are under way.
    pub(super) fn tell_when_over(&mut self, waiter: &LockWaiter) {
        for waiters in self.waiters.values_mut() {
            waiters.push(waiter.clone());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// The next that is over; none where none is under way. Safe to cancel.
    pub(super) async fn next(&mut self) -> Option<Removed> {
        let (id, result, timeline) = match self.tasks.join_next_with_id().await? {
            Ok((id, (result, timeline))) => (id, result, Some(timeline)),
            Err(error) => {
                let what = format!("a removal was broken off: {error}");
                (error.id(), Err(what), None)
            }
        };
        let waiters = self.waiters.remove(&id).unwrap_or_default();
        Some(Removed {
            result,
            timeline,
            waiters,
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    fn waiter() -> (LockWaiter, mpsc::UnboundedReceiver<String>) {
        mpsc::unbounded_channel()
    }

    #[tokio::test]
    async fn who_waits_is_told_by_the_end_of_those_that_were_under_way_only() {
        let mut removals = Removals::default();
        let ((first, mut told), (second, _)) = (waiter(), waiter());
        removals.start(
            async { (Ok(()), Timeline::start("pydict", 1)) },
            vec![second],
        );
        removals.tell_when_over(&first);
        drop(first);
        removals.start(std::future::pending(), Vec::new());
        let removed = removals.next().await.unwrap();
        assert_eq!(removed.waiters.len(), 2);
        assert_eq!(removed.result, Ok(()));
        drop(removed);
        assert_eq!(told.recv().await, None, "nobody else has it");
        assert!(!removals.is_empty());
    }

    #[tokio::test]
    async fn a_removal_that_is_broken_off_has_failed_for_those_who_wait() {
        let mut removals = Removals::default();
        removals.start(async { panic!("a defect") }, vec![waiter().0]);
        let removed = removals.next().await.unwrap();
        assert!(removed.result.unwrap_err().contains("a defect"));
        assert_eq!(removed.waiters.len(), 1);
        assert!(removals.is_empty() && removals.next().await.is_none());
    }
}
