//! How tests wait for what comes by itself: not for ever.
use std::{
    thread,
    time::{Duration, Instant},
};

/// For hangs only: nothing is said about speed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until something holds, while tasks go on.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        is_in_time(start, what);
        tokio::time::sleep(PAUSE).await;
    }
}

/// The same where there are none.
pub(crate) fn eventually_without_tasks(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        is_in_time(start, what);
        thread::sleep(PAUSE);
    }
}

fn is_in_time(start: Instant, what: &str) {
    assert!(start.elapsed() < PATIENCE, "in vain waited for: {what}");
}
