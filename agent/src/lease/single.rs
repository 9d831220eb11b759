//! One lease: its machine, and what there is of it in memory for as long as it lasts.
use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use agent_ebpf::FlowKey;
use rsfaas_shim::Refusal;
use tokio::{sync::watch, time::Instant};

use super::{Action, LeaseStatus, LockWaiter, Machine, Phase, door::Open};
use crate::{
    head::RequestId,
    rebuild::{Container, Keys, Serving},
    seal::key::Key,
    state::Isolation,
    timeline::Timeline,
};

/// Whose lease it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Holder {
    /// That of every connection of the function.
    Everybody,
    /// That of one connection alone.
    Connection(FlowKey),
}

impl Holder {
    /// Whose lease a connection has a part in.
    pub(super) fn of(flow: FlowKey, isolation: Isolation) -> Self {
        match isolation {
            Isolation::Shared => Self::Everybody,
            Isolation::Connection => Self::Connection(flow),
        }
    }

    fn address(self) -> Option<String> {
        let Self::Connection(flow) = self else {
            return None;
        };
        let address = IpAddr::V6(Ipv6Addr::from(flow.source)).to_canonical();
        Some(SocketAddr::new(address, flow.source_port).to_string())
    }
}

/// A lease, from its first request on.
pub(super) struct Lease {
    pub(super) machine: Machine<FlowKey, RequestId>,
    pub(super) container: Option<Arc<Container>>,
    /// The key of its callers, and the one that one of them wants to have from its end on.
    keys: Option<Keys>,
    /// Tells the unlock that is under way of both; it is given up when this goes.
    unlocking: Option<watch::Sender<Keys>>,
    /// Whether the handler is being encrypted under another key.
    pub(super) changes_key: bool,
    /// Whether the lease was ended before its unlock was done: what comes of that unlock serves nobody.
    pub(super) is_ended: bool,
    /// The container that serves.
    pub(super) unlocked: Option<String>,
    pub(super) timeline: Option<Timeline>,
    /// Whether the answer to a request has begun.
    pub(super) answered: bool,
    /// What callers are told whose unlock fails.
    pub(super) refusal: Refusal,
    /// When it ends, whoever holds it.
    expires: Option<Instant>,
    /// When it ends, since nobody holds it.
    lingers: Option<Instant>,
    /// For how long the first of those waits who came while it locks.
    patience: Option<Instant>,
    since: Instant,
    waiters: Vec<LockWaiter>,
}

impl Lease {
    /// A lease that nobody holds yet.
    pub(super) fn new() -> Self {
        Self {
            machine: Machine::default(),
            container: None,
            keys: None,
            unlocking: None,
            changes_key: false,
            is_ended: false,
            unlocked: None,
            timeline: None,
            answered: false,
            refusal: Refusal::RebuildFailed,
            expires: None,
            lingers: None,
            patience: None,
            since: Instant::now(),
            waiters: Vec::new(),
        }
    }

    /// A request with a right key, which waits for so long at most until everything is locked.
    pub(super) fn request(
        &mut self,
        flow: FlowKey,
        id: RequestId,
        limit: Duration,
    ) -> Vec<Action<FlowKey, RequestId>> {
        if !self.machine.is_kept_waiting() {
            self.patience = Some(Instant::now() + limit);
        }
        self.machine.request(flow, id)
    }

    /// The key of its callers, and the one that is to be.
    pub(super) fn keys(&self) -> Option<Keys> {
        self.keys.clone()
    }

    fn next_key(&self) -> Option<&Arc<Key>> {
        self.keys.as_ref()?.next.as_ref()
    }

    /// It stays with the key that it has.
    fn forget_next_key(&mut self) {
        if let Some(keys) = &mut self.keys {
            keys.next = None;
        }
    }

    /// Its callers have these now, as its unlock has.
    pub(super) fn set_keys(&mut self, keys: Keys) {
        self.keys = Some(keys.clone());
        if let Some(unlocking) = &self.unlocking {
            unlocking.send_replace(keys);
        }
    }

    /// An unlock begins; gives what it opens the handler with, since other leases may change the key until it has its turn.
    /// That closes where the unlock is to be given up.
    pub(super) fn begin_unlock(&mut self) -> Option<watch::Receiver<Keys>> {
        let (unlocking, keys) = watch::channel(self.keys()?);
        self.unlocking = Some(unlocking);
        Some(keys)
    }

    /// A container serves, for so long at most.
    pub(super) fn serve(
        &mut self,
        container: String,
        limit: Duration,
    ) -> Vec<Action<FlowKey, RequestId>> {
        self.unlocked = Some(container);
        self.since = Instant::now();
        self.expires = Some(self.since + limit);
        self.machine.unlocked()
    }

    /// The unlock failed: its callers are told why. None of them has been served, so the key stays.
    pub(super) fn fail(&mut self, refusal: Refusal) -> Vec<Action<FlowKey, RequestId>> {
        self.forget_next_key();
        self.refusal = refusal;
        self.machine.failed()
    }

    /// It is to end: whoever waits for an unlock is told that it failed, and the key stays, as at [`Self::fail`]. The
    /// unlock is given up: a stop must not wait for what serves nobody.
    pub(super) fn end(&mut self) -> Vec<Action<FlowKey, RequestId>> {
        if self.machine.phase() != Phase::Unlocked {
            self.forget_next_key();
        }
        self.is_ended |= self.machine.phase() == Phase::Unlocking;
        self.unlocking = None;
        // Others before may have been told of another.
        self.refusal = Refusal::RebuildFailed;
        self.machine.end()
    }

    /// The lock takes too long for those who wait for it: they are told so, and the key stays, as at [`Self::fail`].
    pub(super) fn give_up(&mut self) -> Vec<Action<FlowKey, RequestId>> {
        self.forget_next_key();
        self.refusal = Refusal::RebuildTimeout;
        self.machine.give_up()
    }

    /// Whether what serves has ended by itself, or is about to.
    pub(super) fn has_crashed(&self) -> bool {
        let container = self.container.as_ref();
        self.machine.phase() == Phase::Unlocked
            && container.is_some_and(|container| container.is_ending())
    }

    /// What its door leads to, where further callers need nothing but the key: the first answer was seen, and
    /// nobody has brought a next key.
    pub(super) fn door(&self) -> Option<Open> {
        if !self.answered || self.next_key().is_some() || self.machine.phase() != Phase::Unlocked {
            return None;
        }
        Some(Open {
            key: Arc::clone(&self.keys.as_ref()?.present),
            container: self.container.clone()?,
            name: self.unlocked.clone()?,
        })
    }

    /// A connection that has come in by the door.
    pub(super) fn entered(&mut self, flow: FlowKey) {
        self.hold();
        self.machine.served(flow);
    }

    /// Nobody holds it any more.
    pub(super) fn linger(&mut self, time: Duration) {
        self.lingers = Some(Instant::now() + time);
    }

    /// Somebody holds it again.
    pub(super) fn hold(&mut self) {
        self.lingers = None;
    }

    /// Ends what is served; gives what there is to lock, and what to encrypt it under.
    pub(super) fn close(&mut self) -> (Option<Arc<Container>>, Option<Keys>) {
        self.expires = None;
        self.lingers = None;
        self.unlocked = None;
        self.answered = false;
        self.is_ended = false;
        // Who has come since is told of the next unlock.
        self.refusal = Refusal::RebuildFailed;
        self.changes_key = self.next_key().is_some();
        let keys = self.keys.take();
        self.unlocking = None;
        (self.container.take(), keys)
    }

    /// Everything of it is ciphertext again.
    pub(super) fn locked(&mut self) -> Vec<Action<FlowKey, RequestId>> {
        self.changes_key = false;
        self.refusal = Refusal::RebuildFailed;
        self.machine.locked()
    }

    /// Has somebody told when nothing of it is left.
    pub(super) fn tell_when_gone(&mut self, waiter: LockWaiter) {
        self.waiters.push(waiter);
    }

    /// Who is to be told when nothing is left of what has served until now.
    pub(super) fn take_waiters(&mut self) -> Vec<LockWaiter> {
        std::mem::take(&mut self.waiters)
    }

    /// When it ends by itself, or whoever waits for its lock has waited for too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let patience = self.patience.filter(|_| self.machine.is_kept_waiting());
        let times = [self.expires, self.lingers, patience];
        times.into_iter().flatten().min()
    }

    /// Whether its limit is reached, whoever holds it.
    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// What there is to tell of it now; it lingers for so long, and its connections may be silent for so long.
    pub(super) fn status(
        &self,
        holder: Holder,
        linger: Duration,
        idle_limit: Duration,
        now: Instant,
    ) -> LeaseStatus {
        let left = |end: Instant| end.saturating_duration_since(now).as_secs();
        LeaseStatus {
            phase: self.machine.phase(),
            container: self.unlocked.clone(),
            connections: self.machine.connections(),
            client: holder.address(),
            seconds: now.duration_since(self.since).as_secs(),
            ends_in_seconds: self.expires.map(left),
            idle_limit_seconds: idle_limit.as_secs(),
            linger_seconds: linger.as_secs(),
            lingers_for_seconds: self.lingers.map(left),
            next_key_id: self.next_key().map(|key| key.id().to_string()),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.machine.phase() == Phase::Locked
    }
}

#[cfg(test)]
mod tests;
