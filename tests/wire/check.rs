//! How a test fails, and how it waits.
use std::time::Duration;

pub(crate) use rsfaas_tests::{
    check,
    check::{During, Error, Outcome, fail, run},
};

/// For hangs only: nothing is said about speed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

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
