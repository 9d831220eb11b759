//! Requests that come again: those that are let in by the door, and have the next ones let go on by themselves, and
//! those that the programs have let go on so, which the agent follows.
use agent_ebpf::FlowKey;
use zeroize::Zeroizing;

use super::{Flow, Switchboard};
use crate::{
    clock::monotonic_now,
    daemon::registry::Registry,
    head::{Action, Connection, Decision, Lengths, RequestId},
    lease::{Door, Message},
    release::FrameTemplate,
    spot::{Admitted, HeadName, Known},
};

/// Heads of a function that are remembered: one that comes again is worth to be known to the programs.
const REMEMBERED: usize = 32;

impl Switchboard {
    /// Follows a request that has gone on by itself: its connection has a part in the lease from then on.
    pub(super) fn admitted(&mut self, admitted: &Admitted, registry: &Registry) {
        let Some(known) = self.admissions.known(admitted.admission) else {
            self.counters.table_errors += 1;
            let number = admitted.admission;
            tracing::error!(
                number,
                "a request has gone on by an admission that is not known"
            );
            return;
        };
        let Admitted {
            flow: key,
            time,
            sequence,
            ..
        } = *admitted;
        let mut is_new = false;
        let flow = self.flows.entry(key).or_insert_with(|| {
            is_new = true;
            Flow::new(Connection::new(self.key_headers.clone()), time)
        });
        let gone_on = flow.connection.gone_on(sequence, &known.head, known.body);
        let Some(actions) = gone_on else {
            return;
        };
        self.counters.served += 1;
        flow.served = time;
        let end = sequence.wrapping_add(known.head.len() as u32);
        flow.window = (end, end.wrapping_add(known.body));
        flow.functions.insert(known.function.clone());
        let window = flow.window;
        if is_new {
            self.keep(&key, window);
        }
        if let Some(door) = registry.door(&known.function) {
            door.note(key);
        }
        self.act(&key, actions, registry);
        self.wait(&key);
    }

    /// Lets a request go on that came in by the door.
    pub(super) fn serve_by_door(
        &mut self,
        key: &FlowKey,
        id: RequestId,
        way: (String, String),
        lengths: Option<Lengths>,
        registry: &Registry,
    ) -> Vec<Action> {
        self.counters.served += 1;
        self.counters.served_by_door += 1;
        let Some(flow) = self.flows.get_mut(key) else {
            return Vec::new();
        };
        flow.served = monotonic_now();
        let (head, start) = (
            flow.head.take(),
            flow.template.as_ref().map(FrameTemplate::sequence),
        );
        let decision = Decision::Unlock(way.1.clone());
        let actions = flow.connection.decide(id, &decision);
        if let (Some(head), Some(start)) = (head, start)
            && let Some(Lengths { head: length, body }) = lengths
            && head.length() == length
        {
            self.admit_next(key, (&head, body), start, &actions, way, registry);
        }
        actions
    }

    /// Has requests let go on that start as one that was let in: from the second on, since most heads never come again.
    /// `actions` are what that one has led to, whose first byte was at `start`.
    fn admit_next(
        &mut self,
        key: &FlowKey,
        (name, body): (&HeadName, u32),
        start: u32,
        actions: &[Action],
        (function, container): (String, String),
        registry: &Registry,
    ) {
        let path = format!("/function/{container}");
        let head = actions.iter().find_map(|action| match action {
            Action::Release { sequence, bytes } if *sequence == start => bytes.get(..name.length()),
            _ => None,
        });
        // Where there was no room, it has gone to the locked function. Paths that are spelled otherwise stay the agent's.
        let leads_there = |head: &&[u8]| {
            let mut places = head.windows(path.len());
            places.any(|some| some == path.as_bytes())
        };
        let Some(head) = head.filter(leads_there) else {
            return;
        };
        let seen = self.seen.entry(function.clone()).or_default();
        if !seen.contains(name) {
            seen.truncate(REMEMBERED - 1);
            seen.push_front(*name);
            return;
        }
        let known = Known {
            function,
            head: Zeroizing::new(head.to_vec()),
            body,
        };
        match self.admissions.open(name, known) {
            Ok(true) => {
                // Also on this connection.
                let next = start.wrapping_add(name.length() as u32).wrapping_add(body);
                let result = self.table.set_next_head(key, next);
                self.note(result);
                self.shut_failed(registry);
            }
            Ok(false) => {}
            Err(error) => self.note(Err(error)),
        }
    }

    /// Looks what has failed, where anything may have, and has the programs go on with the rest.
    pub(super) fn shut_failed(&mut self, registry: &Registry) {
        let now = monotonic_now();
        match self.admissions.are_halted() {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return self.note(Err(error)),
        }
        for function in self.admissions.functions() {
            self.shut_if_failed(&function, registry);
        }
        let result = self.admissions.looked(now);
        self.note(result);
    }

    /// Looks whether a function has failed. Nobody is let in to one that has.
    pub(super) fn shut_if_failed(&mut self, function: &str, registry: &Registry) {
        let is_open = registry.door(function).is_some_and(Door::shut_if_ending);
        if !is_open {
            let closed = self.admissions.close(function);
            self.note(closed);
        }
    }

    /// A barrier has come: it is known who was let go on, and their drivers may go on, too.
    pub(super) fn barrier_come(&mut self, registry: &Registry) {
        let (drained, cleaned) = self.admissions.barrier_come();
        self.note(cleaned);
        for function in drained {
            if let Some(lease) = registry.lease(&function) {
                // A function that has just been unsealed has no lease left to tell.
                let _ = lease.send(Message::Drained);
            }
        }
    }
}
