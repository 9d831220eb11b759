//! How a test fails, and how it waits.
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

pub(crate) use rsfaas_tests::{
    check,
    check::{During, Error, Outcome, fail, run},
};

/// For hangs only: nothing is said about speed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// How often something is tried anew on a machine that stands still again and again.
const TRIES: usize = 5;
const TICK: Duration = Duration::from_millis(10);

/// Does something for which no more than a second may pass between two steps; anew where this machine stood still for half
/// of that meanwhile, since what was seen then tells nothing.
pub(crate) fn steadily(work: impl Fn() -> Outcome) -> Outcome {
    for _ in 0..TRIES {
        let (done, stall) = with_longest_stall(&work);
        if stall < Duration::from_millis(500) {
            return done;
        }
    }
    fail("the machine stood still each time")
}

/// Does something; for how long a thread beside it did not go on.
fn with_longest_stall(work: impl FnOnce() -> Outcome) -> (Outcome, Duration) {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let beside = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            while !is_done.load(Ordering::Relaxed) {
                let start = Instant::now();
                thread::sleep(TICK);
                longest = longest.max(start.elapsed());
            }
            longest
        });
        let done = work();
        is_done.store(true, Ordering::Relaxed);
        (done, beside.join().unwrap_or_default())
    })
}

/// Waits until something holds.
pub(crate) fn eventually(what: &str, holds: impl FnMut() -> Outcome<bool>) -> Outcome {
    eventually_within(PATIENCE, what, holds)
}

/// The same for what takes longer.
pub(crate) fn eventually_within(
    patience: Duration,
    what: &str,
    holds: impl FnMut() -> Outcome<bool>,
) -> Outcome {
    check::eventually(what, (patience, Duration::from_millis(5)), holds)
}
