//! When which connection is to be looked at, since something of it may be late.
use std::collections::BTreeSet;

use agent_ebpf::FlowKey;
use tokio::time::Instant;

/// One time a connection, at most.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Instant, FlowKey)>);

impl Timers {
    /// The next time.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(time, _)| *time)
    }

    /// Puts a connection's time in the place of the one that it had.
    pub(super) fn set(&mut self, key: FlowKey, had: &mut Option<Instant>, time: Option<Instant>) {
        if *had == time {
            return;
        }
        if let Some(had) = had.take() {
            self.0.remove(&(had, key));
        }
        if let Some(time) = time {
            self.0.insert((time, key));
        }
        *had = time;
    }

    /// The connections whose time has come; they have none here any more.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<FlowKey> {
        let mut due = Vec::new();
        while let Some((time, key)) = self.0.pop_first() {
            if time > now {
                self.0.insert((time, key));
                break;
            }
            due.push(key);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::lease::example::flow;

    #[test]
    fn connections_are_due_in_the_order_of_their_times_and_once() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timers = Timers::default();
        for (port, seconds) in [(1, 3), (2, 1), (3, 2)] {
            timers.set(flow(port), &mut None, Some(at(seconds)));
        }
        assert_eq!(timers.next(), Some(at(1)));
        assert_eq!(timers.take_due(at(0)), []);
        assert_eq!(timers.take_due(at(2)), [flow(2), flow(3)]);
        assert_eq!(timers.next(), Some(at(3)));
    }

    #[test]
    fn a_connections_time_takes_the_place_of_its_last() {
        let start = Instant::now();
        let later = start + Duration::from_secs(9);
        let mut timers = Timers::default();
        let mut had = None;
        timers.set(flow(1), &mut had, Some(start));
        timers.set(flow(1), &mut had, Some(later));
        assert_eq!((timers.next(), had), (Some(later), Some(later)));
        timers.set(flow(1), &mut had, None);
        assert_eq!((timers.next(), had), (None, None));
    }
}
