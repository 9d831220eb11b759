//! Between the spotter and the leases: takes in what was held, asks who may be served, and lets the
//! requests go on. Everything here waits for nothing.
mod admit;
mod flow;
mod idle;
mod judge;
mod keys;
mod missed;
mod timers;
mod wait;
mod way;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use agent_ebpf::FlowKey;
use tokio::time::Instant;

use self::{
    flow::{Flow, Patience},
    timers::Timers,
    way::Way,
};
use super::{counters::Counters, registry::Registry};
use crate::{
    clock::monotonic_now,
    config::Config,
    fault::{self, Point},
    head::{Action, Connection, Decision, KeyHeaders, RequestId},
    lease::{Door, Message, Verdict},
    release::{FrameTemplate, PendingResets, Port},
    spot::{AdmissionKey, Admissions, Event, Flows, HeadName, HeldFrame, Hook, SpotError},
};

/// Most bytes that all connections together may hold, 256 MiB. What comes beyond is dropped, and sent again by the
/// client. A connection may hold 1 MiB.
const HELD_BYTES: usize = 1 << 28;

/// The agent's side of every flow that it has.
pub(super) struct Switchboard {
    flows: HashMap<FlowKey, Flow>,
    /// Flows whose first segment was left out, and has not come again.
    missed: HashSet<FlowKey>,
    /// Heads that were let in by a door, by function.
    seen: HashMap<String, VecDeque<HeadName>>,
    table: Flows,
    admissions: Arc<Admissions>,
    admission_key: AdmissionKey,
    port: Port,
    pending_resets: PendingResets,
    key_headers: KeyHeaders,
    patience: Patience,
    idle_limit: Duration,
    interfaces: HashMap<u32, Way>,
    /// When the kernel's table was last looked through, by its monotonic clock.
    swept: u64,
    timers: Timers,
    /// Bytes that all connections hold.
    held_bytes: usize,
    pub(super) counters: Counters,
}

impl Switchboard {
    pub(super) fn new(
        table: Flows,
        (admissions, admission_key): (Arc<Admissions>, AdmissionKey),
        port: Port,
        config: &Config,
    ) -> Self {
        let counters = Counters::default();
        Self {
            flows: HashMap::new(),
            missed: HashSet::new(),
            seen: HashMap::new(),
            table,
            admissions,
            admission_key,
            port,
            pending_resets: PendingResets::new(&config.state_dir),
            key_headers: KeyHeaders::new(&config.key_header, &config.next_key_header()),
            patience: Patience {
                head: config.head_timeout(),
                answer: config.answer_timeout(),
            },
            idle_limit: config.idle_limit(),
            interfaces: HashMap::new(),
            swept: 0,
            timers: Timers::default(),
            held_bytes: 0,
            counters,
        }
    }

    /// Takes in events of the spotter, in their order.
    pub(super) fn events(&mut self, events: Vec<Event>, registry: &Registry) {
        for event in events {
            self.event(event, registry);
        }
        self.expire(Instant::now(), registry);
    }

    fn event(&mut self, event: Event, registry: &Registry) {
        match event {
            Event::Held(held) => self.held(&held, registry),
            // The client may still wait for its answer; the gateway's own end follows.
            Event::ClientFin(_) => {}
            Event::ServerFin(flow) | Event::Reset(flow) => self.ended(&flow, registry),
            Event::Answer(flow, time) => self.answered(&flow, time, registry),
            Event::Failure(flow) => self.shut_failed_of(&flow, registry),
            Event::Barrier => self.barrier_come(registry),
            Event::Admitted(admitted) => self.admitted(&admitted, registry),
        }
    }

    /// Carries out what a lease has decided.
    pub(super) fn verdict(&mut self, verdict: Verdict, registry: &Registry) {
        let Verdict { flow, id, outcome } = verdict;
        // The connection may have ended meanwhile.
        let Some(state) = self.flows.get_mut(&flow) else {
            return;
        };
        let is_served = outcome.is_ok();
        let decision = match outcome {
            Ok(served) => {
                self.counters.served += 1;
                state.served = monotonic_now();
                if served.is_first {
                    // Before it can come.
                    let result = self.table.await_answer(&flow);
                    self.note(result);
                }
                Decision::Unlock(served.container)
            }
            Err(refusal) => self.refuse(refusal),
        };
        let actions = self.decide(&flow, id, &decision);
        self.act(&flow, actions, registry);
        self.wait(&flow);
        if is_served {
            fault::pass(Point::UnlockReleased);
            let now = monotonic_now();
            self.tell(&flow, registry, |flow| Message::Released(flow, now));
        }
    }

    fn held(&mut self, held: &HeldFrame, registry: &Registry) {
        if self.is_missed(held) {
            self.counters.segments_dropped += 1;
            return;
        }
        let template = match FrameTemplate::of(held) {
            Ok(template) => template,
            Err(error) => return self.reject(held, error),
        };
        let (sequence, payload) = (template.sequence(), template.payload(&held.frame));
        let known = self.flows.get(&held.flow);
        let is_new = known.is_none();
        let has_gone_on = known.is_some_and(|flow| flow.connection.has_gone_on(sequence));
        // With the next request what is kept of those before is forgotten.
        let is_next = held.place.is_answered && !is_new;
        if self.held_bytes >= HELD_BYTES && !has_gone_on && !is_next {
            self.counters.segments_dropped += 1;
            if !held.place.is_further {
                self.miss(&held.flow, sequence);
            }
            return;
        }
        if is_new && held.place.is_further && !held.place.is_answered {
            // What comes before it was dropped: taken for the start, it would keep that out for good.
            self.counters.segments_dropped += 1;
            return;
        }
        if is_new {
            self.keep(&held.flow, (0, 0));
        }
        // At XDP nothing goes on by itself.
        let is_at_tc = self.way(held.caught).hook == Hook::Tc;
        let flow = self.flows.entry(held.flow).or_insert_with(|| {
            let connection = Connection::new(self.key_headers.clone());
            Flow::new(connection, held.time)
        });
        flow.held = held.time;
        // Of one that is held in part already, these bytes may not be the ones that are judged.
        let may_come_again =
            is_at_tc && !held.place.is_unanswered && flow.connection.awaited().is_none();
        flow.head = may_come_again
            .then(|| self.admission_key.name(payload))
            .flatten();
        let actions = flow.connection.segment(sequence, payload, held.place);
        self.counters.segments_dropped += flow.connection.take_dropped();
        flow.template = Some(template.after(flow.template.as_ref()));
        let is_body = flow.connection.is_body();
        self.act(&held.flow, actions, registry);
        if is_body {
            self.take_for_body(&held.flow, registry);
        }
        self.wait(&held.flow);
    }

    fn act(&mut self, key: &FlowKey, actions: Vec<Action>, registry: &Registry) {
        // Judging may lead to further actions, which come after those that are there.
        let mut queue = VecDeque::from(tables_first(actions));
        while let Some(action) = queue.pop_front() {
            match action {
                Action::Judge { id, request } => {
                    queue.extend(tables_first(self.judge(key, id, request, registry)));
                }
                Action::Release { sequence, bytes } => self.release(key, sequence, &bytes),
                Action::PassWindow { start, end } => {
                    if let Some(flow) = self.flows.get_mut(key) {
                        flow.window = (start, end);
                        let result = self.table.move_window(key, flow.window);
                        self.note(result);
                    }
                }
                Action::OpaqueOnAnswer { end } => {
                    let result = self.table.leave_on_answer(key, end);
                    self.note(result);
                }
                Action::Opaque => {
                    let result = self.table.set_opaque(key);
                    self.note(result);
                }
            }
        }
        self.count_held(key);
    }

    /// Counts what a connection holds by now.
    fn count_held(&mut self, key: &FlowKey) {
        if let Some(flow) = self.flows.get_mut(key) {
            let before = std::mem::replace(&mut flow.held_bytes, flow.connection.held());
            self.held_bytes = self.held_bytes - before + flow.held_bytes;
            if !flow.has_acknowledged_part() {
                self.forget_reset(key);
            }
        }
    }

    fn decide(&mut self, key: &FlowKey, id: RequestId, decision: &Decision) -> Vec<Action> {
        match self.flows.get_mut(key) {
            Some(flow) => flow.connection.decide(id, decision),
            None => Vec::new(),
        }
    }

    /// Has those who come next ask the driver, where a function has crashed of which a client learns now.
    fn shut_failed_of(&mut self, key: &FlowKey, registry: &Registry) {
        let functions = self.flows.get(key).map(|flow| flow.functions.clone());
        for function in functions.into_iter().flatten() {
            self.shut_if_failed(&function, registry);
        }
        self.shut_failed(registry);
    }

    fn ended(&mut self, key: &FlowKey, registry: &Registry) {
        self.shut_failed_of(key, registry);
        self.leave(key, registry);
        self.forget(key);
    }

    /// Takes the leases from a connection: until their drivers know, no request of it comes in by a door.
    fn leave(&self, key: &FlowKey, registry: &Registry) {
        self.doors(key, registry).for_each(|door| door.leave(*key));
        self.tell(key, registry, Message::Closed);
    }

    /// The doors of the functions that hold a lease for a connection, or may.
    fn doors<'a>(&self, key: &FlowKey, registry: &'a Registry) -> impl Iterator<Item = &'a Door> {
        let functions = self.flows.get(key).into_iter();
        functions
            .flat_map(|flow| &flow.functions)
            .filter_map(|name| registry.door(name))
    }

    fn forget(&mut self, key: &FlowKey) {
        if let Some(mut flow) = self.flows.remove(key) {
            self.held_bytes -= flow.held_bytes;
            self.timers.set(*key, &mut flow.timer, None);
        }
        self.forget_reset(key);
        self.missed.remove(key);
        let result = self.table.remove(key);
        self.note(result);
    }

    fn tell(&self, key: &FlowKey, registry: &Registry, message: impl Fn(FlowKey) -> Message) {
        let Some(flow) = self.flows.get(key) else {
            return;
        };
        for name in &flow.functions {
            if let Some(lease) = registry.lease(name) {
                // A function that has just been unsealed has no lease left to tell.
                let _ = lease.send(message(*key));
            }
        }
    }

    /// Makes sure that the kernel has a flow that has come here: it may just have been forgotten, since nothing happened
    /// on it, or with a connection between the same ports.
    fn keep(&mut self, key: &FlowKey, window: (u32, u32)) {
        if matches!(self.table.get(key), Ok(None)) {
            let result = self.table.move_window(key, window);
            self.note(result);
        }
    }

    fn note(&mut self, result: Result<(), SpotError>) {
        if let Err(error) = result {
            self.counters.table_errors += 1;
            tracing::warn!(%error, "the table of flows");
        }
    }
}

/// Changes of the kernel's table before what is released: what the programs note of the answer to that would be
/// written over.
fn tables_first(mut actions: Vec<Action>) -> Vec<Action> {
    let is_table =
        |action: &Action| !matches!(action, Action::Judge { .. } | Action::Release { .. });
    actions.sort_by_key(|action| !is_table(action));
    actions
}
