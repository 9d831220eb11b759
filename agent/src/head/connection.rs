//! One connection: its requests are judged one by one, its bytes go on in order.
use rsfaas_shim::Refusal;
use zeroize::Zeroizing;

use super::{
    Target,
    framing::{self, Chunked, Step},
    request::{self, Body, Head, Parsed, Request},
    rest::{self, Rest},
    rewrite::{self, NoRoom},
    stream::{Piece, Stream},
};

/// Longest head that is waited for, 64 KiB. One that goes on is judged by what is there.
const HEAD_LEN: usize = 1 << 16;
/// Longest head that is waited for once it shows its key, 8 KiB: before anything is acknowledged, clients
/// send about 14 KiB (ten segments, RFC 6928).
const KEYED_HEAD_LEN: usize = 1 << 13;
/// Longest body whose place in the stream is followed, 1 GiB: half the sequence numbers, at which
/// old and new cannot be told apart, are further than that.
const BODY_LEN: u64 = 1 << 30;

/// Names a request on its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(u64);

/// What is to be done.
pub enum Action {
    /// Decide about a request, now or later, with [`Connection::decide`]. Its body waits.
    Judge {
        /// Which.
        id: RequestId,
        /// What it asks for.
        request: Request,
    },
    /// Let bytes go on.
    Release {
        /// Their first sequence number.
        sequence: u32,
        /// They may hold secrets of the caller's.
        bytes: Zeroizing<Vec<u8>>,
    },
    /// Let segments within these sequence numbers pass by themselves, and no others.
    PassWindow {
        /// The first.
        start: u32,
        /// The one after the last.
        end: u32,
    },
    /// Let everything pass by itself from now on.
    Opaque,
}

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
    key_header: String,
    stream: Option<Stream>,
    state: State,
    next: u64,
}

enum State {
    /// At the start of a request.
    Head,
    /// A request is being judged.
    Judging(RequestId, Box<Head>),
    /// Behind the start of a head that was judged by it.
    Rest(Rest),
    /// Inside a chunked body.
    Chunks(Chunked),
    /// Not looked at any more.
    Opaque,
}

impl Connection {
    /// A connection of which nothing was held yet. Letter case does not matter in the header's name.
    #[must_use]
    pub fn new(key_header: &str) -> Self {
        let key_header = key_header.to_ascii_lowercase();
        Self {
            key_header,
            stream: None,
            state: State::Head,
            next: 0,
        }
    }

    /// Takes in a held segment.
    pub fn segment(&mut self, sequence: u32, payload: &[u8]) -> Vec<Action> {
        let stream = self.stream.get_or_insert_with(|| Stream::new(sequence));
        let mut actions = Vec::new();
        actions.extend(stream.insert(sequence, payload).map(release));
        self.go_on(&mut actions);
        actions
    }

    /// Carries out what was decided about the request that is being judged. A decision about any
    /// other one comes too late, and nothing is done.
    pub fn decide(&mut self, id: RequestId, decision: &Decision) -> Vec<Action> {
        let mut actions = Vec::new();
        if !matches!(&self.state, State::Judging(judged, _) if *judged == id) {
            return actions;
        }
        let State::Judging(_, head) = std::mem::replace(&mut self.state, State::Head) else {
            return actions;
        };
        let Some(stream) = &mut self.stream else {
            return actions;
        };
        let lines = &stream.ready()[..head.length];
        let rest = (head.body == Body::Unknown).then(|| Rest::after(lines, &self.key_header));
        match rewrite(stream.ready(), &head, &self.key_header, decision) {
            Some(bytes) => actions.push(release(stream.replace(bytes))),
            None => actions.extend(stream.pass(head.length as u64).map(release)),
        }
        match rest {
            Some(rest) => self.state = State::Rest(rest),
            None => self.follow(head.body, &mut actions),
        }
        self.go_on(&mut actions);
        actions
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

    /// The rest of a head did not come in time: what is there is judged. A key that comes later does not
    /// count any more, but does not go on either.
    pub fn give_up(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.awaits_head() {
            self.judge_start(&mut actions);
            self.go_on(&mut actions);
        }
        actions
    }

    fn judge_start(&mut self, actions: &mut Vec<Action>) {
        let start = self
            .stream
            .as_ref()
            .and_then(|stream| request::parse_start(stream.ready(), &self.key_header));
        match start {
            Some(head) => self.judge(head, actions),
            None => self.state = State::Rest(Rest::new()),
        }
    }

    fn holds_key(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| {
            stream.ready().split(|byte| *byte == b'\n').any(|line| {
                line.get(..self.key_header.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(self.key_header.as_bytes()))
            })
        })
    }

    /// Reads on as far as the held bytes go.
    fn go_on(&mut self, actions: &mut Vec<Action>) {
        loop {
            let Some(stream) = &mut self.stream else {
                return;
            };
            match &mut self.state {
                State::Judging(..) => return,
                State::Rest(rest) => {
                    if stream.ready().is_empty() {
                        return;
                    }
                    match rest.step(stream.ready(), &self.key_header) {
                        rest::Step::Pass(length) => {
                            actions.extend(stream.pass(length as u64).map(release));
                        }
                        rest::Step::Replace(line) => {
                            actions.push(release(stream.replace(Zeroizing::new(line))));
                        }
                        rest::Step::End(length, body) => {
                            actions.extend(stream.pass(length as u64).map(release));
                            self.follow(body, actions);
                        }
                    }
                }
                State::Opaque => {
                    actions.extend(stream.pass(u64::MAX).map(release));
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
    fn read_head(&mut self, actions: &mut Vec<Action>) -> bool {
        let Some(stream) = &self.stream else {
            return false;
        };
        let length = stream.ready().len();
        match request::parse(stream.ready(), &self.key_header) {
            Parsed::Incomplete if length >= HEAD_LEN => self.judge_start(actions),
            Parsed::Incomplete if length >= KEYED_HEAD_LEN => {
                match request::parse_start(stream.ready(), &self.key_header) {
                    Some(head) if !head.keys.is_empty() => self.judge(head, actions),
                    _ => return false,
                }
            }
            Parsed::Incomplete => return false,
            // The gateway refuses it, but is not to see a key all the same.
            Parsed::Invalid if self.holds_key() => self.state = State::Rest(Rest::new()),
            Parsed::Invalid => self.make_opaque(actions),
            Parsed::Whole(head) => self.judge(head, actions),
        }
        true
    }

    /// Asks for a decision.
    fn judge(&mut self, mut head: Box<Head>, actions: &mut Vec<Action>) {
        let id = RequestId(self.next);
        self.next += 1;
        let request = Request {
            target: std::mem::replace(&mut head.target, Target::Other),
            plain: head.name_range.is_some(),
            keys: std::mem::take(&mut head.keys),
        };
        self.state = State::Judging(id, head);
        actions.push(Action::Judge { id, request });
    }

    /// Goes over a head's body.
    fn follow(&mut self, body: Body, actions: &mut Vec<Action>) {
        self.state = State::Head;
        match body {
            Body::Length(length) => self.pass(length, actions),
            Body::Chunked => self.state = State::Chunks(Chunked::Size),
            Body::Unknown | Body::Opaque => self.make_opaque(actions),
        }
    }

    /// Lets so many bytes go on: those that are held, and the others when they come.
    fn pass(&mut self, length: u64, actions: &mut Vec<Action>) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        let piece = stream.pass(length);
        let left = length - piece.as_ref().map_or(0, |piece| piece.bytes.len() as u64);
        actions.extend(piece.map(release));
        if left > BODY_LEN {
            self.make_opaque(actions);
        } else if left > 0 {
            let start = stream.sequence();
            stream.skip(left);
            actions.push(Action::PassWindow {
                start,
                end: stream.sequence(),
            });
        }
    }

    fn make_opaque(&mut self, actions: &mut Vec<Action>) {
        self.state = State::Opaque;
        if let Some(stream) = &mut self.stream {
            actions.extend(stream.pass(u64::MAX).map(release));
        }
        actions.push(Action::Opaque);
    }
}

fn release(piece: Piece) -> Action {
    Action::Release {
        sequence: piece.sequence,
        bytes: piece.bytes,
    }
}

/// The head in the form in which it goes on; `None` where that is its own.
fn rewrite(
    bytes: &[u8],
    head: &Head,
    key_header: &str,
    decision: &Decision,
) -> Option<Zeroizing<Vec<u8>>> {
    let bytes = bytes.get(..head.length)?;
    let rewritten = match decision {
        Decision::Pass => return None,
        Decision::Unlock(name) => rewrite::to_function(bytes, head, key_header, name),
        Decision::Refuse(refusal) => rewrite::refused(bytes, head, key_header, *refusal),
        Decision::Strip => rewrite::stripped(bytes, head, key_header),
        Decision::Hide => rewrite::hidden(bytes, head, key_header),
    };
    // Where the wanted form does not fit, the request goes to the locked function, and tells less.
    Some(
        rewritten
            .or_else(|NoRoom| rewrite::stripped(bytes, head, key_header))
            .unwrap_or_else(|NoRoom| {
                // Not even the head without the key can be filled up: nothing of it may go on.
                Zeroizing::new(vec![b' '; head.length])
            }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "rsfaas1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq";

    fn keyed(rest: &str) -> String {
        format!("POST /function/pydict HTTP/1.1\r\nX-RsFaaS-Key: {TEXT}\r\n{rest}")
    }

    fn connection() -> Connection {
        Connection::new("X-RsFaaS-Key")
    }

    fn judged(actions: &[Action]) -> RequestId {
        match actions.last() {
            Some(Action::Judge { id, .. }) => *id,
            _ => panic!("nothing to judge"),
        }
    }

    /// The bytes that were released, each at its place behind `base`.
    fn released(base: u32, actions: &[Action]) -> Vec<u8> {
        let mut all = Vec::new();
        for action in actions {
            if let Action::Release { sequence, bytes } = action {
                assert_eq!(sequence.wrapping_sub(base) as usize, all.len(), "a gap");
                all.extend_from_slice(bytes);
            }
        }
        all
    }

    #[test]
    fn a_keyed_request_waits_for_its_decision_and_goes_on_with_its_body() {
        let mut connection = connection();
        let text = keyed("Content-Length: 4\r\n\r\nbody");
        let actions = connection.segment(7, text.as_bytes());
        assert!(matches!(&actions[..], [Action::Judge { request, .. }]
            if request.keys.len() == 1 && request.target == Target::Function { name: "pydict".into() }));
        let actions = connection.decide(
            judged(&actions),
            &Decision::Unlock("pydict-abc123-0".into()),
        );
        let bytes = released(7, &actions);
        assert_eq!(bytes.len(), text.len());
        assert!(bytes.starts_with(b"POST /function/pydict-abc123-0 "));
        assert!(bytes.ends_with(b"\r\n\r\nbody"));
    }

    #[test]
    fn the_rest_of_a_body_passes_by_itself_and_the_next_request_is_judged() {
        let mut connection = connection();
        let text = keyed("Content-Length: 100\r\n\r\nstart");
        let actions = connection.segment(0, text.as_bytes());
        let actions = connection.decide(judged(&actions), &Decision::Refuse(Refusal::KeyWrong));
        let end = u32::try_from(text.len()).unwrap();
        assert!(
            matches!(actions.last(), Some(Action::PassWindow { start, end: last })
            if *start == end && *last == end + 95)
        );
        let next = connection.segment(end + 95, b"GET /function/pydict HTTP/1.1\r\n\r\n");
        assert!(matches!(&next[..], [Action::Judge { request, .. }] if request.keys.is_empty()));
    }

    #[test]
    fn a_retransmission_of_the_head_goes_on_in_the_same_form() {
        let mut connection = connection();
        let text = keyed("\r\n");
        let actions = connection.segment(0, text.as_bytes());
        let first = released(
            0,
            &connection.decide(judged(&actions), &Decision::Unlock("other".into())),
        );
        let again = released(0, &connection.segment(0, text.as_bytes()));
        assert_eq!(first, again);
        assert!(!String::from_utf8_lossy(&again).contains("rsfaas1"));
    }

    #[test]
    fn a_retransmission_while_it_is_judged_is_not_judged_again() {
        let mut connection = connection();
        let text = keyed("\r\n");
        connection.segment(0, text.as_bytes());
        assert!(connection.segment(0, text.as_bytes()).is_empty());
    }

    #[test]
    fn pipelined_requests_are_judged_one_after_the_other() {
        let mut connection = connection();
        let text = keyed("\r\n") + "GET /function/pydict HTTP/1.1\r\n\r\n";
        let actions = connection.segment(0, text.as_bytes());
        assert_eq!(actions.len(), 1);
        let actions = connection.decide(judged(&actions), &Decision::Unlock("other".into()));
        let second = judged(&actions);
        let rest = connection.decide(second, &Decision::Pass);
        let mut all = actions;
        all.extend(rest);
        all.retain(|action| matches!(action, Action::Release { .. }));
        let bytes = released(0, &all);
        assert_eq!(bytes.len(), text.len());
        assert!(bytes.ends_with(b"GET /function/pydict HTTP/1.1\r\n\r\n"));
    }

    #[test]
    fn a_chunked_body_is_followed_to_its_end() {
        let mut connection = connection();
        let head = keyed("Transfer-Encoding: chunked\r\n\r\n");
        let actions = connection.segment(0, head.as_bytes());
        connection.decide(judged(&actions), &Decision::Unlock("other".into()));
        let place = u32::try_from(head.len()).unwrap();
        let body = "5\r\nGET /\r\n0\r\nA: b\r\n\r\n";
        let actions = connection.segment(place, body.as_bytes());
        assert_eq!(released(place, &actions), body.as_bytes());
        let next = place + u32::try_from(body.len()).unwrap();
        let actions = connection.segment(next, keyed("\r\n").as_bytes());
        assert!(matches!(&actions[..], [Action::Judge { .. }]));
    }

    #[test]
    fn an_upgraded_connection_is_left_alone_after_its_head() {
        let mut connection = connection();
        let text = keyed("Connection: upgrade\r\nUpgrade: websocket\r\n\r\n");
        let actions = connection.segment(0, text.as_bytes());
        let actions = connection.decide(judged(&actions), &Decision::Unlock("other".into()));
        assert!(matches!(actions.last(), Some(Action::Opaque)));
    }

    fn place(text: &str) -> u32 {
        u32::try_from(text.len()).unwrap()
    }

    #[test]
    fn a_head_that_does_not_come_in_time_is_judged_by_what_is_there() {
        let mut connection = connection();
        let start = keyed("Host:");
        connection.segment(0, start.as_bytes());
        assert!(connection.awaits_head());
        let actions = connection.give_up();
        assert!(!connection.awaits_head());
        assert!(matches!(&actions[..], [Action::Judge { request, .. }] if request.keys.len() == 1));
        let mut all = connection.decide(judged(&actions), &Decision::Unlock("other".into()));
        let rest = " a\r\nContent-Length: 3\r\n\r\nabc";
        all.extend(connection.segment(place(&start), rest.as_bytes()));
        let bytes = released(0, &all);
        let head = String::from_utf8_lossy(&bytes);
        assert_eq!(bytes.len(), start.len() + rest.len());
        assert!(head.starts_with("POST /function/other "), "{head}");
        assert!(head.ends_with(&format!("\r\nHost:{rest}")), "{head}");
        assert!(!head.contains(TEXT), "{head}");
        let next = connection.segment(place(&start) + place(rest), keyed("\r\n").as_bytes());
        assert!(matches!(&next[..], [Action::Judge { .. }]));
    }

    #[test]
    fn a_key_that_comes_too_late_does_not_go_on() {
        let start = "POST /function/pydict HTTP/1.1\r\n";
        let late = format!("X-RsFaaS-Key: {TEXT}\r\nContent-Length: 0\r\n\r\n");
        for given_up in [9, start.len() - 1, start.len(), start.len() + 5] {
            let text = format!("{start}{late}");
            let mut connection = connection();
            connection.segment(0, &text.as_bytes()[..given_up]);
            let mut all = connection.give_up();
            if let Some(Action::Judge { id, request }) = all.last() {
                assert!(request.keys.is_empty());
                let id = *id;
                all = connection.decide(id, &Decision::Pass);
            }
            let place = u32::try_from(given_up).unwrap();
            all.extend(connection.segment(place, &text.as_bytes()[given_up..]));
            let bytes = released(0, &all);
            assert_eq!(bytes.len(), text.len(), "{given_up}");
            assert!(bytes.starts_with(start.as_bytes()), "{given_up}");
            assert!(
                !String::from_utf8_lossy(&bytes).contains(TEXT),
                "{given_up}"
            );
        }
    }

    #[test]
    fn a_long_head_that_shows_its_key_is_judged_before_its_end() {
        let mut connection = connection();
        let start = keyed(&format!("Cookie: {}", "c".repeat(KEYED_HEAD_LEN)));
        let actions = connection.segment(0, start.as_bytes());
        let mut all = connection.decide(judged(&actions), &Decision::Unlock("other".into()));
        all.extend(connection.segment(place(&start), b"\r\n\r\n"));
        let bytes = released(0, &all);
        assert_eq!(bytes.len(), start.len() + 4);
        assert!(bytes.starts_with(b"POST /function/other "));
        assert!(!connection.awaits_head());
    }

    #[test]
    fn a_head_that_cannot_be_read_goes_on_without_its_key() {
        let mut connection = connection();
        let text = keyed(&"A: b\r\n".repeat(200)) + "\r\n";
        let bytes = released(0, &connection.segment(0, text.as_bytes()));
        assert_eq!(bytes.len(), text.len());
        assert!(!String::from_utf8_lossy(&bytes).contains(TEXT));
    }

    #[test]
    fn a_late_decision_does_nothing() {
        let mut connection = connection();
        let actions = connection.segment(0, keyed("\r\n").as_bytes());
        let id = judged(&actions);
        connection.decide(id, &Decision::Pass);
        assert!(connection.decide(id, &Decision::Pass).is_empty());
    }

    #[test]
    fn a_head_cut_anywhere_is_judged_once_and_whole() {
        let text = keyed("Content-Length: 2\r\n\r\nok");
        for cut in 1..text.len() {
            let mut connection = connection();
            let mut actions = connection.segment(0, &text.as_bytes()[..cut]);
            actions
                .extend(connection.segment(u32::try_from(cut).unwrap(), &text.as_bytes()[cut..]));
            assert_eq!(actions.len(), 1, "cut at {cut}");
            let actions = connection.decide(judged(&actions), &Decision::Unlock("other".into()));
            assert_eq!(released(0, &actions).len(), text.len(), "cut at {cut}");
        }
    }
}
