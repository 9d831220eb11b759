//! Wrong keys are few, or they are guesses.
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The while in which wrong keys are counted.
pub(super) const WINDOW: Duration = Duration::from_secs(60);

/// Counts a function's wrong keys, and tells when there have been too many in a while.
#[derive(Debug)]
pub struct Limiter {
    most: usize,
    within: Duration,
    wrong: VecDeque<Instant>,
}

impl Limiter {
    /// At most `most` wrong keys within a time.
    #[must_use]
    pub fn new(most: usize, within: Duration) -> Self {
        Self {
            most,
            within,
            wrong: VecDeque::new(),
        }
    }

    /// Whether one more is not too many.
    pub fn allows(&mut self, now: Instant) -> bool {
        while self
            .wrong
            .front()
            .is_some_and(|then| now.duration_since(*then) >= self.within)
        {
            self.wrong.pop_front();
        }
        self.wrong.len() < self.most
    }

    /// Notes a wrong key.
    pub fn note(&mut self, now: Instant) {
        self.wrong.push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_wrong_keys_are_so_until_they_are_long_ago() {
        let start = Instant::now();
        let mut limiter = Limiter::new(2, Duration::from_secs(60));
        limiter.note(start);
        assert!(limiter.allows(start));
        limiter.note(start + Duration::from_secs(30));
        assert!(!limiter.allows(start + Duration::from_secs(59)));
        assert!(limiter.allows(start + Duration::from_secs(60)));
    }
}
