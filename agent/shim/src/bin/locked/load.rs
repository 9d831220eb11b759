//! How many connections are open and how many of them are in the middle of a request: the bound on
//! threads, and what a shutdown waits for.
use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

#[derive(Default)]
struct Counts {
    open: usize,
    busy: usize,
    draining: bool,
}

/// Shared by the accepting thread, the connections and the shutdown.
pub(crate) struct Load {
    limit: usize,
    counts: Mutex<Counts>,
    changed: Condvar,
}

/// One connection's place; given back on drop.
pub(crate) struct Slot(Arc<Load>);

/// One request being served; ends on drop.
pub(crate) struct Busy<'a>(&'a Load);

impl Load {
    /// At most `limit` connections at a time.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            counts: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    // The counts stay true even if a holder panicked.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place, waiting until there is one.
    pub(crate) fn enter(load: &Arc<Self>) -> Slot {
        let mut counts = load
            .changed
            .wait_while(load.counts(), |counts| counts.open >= load.limit)
            .unwrap_or_else(PoisonError::into_inner);
        counts.open += 1;
        Slot(Arc::clone(load))
    }

    /// Waits until no request is under way, no longer than `grace`.
    pub(crate) fn drain(&self, grace: Duration) {
        let mut counts = self.counts();
        counts.draining = true;
        drop(
            self.changed
                .wait_timeout_while(counts, grace, |counts| counts.busy > 0),
        );
    }
}

impl Slot {
    /// Marks a request as under way.
    pub(crate) fn begin(&self) -> Busy<'_> {
        self.0.counts().busy += 1;
        Busy(&self.0)
    }

    /// Tells whether connections should be given up after their answer: at three quarters of the
    /// limit, or on the way out.
    pub(crate) fn is_scarce(&self) -> bool {
        let counts = self.0.counts();
        counts.draining || counts.open * 4 >= self.0.limit * 3
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.counts().open -= 1;
        self.0.changed.notify_all();
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.counts().busy -= 1;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_become_scarce_at_three_quarters_and_plentiful_again() {
        let load = Arc::new(Load::new(4));
        let mut slots = vec![Load::enter(&load), Load::enter(&load)];
        assert!(!slots[0].is_scarce());
        slots.push(Load::enter(&load));
        assert!(slots[0].is_scarce());
        slots.pop();
        assert!(!slots[0].is_scarce());
    }

    #[test]
    fn a_freed_slot_admits_the_next_connection() {
        let load = Arc::new(Load::new(1));
        let first = Load::enter(&load);
        let next = std::thread::spawn({
            let load = Arc::clone(&load);
            move || drop(Load::enter(&load))
        });
        drop(first);
        next.join().unwrap();
    }

    #[test]
    fn a_shutdown_waits_for_the_request_under_way() {
        let load = Arc::new(Load::new(1));
        let slot = Load::enter(&load);
        let (begun, wait) = std::sync::mpsc::channel();
        let request = std::thread::spawn(move || {
            let busy = slot.begin();
            begun.send(()).unwrap();
            while !slot.is_scarce() {
                std::thread::yield_now();
            }
            drop(busy);
        });
        wait.recv().unwrap();
        load.drain(Duration::from_secs(60));
        assert_eq!(load.counts().busy, 0);
        request.join().unwrap();
    }
}
