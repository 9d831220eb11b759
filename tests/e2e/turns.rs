//! Whose turn it is: cases that need the same thing run one after the other, all others beside each other.
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What only one case at a time may work with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// A function's leases, handler and key.
    Function(&'static str),
    /// Images: what is pushed while the registry's garbage is collected may go with it.
    Registry,
}

/// Who works with what.
#[derive(Default)]
pub(crate) struct Turns(Mutex<BTreeMap<Need, &'static Mutex<()>>>);

impl Turns {
    /// Waits until nobody else works with any of it.
    pub(crate) fn take(&self, needs: &[Need]) -> Vec<MutexGuard<'static, ()>> {
        // In one order, so that no two wait for each other.
        let mut sorted = needs.to_vec();
        sorted.sort_unstable();
        let turns: Vec<_> = {
            let mut all = ignoring_panics(&self.0);
            let of = |need| *all.entry(need).or_insert_with(|| Box::leak(Box::default()));
            sorted.into_iter().map(of).collect()
        };
        turns.into_iter().map(ignoring_panics).collect()
    }
}

/// A case that has broken off has failed, and the next one begins anew.
fn ignoring_panics<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
