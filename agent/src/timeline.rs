//! What happened during an unlock and when.
use serde::{Deserialize, Serialize};

use crate::clock::monotonic_now;

/// A step of an unlock or of the lock after it, in their usual order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The spotter held the request.
    Held,
    /// The key was found right.
    KeyChecked,
    /// The handler was decrypted, in memory.
    Opened,
    /// A parked container was taken from standby.
    Taken,
    /// A container was deployed: none was parked, or it is one of an image with the handler.
    Deployed,
    /// The handler was delivered into the container.
    Delivered,
    /// An image with the handler was built.
    Built,
    /// The image was pushed.
    Pushed,
    /// The function's process listens.
    Ready,
    /// The request went on to the gateway.
    Released,
    /// The first bytes of the answer left.
    Answered,
    /// The last keyed connection closed, or the lease's time was over.
    Closed,
    /// The delivered plaintext was overwritten and the process killed, or its image purged.
    Wiped,
    /// The handler was encrypted afresh.
    Reencrypted,
    /// The container was removed.
    Removed,
    /// The next container is parked.
    Parked,
}

/// The steps of one lease, each with its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// The function.
    pub function: String,
    /// Step and milliseconds since the first one.
    pub steps: Vec<(Step, f64)>,
    #[serde(skip)]
    start: u64,
}

impl Timeline {
    /// Starts with the request that was held, at a time of the monotonic clock in nanoseconds.
    #[must_use]
    pub fn start(function: &str, held: u64) -> Self {
        Self {
            function: function.to_owned(),
            steps: vec![(Step::Held, 0.0)],
            start: held,
        }
    }

    /// Notes a step at a time of the monotonic clock in nanoseconds; a repeated one counts once.
    pub fn note_at(&mut self, step: Step, time: u64) {
        if self.steps.iter().any(|(known, _)| *known == step) {
            return;
        }
        let milliseconds = time.saturating_sub(self.start) as f64 / 1e6;
        let place = self
            .steps
            .partition_point(|(_, earlier)| *earlier <= milliseconds);
        self.steps.insert(place, (step, milliseconds));
    }

    /// Notes a step that happens now.
    pub fn note(&mut self, step: Step) {
        self.note_at(step, monotonic_now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_told_in_the_order_of_their_times_and_once() {
        let mut timeline = Timeline::start("pydict", 1_000_000);
        timeline.note_at(Step::Answered, 9_000_000);
        timeline.note_at(Step::Ready, 4_000_000);
        timeline.note_at(Step::Answered, 12_000_000);
        assert_eq!(
            timeline.steps,
            [(Step::Held, 0.0), (Step::Ready, 3.0), (Step::Answered, 8.0)]
        );
    }
}
