//! Reading on, as far as the held bytes go: heads that are to be judged, and the bodies behind them.
use super::{BODY_LEN, Connection, HEAD_LEN, KEYED_HEAD_LEN, State};
use crate::head::{
    action::{Action, Actions, RequestId},
    framing::{self, Chunks, Step},
    inside,
    request::{self, Body, Head, Lengths, Parsed, Request},
    rest::{self, Rest},
    stream::Stream,
};
use zeroize::Zeroizing;

impl Connection {
    /// Judges a head by its start; `false` where even that has to wait.
    pub(super) fn judge_start(&mut self, actions: &mut Actions) -> bool {
        let Some(stream) = &self.stream else {
            return false;
        };
        match request::parse_start(stream.ready(), &self.key_headers) {
            Some(head) => self.judge(head, actions),
            None if request::may_become_a_call(stream.ready()) => return false,
            None if request::is_none(stream.ready()) => self.state = State::Rest(Rest::of_none()),
            None => self.state = State::Rest(Rest::new()),
        }
        true
    }

    /// Reads on as far as the held bytes go.
    pub(super) fn go_on(&mut self, actions: &mut Actions) {
        while self.step(actions) {}
    }

    /// Reads what comes next; `false` where that has to wait.
    fn step(&mut self, actions: &mut Actions) -> bool {
        let Some(stream) = &mut self.stream else {
            return false;
        };
        match self.state {
            State::Judging(..) | State::Doubtful(_) | State::Left { .. } => false,
            State::Opaque => {
                actions.release(stream.pass(u64::MAX));
                false
            }
            _ if stream.ready().is_empty() => false,
            State::Head => self.read_head(actions),
            State::Rest(_) => self.read_rest(actions),
            State::Chunks(_) => self.read_chunks(actions),
        }
    }

    /// Reads behind the start of a head that was judged by it; `false` where there is none.
    fn read_rest(&mut self, actions: &mut Actions) -> bool {
        let (Some(stream), State::Rest(rest)) = (&mut self.stream, &mut self.state) else {
            return false;
        };
        if rest.is_at_line_inside()
            && let Some(start) = inside::first_line_call(stream.ready())
        {
            actions.release(stream.pass(start as u64));
            self.state = State::Head;
            return true;
        }
        let is_inside = rest.is_inside();
        match rest.step(stream.ready(), &self.key_headers) {
            rest::Step::Pass(length) => actions.release(stream.pass(length as u64)),
            rest::Step::Replace(line) => {
                actions.release(Some(stream.replace(Zeroizing::new(line))));
            }
            rest::Step::End(length, body) => {
                actions.release(stream.pass(length as u64));
                if !is_inside || body != Body::Opaque {
                    self.follow(body, actions);
                } else if stream.ready().is_empty() {
                    self.leave(actions);
                } else {
                    self.doubt(actions);
                }
            }
        }
        true
    }

    /// Goes over what is held of a chunked body; `false` where there is none.
    fn read_chunks(&mut self, actions: &mut Actions) -> bool {
        let (Some(stream), State::Chunks(chunks)) = (&mut self.stream, &mut self.state) else {
            return false;
        };
        match chunks.step(stream.ready()) {
            Step::Invalid => self.make_opaque(actions),
            Step::Pass(length) => self.pass(length, actions),
            Step::End(length) => {
                self.pass(length, actions);
                self.state = State::Head;
            }
        }
        true
    }

    /// Reads a head; `false` where it has to wait.
    fn read_head(&mut self, actions: &mut Actions) -> bool {
        let Some(stream) = &mut self.stream else {
            return false;
        };
        // They may be all that comes for a long time: some clients send them behind a body. The gateway skips them.
        if stream.ready().iter().copied().all(request::is_line_end) {
            actions.release(stream.pass(u64::MAX));
            return true;
        }
        let length = stream.ready().len();
        if is_unfinished_still(stream) {
            return false;
        }
        stream.note_look();
        match request::parse(stream.ready(), &self.key_headers) {
            Parsed::Incomplete if length >= HEAD_LEN => return self.judge_start(actions),
            Parsed::Incomplete if length >= KEYED_HEAD_LEN => {
                match request::parse_start(stream.ready(), &self.key_headers) {
                    Some(head) if !head.keys.is_empty() => self.judge(head, actions),
                    _ => return false,
                }
            }
            Parsed::Incomplete => return false,
            // The gateway refuses it, but is not to see a key all the same.
            Parsed::Invalid => self.state = State::Rest(Rest::of_none()),
            Parsed::Whole(head) => self.judge(head, actions),
        }
        true
    }

    /// Asks for a decision.
    fn judge(&mut self, mut head: Box<Head>, actions: &mut Actions) {
        self.to_leave = false;
        let id = RequestId::next();
        let request = Request {
            target: head.target.clone(),
            direct: head.name_range.is_some(),
            keys: std::mem::take(&mut head.keys),
            next_keys: std::mem::take(&mut head.next_keys),
            lengths: match head.body {
                Body::Length(body @ ..=BODY_LEN) => Some(Lengths {
                    head: head.length,
                    body: body as u32,
                }),
                _ => None,
            },
        };
        self.state = State::Judging(id, head);
        actions.push(Action::Judge { id, request });
    }

    /// Goes over a head's body.
    pub(super) fn follow(&mut self, body: Body, actions: &mut Actions) {
        self.state = State::Head;
        match body {
            Body::Length(length) => self.pass(length, actions),
            Body::Chunked => self.state = State::Chunks(Chunks::default()),
            Body::BeforeUpgrade(length) => match self.length_before_call(length) {
                Some(length) => self.pass(length, actions),
                None => self.make_opaque(actions),
            },
            Body::Unknown | Body::Opaque => self.make_opaque(actions),
        }
    }

    /// Of a body with this length, or in chunks, the length in bytes, where a request for a function is held behind it.
    /// Nobody changes the protocol before the gateway has agreed, so that it is one.
    fn length_before_call(&self, length: Option<u64>) -> Option<u64> {
        let held = self.stream.as_ref()?.ready();
        let length = length.or_else(|| framing::length(held))?;
        let behind = held.get(usize::try_from(length).ok()?..)?;
        request::is_call(behind).then_some(length)
    }

    /// Lets so many bytes go on: those that are held, and the others when they come.
    fn pass(&mut self, length: u64, actions: &mut Actions) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        let piece = stream.pass(length);
        let left = length - piece.as_ref().map_or(0, |piece| piece.bytes.len() as u64);
        actions.release(piece);
        if left > BODY_LEN {
            self.make_opaque(actions);
        } else if left > 0 {
            let start = stream.sequence();
            let held = stream.skip(left);
            actions.push(Action::PassWindow {
                start,
                end: stream.sequence(),
            });
            actions.release(held);
        }
    }

    pub(super) fn make_opaque(&mut self, actions: &mut Actions) {
        self.state = State::Opaque;
        if let Some(stream) = &mut self.stream {
            actions.release(stream.pass(u64::MAX));
        }
        actions.push(Action::Opaque);
    }
}

/// Whether all that has come of a head since it was last looked at leaves it as it was. A client may send it byte
/// by byte, and each time all of it would be read.
fn is_unfinished_still(stream: &Stream) -> bool {
    let (known, ready) = (stream.looked(), stream.ready());
    let is_new = |limit| (known..ready.len()).contains(&(limit - 1));
    known > 0
        && !is_new(HEAD_LEN)
        && !is_new(KEYED_HEAD_LEN)
        && !ready[known..]
            .iter()
            .any(|byte| matches!(byte, b' ' | b'\n'))
}
