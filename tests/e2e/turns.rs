//! Whose turn it is: cases of the same function run one after the other, all others beside each other.
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Who works with which function: its leases, its handler, its key.
#[derive(Default)]
pub(crate) struct Turns(Mutex<BTreeMap<&'static str, &'static Mutex<()>>>);

impl Turns {
    /// Waits until nobody else works with any of these functions.
    pub(crate) fn take(&self, functions: &[&'static str]) -> Vec<MutexGuard<'static, ()>> {
        // In one order, so that no two wait for each other.
        let mut sorted = functions.to_vec();
        sorted.sort_unstable();
        let turns: Vec<_> = {
            let mut all = ignoring_panics(&self.0);
            let of = |function| {
                *all.entry(function)
                    .or_insert_with(|| Box::leak(Box::default()))
            };
            sorted.into_iter().map(of).collect()
        };
        turns.into_iter().map(ignoring_panics).collect()
    }
}

/// A case that has broken off has failed, and the next one begins anew.
fn ignoring_panics<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
