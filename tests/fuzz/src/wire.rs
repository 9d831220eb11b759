//! A client's TCP stream on its way to the gateway: the kernel's part (what is held, what passes) is
//! played here, by the rules of the programs; the agent's part is the agent's own.

use std::collections::VecDeque;

use agent_ebpf::{Flow, HeldPlace};
use rsfaas::head::{Action, Connection, Decision, Request, RequestId};

use crate::KEY_HEADER;

/// A request that waits for its decision.
pub struct Judged {
    /// For the decision.
    pub id: RequestId,
    /// What it asks for.
    pub request: Request,
}

/// The stream.
pub struct Wire {
    bytes: Vec<u8>,
    base: u32,
    /// What has reached the gateway, byte by byte.
    arrived: Vec<Option<u8>>,
    flow: Flow,
    opaque: bool,
    /// How much the gateway had received when it last answered.
    answered: usize,
    is_further: bool,
    /// Bytes of which the client has been told that they have come: it sends none of them again.
    acknowledged: usize,
    connection: Connection,
    /// Requests to be decided about, oldest first.
    pub judged: VecDeque<Judged>,
}

impl Wire {
    /// A stream of these bytes, whose first has a sequence number.
    pub fn new(bytes: Vec<u8>, base: u32) -> Self {
        Self {
            arrived: vec![None; bytes.len()],
            bytes,
            base,
            flow: Flow::held(0),
            opaque: false,
            answered: 0,
            is_further: false,
            acknowledged: 0,
            connection: Connection::new(KEY_HEADER),
            judged: VecDeque::new(),
        }
    }

    /// The client sends a segment, for the first time or again.
    pub fn send(&mut self, start: usize, length: usize) {
        let end = (start + length).min(self.bytes.len());
        let start = start.max(self.acknowledged);
        if start >= end {
            return;
        }
        let payload = self.bytes[start..end].to_vec();
        let sequence = self.base.wrapping_add(start as u32);
        if self.opaque || self.flow.passes(sequence, payload.len() as u32) {
            self.arrive(sequence, &payload);
        } else {
            let is_turn = self.answered == start;
            let place = HeldPlace {
                is_unanswered: !self.is_further && !is_turn,
                is_further: self.is_further,
                is_answered: is_turn,
            };
            self.is_further = true;
            let actions = self.connection.segment(sequence, &payload, place);
            self.act(actions);
        }
    }

    /// How many bytes the client does not send again.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged
    }

    /// The part of a head that is held is acknowledged.
    pub fn acknowledge(&mut self) {
        if let Some(end) = self.connection.awaited() {
            self.acknowledged = end.wrapping_sub(self.base) as usize;
        }
    }

    /// The gateway answers all that it has.
    pub fn answer(&mut self) {
        self.answered = self.first_missing().unwrap_or(self.bytes.len());
        let acknowledged = self.base.wrapping_add(self.answered as u32);
        if (acknowledged.wrapping_sub(self.flow.pass_end) as i32) >= 0 {
            self.pass(self.flow.pass_end, self.flow.pass_end);
        }
        let actions = self.connection.answered();
        self.act(actions);
    }

    /// The client sends bytes that are none of the programs' business, before anything else.
    pub fn pass_by(&mut self, length: usize) {
        let bytes = self.bytes[..length].to_vec();
        self.arrive(self.base, &bytes);
    }

    /// The client sends a request, `length` bytes from `start` on, whose head the programs know: it goes on by itself
    /// with this head. Whether it does; it has to be its turn.
    pub fn admit(&mut self, start: usize, head: &[u8], length: usize) -> bool {
        let is_turn = self.answered == start && self.first_missing() == Some(start);
        if self.opaque || !is_turn || start < self.acknowledged {
            return false;
        }
        let sequence = self.base.wrapping_add(start as u32);
        let body = self.bytes[start + head.len()..start + length].to_vec();
        self.arrive(sequence, &[head, &body].concat());
        self.is_further = true;
        let window = sequence.wrapping_add(head.len() as u32);
        self.pass(window, window.wrapping_add(body.len() as u32));
        let gone_on = self.connection.gone_on(sequence, head, body.len() as u32);
        // Whatever of it was held, and is judged, is not what has gone on.
        self.judged.clear();
        self.act(gone_on.expect("a request that has not come before"));
        true
    }

    fn pass(&mut self, start: u32, end: u32) {
        self.flow = Flow {
            pass_start: start,
            pass_end: end,
            ..Flow::held(0)
        };
    }

    /// Decides about a request.
    pub fn decide(&mut self, id: RequestId, decision: &Decision) {
        let actions = self.connection.decide(id, decision);
        self.act(actions);
    }

    /// The rest of a head does not come in time.
    pub fn give_up(&mut self) {
        let actions = self.connection.give_up();
        self.act(actions);
    }

    /// The first byte that has not reached the gateway.
    pub fn first_missing(&self) -> Option<usize> {
        self.arrived.iter().position(Option::is_none)
    }

    /// How many bytes have reached the gateway.
    pub fn count(&self) -> usize {
        self.arrived.iter().flatten().count()
    }

    /// What has reached the gateway without a gap.
    pub fn arrived(&self) -> Vec<u8> {
        self.arrived.iter().map_while(|byte| *byte).collect()
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Judge { id, request } => self.judged.push_back(Judged { id, request }),
                Action::Release { sequence, bytes } => self.arrive(sequence, &bytes),
                Action::PassWindow { start, end } => self.pass(start, end),
                Action::Opaque => self.opaque = true,
                Action::OpaqueOnAnswer { .. } => {}
            }
        }
    }

    fn arrive(&mut self, sequence: u32, bytes: &[u8]) {
        let start = sequence.wrapping_sub(self.base) as usize;
        for (place, byte) in (start..).zip(bytes) {
            let slot = self
                .arrived
                .get_mut(place)
                .expect("bytes that the client has not sent");
            assert!(
                slot.is_none_or(|known| known == *byte),
                "place {place} arrives again as another byte"
            );
            slot.get_or_insert(*byte);
        }
    }
}
