//! Held segments as they come: how each stands to what is known of its connection, and what follows from that.
use agent_ebpf::HeldPlace;

use super::{Connection, HEAD_LEN, State};
use crate::head::{
    action::{Action, Actions},
    request,
    stream::Stream,
};

/// How a held segment stands to what is known of its connection.
enum Arrival {
    /// It comes next, or is to be put in order.
    Next,
    /// It begins anew: it is the first one, or what lies between has passed by itself.
    Anew {
        /// Whether the gateway still owes an answer to what came before.
        is_doubtful: bool,
    },
    /// It is of a connection that was left, and was held before the spotter heard of that, or holds a part of a head
    /// that has gone on in another form.
    Left {
        /// Whether the connection was left at the start of a request, or else at any place.
        at_start: bool,
    },
    /// It holds a part of a head that has gone on in another form, of a connection that is not looked at.
    Again,
    /// It was held before the spotter heard that the connection is not followed any more. It may belong to what was
    /// held after that, and the client sends it again.
    Lost,
}

impl Connection {
    /// Takes in a held segment. Where it was held while the gateway owed an answer to what came before it, of which
    /// nothing is known here, it waits for [`Connection::answered`].
    pub fn segment(&mut self, sequence: u32, payload: &[u8], place: HeldPlace) -> Vec<Action> {
        let mut actions = Actions::default();
        if place.is_answered {
            self.is_body = false;
            if let Some(stream) = &mut self.stream {
                stream.forget_before(sequence);
            }
        }
        let arrival = self.arrival(sequence, payload.len(), place);
        if matches!(arrival, Arrival::Anew { .. }) {
            self.stream = None;
        }
        let stream = self.stream.get_or_insert_with(|| Stream::new(sequence));
        match arrival {
            Arrival::Next => self.next(sequence, payload, &mut actions),
            Arrival::Anew { is_doubtful: true } => {
                actions.release(stream.insert(sequence, payload));
                self.doubt(&mut actions);
            }
            Arrival::Anew { is_doubtful: false } => {
                actions.release(stream.insert(sequence, payload));
                self.state = State::Head;
                self.go_on(&mut actions);
            }
            Arrival::Left { at_start } => {
                actions.release(stream.insert(sequence, payload));
                self.take_back(at_start, &mut actions);
            }
            Arrival::Again => {
                // The spotter has taken the flow for a request, and is to let go of it again.
                actions.push(Action::Opaque);
                actions.release(stream.insert(sequence, payload));
                self.go_on(&mut actions);
            }
            Arrival::Lost => stream.drop_piece(),
        }
        actions.into()
    }

    /// Tells how a segment of some length stands to what is known.
    fn arrival(&self, sequence: u32, length: usize, place: HeldPlace) -> Arrival {
        let is_doubtful = place.is_unanswered;
        let Some(known) = &self.stream else {
            return Arrival::Anew { is_doubtful };
        };
        let is_followed = known.has_gone_on(sequence) || known.sequence() == sequence;
        match self.state {
            State::Opaque | State::Left { .. } if place.is_further && !is_followed => Arrival::Lost,
            State::Opaque if place.is_further => Arrival::Next,
            State::Opaque if known.repeats_head(sequence, length) => Arrival::Again,
            State::Left { at_start }
                if place.is_further || known.repeats_head(sequence, length) =>
            {
                let at_start = at_start || place.is_answered;
                Arrival::Left { at_start }
            }
            // The spotter sees a request again.
            State::Opaque | State::Left { .. } => Arrival::Anew { is_doubtful },
            // The gateway has what lies between.
            _ if place.is_answered && known.is_ahead(sequence) => {
                Arrival::Anew { is_doubtful: false }
            }
            _ => Arrival::Next,
        }
    }

    /// Takes in a segment of the stream that is known.
    fn next(&mut self, sequence: u32, payload: &[u8], actions: &mut Actions) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        // No header line: what came before was no head, or not all of one.
        if matches!(self.state, State::Rest(_))
            && sequence == stream.sequence()
            && request::is_call(payload)
        {
            self.state = State::Head;
        }
        let is_line_too_long =
            matches!(self.state, State::Head) && stream.ready().len() >= HEAD_LEN;
        if is_line_too_long && !stream.has_gone_on(sequence) {
            stream.drop_piece();
            return;
        }
        actions.release(stream.insert(sequence, payload));
        self.go_on(actions);
    }
}
