//! Who is served by a sealed function, and until when: a state machine without I/O or clock.
//!
//! Any number of connections share one unlock (single flight), and the last close ends it. What
//! takes time (unlocking, locking) is asked for by an [`Action`] and reported back by a call.
use std::{collections::HashSet, hash::Hash};

/// Where a function stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Ciphertext only.
    Locked,
    /// On the way to the first answer.
    Unlocking,
    /// A container serves.
    Unlocked,
    /// On the way back to ciphertext.
    Locking,
}

/// What the driver is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Action<C, R> {
    /// Unlock; report with [`Machine::unlocked`] or [`Machine::failed`].
    Unlock,
    /// Lock; report with [`Machine::locked`].
    Lock,
    /// Nobody holds the lease any more: end it with [`Machine::end`], now or after a while.
    Idle,
    /// Let this request go to the unlocked container.
    Serve(C, R),
    /// Tell this request that the unlock failed.
    Fail(C, R),
}

/// The lease of one function. `C` names a connection, `R` a request on it.
#[derive(Debug)]
pub struct Machine<C, R> {
    phase: Phase,
    waiting: Vec<(C, R)>,
    holders: HashSet<C>,
}

impl<C: Copy + Eq + Hash, R> Default for Machine<C, R> {
    fn default() -> Self {
        Self {
            phase: Phase::Locked,
            waiting: Vec::new(),
            holders: HashSet::new(),
        }
    }
}

impl<C: Copy + Eq + Hash, R> Machine<C, R> {
    /// Where the function stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// How many connections hold the lease or wait for it.
    #[must_use]
    pub fn connections(&self) -> usize {
        let waiting: HashSet<C> = self
            .waiting
            .iter()
            .map(|(connection, _)| *connection)
            .collect();
        self.holders.union(&waiting).count()
    }

    /// Whether a connection is being served.
    #[must_use]
    pub fn holds(&self, connection: C) -> bool {
        self.holders.contains(&connection)
    }

    /// Whether somebody waits until it is locked, and for the unlock after that.
    #[must_use]
    pub fn is_kept_waiting(&self) -> bool {
        self.phase == Phase::Locking && !self.waiting.is_empty()
    }

    /// Whether a container serves nobody.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Unlocked && self.holders.is_empty()
    }

    /// A request with the right key.
    pub fn request(&mut self, connection: C, request: R) -> Vec<Action<C, R>> {
        match self.phase {
            Phase::Unlocked => {
                self.holders.insert(connection);
                vec![Action::Serve(connection, request)]
            }
            Phase::Locked => {
                self.waiting.push((connection, request));
                self.unlock()
            }
            // While it locks, the request waits for the next unlock.
            Phase::Unlocking | Phase::Locking => {
                self.waiting.push((connection, request));
                Vec::new()
            }
        }
    }

    /// A connection whose request is served already.
    pub fn served(&mut self, connection: C) {
        if self.phase == Phase::Unlocked {
            self.holders.insert(connection);
        }
    }

    /// The container is ready.
    pub fn unlocked(&mut self) -> Vec<Action<C, R>> {
        if self.phase != Phase::Unlocking {
            return Vec::new();
        }
        self.phase = Phase::Unlocked;
        if self.waiting.is_empty() {
            // Everybody who waited has gone.
            return self.lock();
        }
        let waiting = std::mem::take(&mut self.waiting);
        self.holders
            .extend(waiting.iter().map(|(connection, _)| *connection));
        waiting
            .into_iter()
            .map(|(connection, request)| Action::Serve(connection, request))
            .collect()
    }

    /// The unlock failed; what it left behind is to be cleaned up as at a close.
    pub fn failed(&mut self) -> Vec<Action<C, R>> {
        if self.phase != Phase::Unlocking {
            return Vec::new();
        }
        let mut actions = self.fail_waiting();
        actions.extend(self.lock());
        actions
    }

    /// A connection has ended.
    pub fn closed(&mut self, connection: C) -> Vec<Action<C, R>> {
        self.waiting.retain(|(waiting, _)| *waiting != connection);
        let held = self.holders.remove(&connection);
        if held && self.holders.is_empty() && self.phase == Phase::Unlocked {
            return vec![Action::Idle];
        }
        Vec::new()
    }

    /// The lease has reached its limit, or somebody asked for the lock. An unlock that is under way is to be given up,
    /// and locks as soon as that is reported, or that it is done; whoever waits for it is told. Until it locks, nobody
    /// else is to ask: they would be served, or told of a failure.
    pub fn end(&mut self) -> Vec<Action<C, R>> {
        match self.phase {
            Phase::Locked => Vec::new(),
            Phase::Unlocked => self.lock(),
            Phase::Unlocking | Phase::Locking => self.fail_waiting(),
        }
    }

    /// The lock takes too long for those who wait for it.
    pub fn give_up(&mut self) -> Vec<Action<C, R>> {
        if !self.is_kept_waiting() {
            return Vec::new();
        }
        self.fail_waiting()
    }

    /// Everything is ciphertext again.
    pub fn locked(&mut self) -> Vec<Action<C, R>> {
        self.phase = Phase::Locked;
        if self.waiting.is_empty() {
            Vec::new()
        } else {
            self.unlock()
        }
    }

    fn fail_waiting(&mut self) -> Vec<Action<C, R>> {
        std::mem::take(&mut self.waiting)
            .into_iter()
            .map(|(connection, request)| Action::Fail(connection, request))
            .collect()
    }

    fn unlock(&mut self) -> Vec<Action<C, R>> {
        self.phase = Phase::Unlocking;
        vec![Action::Unlock]
    }

    fn lock(&mut self) -> Vec<Action<C, R>> {
        self.phase = Phase::Locking;
        self.holders.clear();
        vec![Action::Lock]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Lease = Machine<u8, u8>;

    fn unlocked(connections: &[u8]) -> Lease {
        let mut lease = Lease::default();
        for connection in connections {
            lease.request(*connection, 0);
        }
        lease.unlocked();
        lease
    }

    #[test]
    fn any_number_of_connections_share_one_unlock() {
        let mut lease = Lease::default();
        assert_eq!(lease.request(1, 10), [Action::Unlock]);
        assert_eq!(lease.request(2, 20), []);
        assert_eq!(
            lease.unlocked(),
            [Action::Serve(1, 10), Action::Serve(2, 20)]
        );
        assert_eq!(lease.request(3, 30), [Action::Serve(3, 30)]);
        assert_eq!(lease.connections(), 3);
    }

    #[test]
    fn after_the_last_close_the_lease_may_end() {
        let mut lease = unlocked(&[1, 2]);
        assert_eq!(lease.closed(1), []);
        assert_eq!(lease.closed(1), []);
        assert!(!lease.is_idle());
        assert_eq!(lease.closed(2), [Action::Idle]);
        assert!(lease.is_idle());
        assert_eq!(lease.end(), [Action::Lock]);
        assert_eq!(lease.locked(), []);
        assert_eq!(lease.phase(), Phase::Locked);
    }

    #[test]
    fn a_lease_that_nobody_holds_serves_the_next_request_at_once() {
        let mut lease = unlocked(&[1]);
        assert_eq!(lease.closed(1), [Action::Idle]);
        assert_eq!(lease.request(2, 20), [Action::Serve(2, 20)]);
        assert_eq!(lease.closed(2), [Action::Idle]);
    }

    #[test]
    fn a_request_that_comes_while_it_locks_unlocks_again_afterwards() {
        let mut lease = unlocked(&[1]);
        lease.end();
        assert_eq!(lease.request(2, 20), []);
        assert_eq!(lease.locked(), [Action::Unlock]);
        assert_eq!(lease.unlocked(), [Action::Serve(2, 20)]);
    }

    #[test]
    fn who_has_waited_too_long_for_a_lock_is_told_and_it_goes_on() {
        let mut lease = unlocked(&[1]);
        assert_eq!(lease.give_up(), [], "while it serves");
        lease.end();
        assert!(!lease.is_kept_waiting());
        lease.request(2, 20);
        assert!(lease.is_kept_waiting());
        assert_eq!(lease.give_up(), [Action::Fail(2, 20)]);
        assert!(!lease.is_kept_waiting());
        lease.request(3, 30);
        assert_eq!(lease.locked(), [Action::Unlock]);
        assert!(!lease.is_kept_waiting());
        assert_eq!(lease.give_up(), [], "while it unlocks");
        assert_eq!(lease.unlocked(), [Action::Serve(3, 30)]);
    }

    #[test]
    fn a_failed_unlock_tells_everybody_and_cleans_up() {
        let mut lease = Lease::default();
        lease.request(1, 10);
        lease.request(2, 20);
        assert_eq!(
            lease.failed(),
            [Action::Fail(1, 10), Action::Fail(2, 20), Action::Lock]
        );
        assert_eq!(lease.locked(), []);
    }

    #[test]
    fn an_unlock_that_nobody_waits_for_any_more_locks_at_once() {
        let mut lease = Lease::default();
        lease.request(1, 10);
        assert_eq!(lease.closed(1), []);
        assert_eq!(lease.unlocked(), [Action::Lock]);
    }

    #[test]
    fn a_connection_that_is_served_already_keeps_the_lease_open() {
        let mut lease = unlocked(&[1]);
        lease.served(2);
        assert_eq!(lease.closed(1), []);
        assert_eq!(lease.closed(2), [Action::Idle]);
        lease.end();
        lease.served(3);
        assert_eq!(lease.connections(), 0, "while it locks");
    }

    #[test]
    fn the_limit_ends_a_lease_whoever_holds_it() {
        let mut lease = unlocked(&[1]);
        assert_eq!(lease.end(), [Action::Lock]);
        assert_eq!(lease.connections(), 0);
        assert_eq!(
            lease.closed(1),
            [],
            "the close of a connection whose lease is over"
        );
        assert_eq!(lease.locked(), []);
    }

    #[test]
    fn a_locked_function_has_nothing_to_end() {
        assert_eq!(Lease::default().end(), []);
    }

    #[test]
    fn an_end_during_an_unlock_tells_who_waits_and_locks_when_it_is_done() {
        let mut lease = Lease::default();
        lease.request(1, 10);
        assert_eq!(lease.end(), [Action::Fail(1, 10)]);
        assert_eq!(lease.unlocked(), [Action::Lock]);
        lease.request(2, 20);
        assert_eq!(lease.end(), [Action::Fail(2, 20)], "while it locks");
        assert_eq!(lease.locked(), []);
    }
}
