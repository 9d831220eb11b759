//! Requests that the programs let go on by themselves: the agent follows them, has them let go on, and has that end
//! before the lease does.
use std::collections::{HashMap, VecDeque};

use agent_ebpf::FlowKey;

use zeroize::Zeroizing;

use super::{Flow, Switchboard};
use crate::{
    clock::monotonic_now,
    daemon::registry::Registry,
    head::{Action, Connection},
    lease::{Door, Message},
    spot::{Admitted, HeadName, Known},
};

/// Heads of a function that are remembered: one that comes again is worth to be known to the programs.
const REMEMBERED: usize = 32;

/// What is known beside what the programs know.
#[derive(Default)]
pub(super) struct Admitting {
    /// Heads that were let in, by function.
    seen: HashMap<String, VecDeque<HeadName>>,
    /// Connections that have left a lease last, whose driver is to be told once it is known who has come meanwhile.
    leaving: Vec<(FlowKey, String)>,
    /// Those that left before the barrier that was asked for.
    behind: Vec<(FlowKey, String)>,
    /// Whether something closed is to be overwritten.
    is_unclean: bool,
    /// Whether a barrier was asked for that has not come.
    awaits_barrier: bool,
}

impl Switchboard {
    /// Follows a request that has gone on by itself: its connection has a part in the lease from then on.
    pub(super) fn admitted(&mut self, admitted: &Admitted, registry: &Registry) {
        let Some(known) = self.admissions.known(admitted.admission) else {
            return;
        };
        self.counters.served += 1;
        let Admitted {
            flow: key,
            time,
            sequence,
            ..
        } = *admitted;
        let flow = self.flows.entry(key).or_insert_with(|| {
            let connection = Connection::new(self.key_headers.clone());
            Flow::new(connection, time)
        });
        flow.served = time;
        let end = sequence.wrapping_add(known.head.len() as u32);
        flow.window = (end, end.wrapping_add(known.body));
        let actions = flow.connection.gone_on(sequence, &known.head, known.body);
        self.join(&key, &known.function);
        if let Some(door) = registry.door(&known.function) {
            door.note(key);
        }
        self.act(&key, actions, registry);
    }

    /// Notes that a connection may have a part in a function's lease.
    pub(super) fn join(&mut self, key: &FlowKey, function: &str) {
        let Some(flow) = self.flows.get_mut(key) else {
            return;
        };
        if flow.functions.insert(function.to_owned()) {
            *self.members.entry(function.to_owned()).or_default() += 1;
        }
    }

    /// Has requests let go on that start as one that was let in: from the second on, since most heads never come again.
    /// `actions` are what that one has led to, whose first byte was at `start`.
    pub(super) fn admit_next(
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
        // Where there was no room, it has gone to the locked function.
        let leads_there = |head: &&[u8]| {
            let mut places = head.windows(path.len());
            places.any(|some| some == path.as_bytes())
        };
        let Some(head) = head.filter(leads_there) else {
            return;
        };
        let seen = self.admitting.seen.entry(function.clone()).or_default();
        if !seen.contains(name) {
            seen.truncate(REMEMBERED - 1);
            seen.push_front(*name);
            return;
        }
        let known = Known {
            function,
            container,
            head: Zeroizing::new(head.to_vec()),
            body,
        };
        match self.admissions.open(name, known) {
            Ok(true) => {
                // Also on this connection.
                let next = start.wrapping_add(name.length() as u32).wrapping_add(body);
                let result = self.table.set_next_head(key, next);
                self.note(result);
                self.look_at_all(registry);
            }
            Ok(false) => {}
            Err(error) => self.note(Err(error)),
        }
    }

    /// Looks what has failed, where anything may have, and has the programs go on with the rest.
    pub(super) fn look_at_all(&mut self, registry: &Registry) {
        let now = monotonic_now();
        match self.admissions.are_halted() {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return self.note(Err(error)),
        }
        for function in self.admissions.functions() {
            let is_open = registry.door(&function).is_some_and(Door::look);
            if !is_open {
                let closed = self.admissions.close(&function).map(drop);
                self.note(closed);
            }
        }
        let result = self.admissions.looked(now);
        self.note(result);
    }

    /// Takes a lease from a connection: until its driver knows, no request of it comes in by the door. Where it was
    /// the last, the driver is told only when it is known that nobody was let go on meanwhile.
    pub(super) fn leave(&mut self, key: &FlowKey, registry: &Registry) {
        let Some(flow) = self.flows.get_mut(key) else {
            return;
        };
        for function in std::mem::take(&mut flow.functions) {
            if let Some(door) = registry.door(&function) {
                door.leave(*key);
            }
            let is_last = self.leave_one(&function);
            let closed = is_last.then(|| self.admissions.close(&function));
            match closed.transpose() {
                Ok(Some(true)) => self.admitting.leaving.push((*key, function)),
                Ok(_) => tell_closed(*key, &function, registry),
                Err(error) => {
                    self.note(Err(error));
                    tell_closed(*key, &function, registry);
                }
            }
        }
    }

    /// One connection fewer; whether it was the last.
    fn leave_one(&mut self, function: &str) -> bool {
        let Some(members) = self.members.get_mut(function) else {
            return true;
        };
        *members -= 1;
        if *members == 0 {
            self.members.remove(function);
            return true;
        }
        false
    }

    /// Tells at once what was to be told of a connection later: it comes again, by way of the driver.
    pub(super) fn come_again(&mut self, key: &FlowKey, function: &str, registry: &Registry) {
        let Admitting {
            leaving, behind, ..
        } = &mut self.admitting;
        for list in [leaving, behind] {
            for (flow, function) in list.extract_if(.., |(flow, of)| flow == key && of == function)
            {
                tell_closed(flow, &function, registry);
            }
        }
    }

    /// Has what was closed overwritten soon.
    pub(super) fn clean(&mut self) {
        self.admitting.is_unclean |= self.admissions.has_closed();
    }

    /// Whether a barrier is to be asked for, right now; what it came to is to be told to [`Self::barrier_asked`].
    pub(in crate::daemon) fn takes_barrier(&mut self) -> bool {
        let Admitting {
            leaving,
            behind,
            is_unclean,
            awaits_barrier,
            ..
        } = &mut self.admitting;
        if *awaits_barrier || !*is_unclean && leaving.is_empty() {
            return false;
        }
        *is_unclean = false;
        behind.append(leaving);
        self.admissions.before_barrier();
        true
    }

    /// Whether the barrier will come. Where there was no room for it, it is asked for again.
    pub(in crate::daemon) fn barrier_asked(&mut self, has_room: bool) {
        self.admitting.awaits_barrier = has_room;
        self.admitting.is_unclean |= !has_room;
    }

    /// The barrier has come: whoever was let go on is known.
    pub(super) fn barrier_come(&mut self, registry: &Registry) {
        self.admitting.awaits_barrier = false;
        let result = self.admissions.barrier_come();
        self.note(result);
        for (flow, function) in std::mem::take(&mut self.admitting.behind) {
            tell_closed(flow, &function, registry);
        }
    }
}

fn tell_closed(flow: FlowKey, function: &str, registry: &Registry) {
    if let Some(lease) = registry.lease(function) {
        // A function that has just been unsealed has no lease left to tell.
        let _ = lease.send(Message::Closed(flow));
    }
}
