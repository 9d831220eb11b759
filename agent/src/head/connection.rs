//! One connection: its requests are judged one by one, its bytes go on in order.
use rsfaas_shim::Refusal;
use zeroize::Zeroizing;

use super::{
    Target,
    action::{Action, Actions, RequestId},
    framing::{self, Chunked, Step},
    headers::KeyHeaders,
    request::{self, Body, Head, Lengths, Parsed, Request},
    rest::{self, Rest},
    rewrite::{self, NoRoom},
    stream::Stream,
};

/// Longest head that is waited for, 64 KiB. One that goes on is judged by what is there.
const HEAD_LEN: usize = 1 << 16;
/// Longest head that is waited for once it shows its key, 8 KiB: before anything is acknowledged, clients
/// send about 14 KiB (ten segments, RFC 6928).
const KEYED_HEAD_LEN: usize = 1 << 13;
/// Longest body whose place in the stream is followed, 1 GiB: half the sequence numbers, at which
/// old and new cannot be told apart, are further than that.
const BODY_LEN: u64 = 1 << 30;

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It goes to this function, without the key.
    Unlock(String),
    /// It goes to the locked function, which gives this reason.
    Refuse(Refusal),
    /// It goes on as it is.
    Pass,
    /// It goes on without the key.
    Strip,
    /// It goes to a function that does not exist.
    Hide,
}

/// A connection.
pub struct Connection {
    key_headers: KeyHeaders,
    stream: Option<Stream>,
    state: State,
    next: u64,
}

enum State {
    /// At the start of a request.
    Head,
    /// At what may be a request sent ahead, or the rest of one that has passed by itself.
    Doubtful,
    /// A request is being judged.
    Judging(RequestId, Box<Head>),
    /// Behind the start of a head that was judged by it.
    Rest(Rest),
    /// Inside a chunked body.
    Chunks(Chunked),
    /// Not looked at, until a segment is held again.
    Opaque,
}

impl Connection {
    /// A connection of which nothing was held yet.
    #[must_use]
    pub fn new(key_headers: impl Into<KeyHeaders>) -> Self {
        Self {
            key_headers: key_headers.into(),
            stream: None,
            state: State::Head,
            next: 0,
        }
    }

    /// Takes in a held segment.
    pub fn segment(&mut self, sequence: u32, payload: &[u8]) -> Vec<Action> {
        self.take_in(sequence, payload, State::Head)
    }

    /// Takes in a segment that was held while the gateway owed an answer to what came before it. Where
    /// nothing is known of that, it waits for [`Connection::answered`].
    pub fn unanswered_segment(&mut self, sequence: u32, payload: &[u8]) -> Vec<Action> {
        self.take_in(sequence, payload, State::Doubtful)
    }

    /// `start` is what a segment is of which nothing before it is known.
    fn take_in(&mut self, sequence: u32, payload: &[u8], start: State) -> Vec<Action> {
        let mut actions = Actions::default();
        let stream = match &mut self.stream {
            Some(known) if !matches!(self.state, State::Opaque) || known.has_gone_on(sequence) => {
                known
            }
            // The first one, or the spotter sees a request again, and what came in between has passed by
            // itself.
            unknown => {
                self.state = start;
                unknown.insert(Stream::new(sequence))
            }
        };
        // No header line: what came before was no head, or not all of one.
        if matches!(self.state, State::Rest(_))
            && sequence == stream.sequence()
            && request::is_call(payload)
        {
            self.state = State::Head;
        }
        actions.release(stream.insert(sequence, payload));
        self.go_on(&mut actions);
        actions.into()
    }

    /// A request has gone on by itself: its head in this form, with a body of so many bytes. `None` where it is one that
    /// had gone on before, and came again.
    pub fn gone_on(&mut self, sequence: u32, head: &[u8], body: u32) -> Option<Vec<Action>> {
        let mut actions = Actions::default();
        let stream = match &mut self.stream {
            Some(known) if known.has_gone_on(sequence) => return None,
            Some(known) if known.sequence() == sequence => known,
            unknown => unknown.insert(Stream::new(sequence)),
        };
        let head = Zeroizing::new(head.to_vec());
        actions.release(stream.skip_request(head, body.into()));
        self.state = State::Head;
        self.go_on(&mut actions);
        Some(actions.into())
    }

    /// The gateway has answered what came before: what waits for that is a request sent ahead.
    pub fn answered(&mut self) -> Vec<Action> {
        let mut actions = Actions::default();
        if self.is_doubtful() {
            self.state = State::Head;
            self.go_on(&mut actions);
        }
        actions.into()
    }

    /// Whether what is held waits for the gateway's answer to what came before.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        matches!(self.state, State::Doubtful)
    }

    /// Carries out what was decided about the request that is being judged. A decision about any
    /// other one comes too late, and nothing is done.
    pub fn decide(&mut self, id: RequestId, decision: &Decision) -> Vec<Action> {
        let mut actions = Actions::default();
        if !matches!(&self.state, State::Judging(judged, _) if *judged == id) {
            return actions.into();
        }
        let State::Judging(_, head) = std::mem::replace(&mut self.state, State::Head) else {
            return actions.into();
        };
        let Some(stream) = &mut self.stream else {
            return actions.into();
        };
        let lines = &stream.ready()[head.start..head.length];
        let rest = (head.body == Body::Unknown).then(|| Rest::after(lines, &self.key_headers));
        match rewrite(stream.ready(), &head, &self.key_headers, decision) {
            Some(bytes) => actions.release(Some(stream.replace(bytes))),
            None => actions.release(stream.pass(head.length as u64)),
        }
        match rest {
            Some(rest) => self.state = State::Rest(rest),
            None => self.follow(head.body, &mut actions),
        }
        self.go_on(&mut actions);
        actions.into()
    }

    /// Whether a request is being judged.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        matches!(self.state, State::Judging(..))
    }

    /// Whether a part of a head is held, and the rest is waited for.
    #[must_use]
    pub fn awaits_head(&self) -> bool {
        matches!(self.state, State::Head)
            && self
                .stream
                .as_ref()
                .is_some_and(|stream| !stream.ready().is_empty())
    }

    /// What is waited for did not come in time. Without an answer, what looks like a request is taken for
    /// the rest of another one, and goes on as it is. Of a head without its rest, what is there is judged: a
    /// key that comes later does not count any more, but does not go on either. A request line that is not
    /// whole stays held, since nobody can tell where it is going to lead.
    pub fn give_up(&mut self) -> Vec<Action> {
        let mut actions = Actions::default();
        if self.is_doubtful() {
            self.make_opaque(&mut actions);
        } else if self.awaits_head() {
            self.judge_start(&mut actions);
            self.go_on(&mut actions);
        }
        actions.into()
    }

    /// Judges a head by its start; `false` where even that has to wait.
    fn judge_start(&mut self, actions: &mut Actions) -> bool {
        let Some(stream) = &self.stream else {
            return false;
        };
        match request::parse_start(stream.ready(), &self.key_headers) {
            Some(head) => self.judge(head, actions),
            None if request::may_become_a_call(stream.ready()) => return false,
            None => self.state = State::Rest(Rest::new()),
        }
        true
    }

    /// Reads on as far as the held bytes go.
    fn go_on(&mut self, actions: &mut Actions) {
        loop {
            let Some(stream) = &mut self.stream else {
                return;
            };
            match &mut self.state {
                State::Judging(..) | State::Doubtful => return,
                State::Rest(rest) => {
                    if stream.ready().is_empty() {
                        return;
                    }
                    match rest.step(stream.ready(), &self.key_headers) {
                        rest::Step::Pass(length) => {
                            actions.release(stream.pass(length as u64));
                        }
                        rest::Step::Replace(line) => {
                            actions.release(Some(stream.replace(Zeroizing::new(line))));
                        }
                        rest::Step::End(length, body) => {
                            actions.release(stream.pass(length as u64));
                            self.follow(body, actions);
                        }
                    }
                }
                State::Opaque => {
                    actions.release(stream.pass(u64::MAX));
                    return;
                }
                State::Head => {
                    if stream.ready().is_empty() || !self.read_head(actions) {
                        return;
                    }
                }
                State::Chunks(state) => {
                    if stream.ready().is_empty() {
                        return;
                    }
                    match framing::step(*state, stream.ready()) {
                        Step::Incomplete => return,
                        Step::Invalid => self.make_opaque(actions),
                        Step::Chunk(length) => {
                            self.pass(length, actions);
                        }
                        Step::Last(length) => {
                            self.pass(length, actions);
                            self.state = State::Chunks(Chunked::Trailer);
                        }
                        Step::TrailerLine(length) => self.pass(length, actions),
                        Step::End(length) => {
                            self.pass(length, actions);
                            self.state = State::Head;
                        }
                    }
                }
            }
        }
    }

    /// Reads a head; `false` where it has to wait.
    fn read_head(&mut self, actions: &mut Actions) -> bool {
        let Some(stream) = &self.stream else {
            return false;
        };
        let length = stream.ready().len();
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
            Parsed::Invalid => self.state = State::Rest(Rest::new()),
            Parsed::Whole(head) => self.judge(head, actions),
        }
        true
    }

    /// Asks for a decision.
    fn judge(&mut self, mut head: Box<Head>, actions: &mut Actions) {
        let id = RequestId(self.next);
        self.next += 1;
        let request = Request {
            target: std::mem::replace(&mut head.target, Target::Other),
            plain: head.name_range.is_some(),
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
    fn follow(&mut self, body: Body, actions: &mut Actions) {
        self.state = State::Head;
        match body {
            Body::Length(length) => self.pass(length, actions),
            Body::Chunked => self.state = State::Chunks(Chunked::Size),
            Body::Unknown | Body::Opaque => self.make_opaque(actions),
        }
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

    fn make_opaque(&mut self, actions: &mut Actions) {
        self.state = State::Opaque;
        if let Some(stream) = &mut self.stream {
            actions.release(stream.pass(u64::MAX));
        }
        actions.push(Action::Opaque);
    }
}

/// The head in the form in which it goes on; `None` where that is its own.
fn rewrite(
    bytes: &[u8],
    head: &Head,
    key_headers: &KeyHeaders,
    decision: &Decision,
) -> Option<Zeroizing<Vec<u8>>> {
    let bytes = bytes.get(..head.length)?;
    let rewritten = match decision {
        Decision::Pass => return None,
        Decision::Unlock(name) => rewrite::to_function(bytes, head, key_headers, name),
        Decision::Refuse(refusal) => rewrite::refused(bytes, head, key_headers, *refusal),
        Decision::Strip => rewrite::stripped(bytes, head, key_headers),
        Decision::Hide => rewrite::hidden(bytes, head, key_headers),
    };
    // Where the wanted form does not fit, the request goes to the locked function, and tells less.
    Some(
        rewritten
            .or_else(|NoRoom| rewrite::stripped(bytes, head, key_headers))
            .unwrap_or_else(|NoRoom| {
                // Not even the head without the key can be filled up: nothing of it may go on.
                Zeroizing::new(vec![b' '; head.length])
            }),
    )
}

#[cfg(test)]
mod tests;
