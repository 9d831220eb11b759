//! The driver of one function's leases: owns their machines, the limiter and the time.
mod admissions;
mod ends;
mod meanwhile;
mod requests;
mod stages;
mod status;

use std::{collections::HashMap, sync::Arc, time::Duration};

use agent_ebpf::FlowKey;
use rsfaas_shim::Refusal;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};

use self::admissions::Drains;
use super::{
    Action, Door, Limiter, LockWaiter, Message, Request, Served, Verdict,
    limiter::WINDOW,
    removals::{Removals, Removed},
    single::{Holder, Lease},
    work::{Done, Work},
};
use crate::{
    config::Config,
    head::RequestId,
    rebuild::Rebuilder,
    spot::Admissions,
    state::Isolation,
    timeline::{Step, Timeline},
};

/// Between two looks at what is parked.
const LOOK: Duration = Duration::from_secs(30);

/// What the driver works with.
pub struct Driver {
    rebuilder: Arc<Rebuilder>,
    verdicts: mpsc::UnboundedSender<Verdict>,
    timelines: mpsc::UnboundedSender<Timeline>,
    limiter: Limiter,
    lease_limit: Duration,
    linger: Duration,
    /// Only told here: it is the switchboard that ends silent connections.
    idle_limit: Duration,
    unlock_timeout: Duration,
    leases: HashMap<Holder, Lease>,
    door: Arc<Door>,
    admissions: Arc<Admissions>,
    drains: Drains,
    work: Work,
    removals: Removals,
    /// Wait for the shared container's process to end.
    ends: JoinSet<()>,
    /// Requests that wait until it is known which key is the right one, nothing is left of an earlier agent, or an
    /// unlock is over that was ended.
    postponed: Vec<Request>,
    /// For how long the first of them waits.
    patience: Option<Instant>,
    unlocks: u64,
    last_error: Option<String>,
    /// Whether nothing is left of an earlier agent.
    is_swept: bool,
    /// Who wants everything locked before that is so.
    until_swept: Vec<LockWaiter>,
    stopping: bool,
    /// Whether the agent stops, and not this function alone.
    quits: bool,
}

/// What a driver has waited for.
enum Woken {
    /// None: nobody is left to send one.
    Message(Option<Message>),
    Done(Holder, Done),
    Removed(Removed),
    /// The time of a lease.
    Elapsed,
    /// It is time to look for parked containers that have ended.
    ReplaceEnded,
    /// What serves everybody has ended.
    Ended,
}

impl Driver {
    /// A driver for one function; nothing runs yet.
    #[must_use]
    pub fn new(
        rebuilder: Arc<Rebuilder>,
        config: &Config,
        admissions: Arc<Admissions>,
        verdicts: mpsc::UnboundedSender<Verdict>,
        timelines: mpsc::UnboundedSender<Timeline>,
    ) -> Self {
        Self {
            linger: match rebuilder.function().isolation {
                Isolation::Shared => config.linger(),
                // Nobody else could take the lease over.
                Isolation::Connection => Duration::ZERO,
            },
            rebuilder,
            verdicts,
            timelines,
            limiter: Limiter::new(config.wrong_keys, WINDOW),
            lease_limit: config.lease_limit(),
            idle_limit: config.idle_limit(),
            unlock_timeout: config.unlock_timeout(),
            leases: HashMap::new(),
            door: Arc::default(),
            admissions,
            drains: Drains::default(),
            work: Work::new(),
            removals: Removals::default(),
            ends: JoinSet::new(),
            postponed: Vec::new(),
            patience: None,
            unlocks: 0,
            last_error: None,
            is_swept: false,
            until_swept: Vec::new(),
            stopping: false,
            quits: false,
        }
    }

    /// The door of the function's shared lease.
    #[must_use]
    pub fn door(&self) -> Arc<Door> {
        Arc::clone(&self.door)
    }

    /// Parks the first containers and serves until told to stop.
    pub async fn run(mut self, mut messages: mpsc::UnboundedReceiver<Message>) {
        let rebuilder = Arc::clone(&self.rebuilder);
        self.meanwhile(rebuilder.sweep(), &mut messages).await;
        self.is_swept = true;
        self.until_swept.clear();
        self.take_postponed();
        if !self.stopping {
            self.rebuilder.refill();
        }
        let mut looks = tokio::time::interval_at(Instant::now() + LOOK, LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !(self.stopping && self.leases.is_empty() && self.removals.is_empty()) {
            self.open_door();
            let deadlines = self.leases.values().filter_map(Lease::deadline);
            let deadline = deadlines.chain(self.patience()).min();
            let woken = tokio::select! {
                message = messages.recv() => Woken::Message(message),
                Some(Ok((holder, done))) = self.work.join_next() => Woken::Done(holder, done),
                Some(removed) = self.removals.next() => Woken::Removed(removed),
                () = elapsed(deadline) => Woken::Elapsed,
                Some(_) = self.ends.join_next() => Woken::Ended,
                _ = looks.tick(), if !self.stopping => Woken::ReplaceEnded,
            };
            self.shut_door();
            match woken {
                Woken::Message(Some(message)) => self.take(message),
                Woken::Message(None) => self.stop(),
                Woken::Done(holder, done) => self.done(holder, done),
                Woken::Removed(removed) => self.removed(removed),
                Woken::Elapsed => self.expire(),
                Woken::ReplaceEnded => self.rebuilder.replace_ended(),
                // Nobody is let in to it any more; who asks next has it delivered again.
                Woken::Ended => {}
            }
        }
        self.meanwhile(rebuilder.clear(), &mut messages).await;
        // What came meanwhile must not wait for ever.
        messages.close();
        while let Some(message) = messages.recv().await {
            self.take(message);
        }
    }

    fn name(&self) -> &str {
        self.rebuilder.name()
    }

    fn holder(&self, flow: FlowKey) -> Holder {
        Holder::of(flow, self.rebuilder.function().isolation)
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Request(request) => self.request(request),
            Message::Closed(flow) => self.closed(flow),
            Message::Released(flow, time) => self.note(flow, Step::Released, time),
            Message::Answered(flow, time) => self.answered(flow, time),
            Message::Drained => self.drained(),
            Message::Lock(waiter) => {
                for lease in self.leases.values_mut() {
                    lease.tell_when_gone(waiter.clone());
                }
                self.removals.tell_when_over(&waiter);
                if self.rebuilder.still_removes() {
                    let what = "what an earlier lease had is being removed still; the agent's log says of what";
                    self.not_locked(what, std::slice::from_ref(&waiter));
                }
                if !self.is_swept {
                    self.until_swept.push(waiter);
                }
                self.end_all();
            }
            Message::Status(reply) => {
                // Whoever asked may have gone.
                let _ = reply.send(self.status());
            }
            Message::Stop => self.stop(),
            Message::Quit => {
                self.quits = true;
                self.stop();
            }
        }
    }

    fn closed(&mut self, flow: FlowKey) {
        self.door.left(flow);
        self.postponed.retain(|request| request.flow != flow);
        let holder = self.holder(flow);
        if let Some(lease) = self.leases.get_mut(&holder) {
            let actions = lease.machine.closed(flow);
            self.act(holder, actions);
        }
    }

    fn act(&mut self, holder: Holder, actions: Vec<Action<FlowKey, RequestId>>) {
        for action in actions {
            let Some(lease) = self.leases.get_mut(&holder) else {
                return;
            };
            match action {
                Action::Unlock => self.unlock(holder),
                Action::Lock => self.lock(holder),
                Action::Idle => {
                    // Somebody may have been let go on meanwhile.
                    if holder != Holder::Everybody || !self.drain() {
                        self.idle(holder);
                    }
                }
                Action::Serve(flow, id) => {
                    lease.hold();
                    let is_first = !lease.answered;
                    let served = lease.unlocked.clone().map(|container| Served {
                        container,
                        is_first,
                    });
                    let outcome = served.ok_or(Refusal::RebuildFailed);
                    self.verdict(flow, id, outcome);
                }
                Action::Fail(flow, id) => {
                    let refusal = lease.refusal;
                    self.verdict(flow, id, Err(refusal));
                }
            }
        }
        if self.leases.get(&holder).is_some_and(Lease::is_over) {
            self.leases.remove(&holder);
        }
    }

    /// Nobody holds a lease any more.
    fn idle(&mut self, holder: Holder) {
        if self.linger.is_zero() {
            self.end(holder);
        } else if let Some(lease) = self.leases.get_mut(&holder) {
            lease.linger(self.linger);
        }
    }

    fn verdict(&self, flow: FlowKey, id: RequestId, outcome: Result<Served, Refusal>) {
        // The receiver is gone only when the agent stops; the client's retransmission then reaches
        // the locked function.
        let _ = self.verdicts.send(Verdict { flow, id, outcome });
    }

    fn failed(&mut self, what: &str) {
        tracing::error!(function = self.name(), error = what);
        self.last_error = Some(what.to_owned());
    }

    /// Notes a failure to lock, and tells whoever waits for everything to be locked.
    fn not_locked(&mut self, what: &str, waiters: &[LockWaiter]) {
        for waiter in waiters {
            // Whoever asked may have gone.
            let _ = waiter.send(format!("{}: {what}", self.name()));
        }
        self.failed(what);
    }

    fn note(&mut self, flow: FlowKey, step: Step, time: u64) {
        let holder = self.holder(flow);
        if let Some(lease) = self.leases.get_mut(&holder)
            && lease.machine.holds(flow)
            && let Some(timeline) = &mut lease.timeline
        {
            timeline.note_at(step, time);
        }
    }

    /// Once the first answer is on its way, the next container may have the host's attention. It may tell of the
    /// function's crash.
    fn answered(&mut self, flow: FlowKey, time: u64) {
        self.note(flow, Step::Answered, time);
        let holder = self.holder(flow);
        if let Some(lease) = self.leases.get_mut(&holder)
            && !std::mem::replace(&mut lease.answered, true)
            && !self.stopping
        {
            self.rebuilder.refill();
            self.end_crashed(holder);
        }
    }
}

async fn elapsed(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
