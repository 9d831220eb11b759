//! One connection: its requests are judged one by one, its bytes go on in order.
use rsfaas_shim::Refusal;
use zeroize::Zeroizing;

mod arrival;
mod doubt;
mod reading;

use super::{
    action::{Action, Actions, RequestId},
    framing::Chunks,
    headers::KeyHeaders,
    request::{Body, Head},
    rest::Rest,
    rewrite::{self, NoRoom},
    stream::Stream,
};

/// Longest head that is waited for, 64 KiB. One that goes on is judged by what is there; of a request line that does,
/// no more is kept.
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
    /// It goes on as it is, and where nothing more of the connection is held when it is answered, that is left to the
    /// programs.
    Leave,
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
    /// Something was taken for a body that looked like a request, and the gateway has not answered since.
    is_body: bool,
    /// Once it answers, the connection may be left: the last request that was judged has gone on, and holds no lease.
    to_leave: bool,
}

enum State {
    /// At the start of a request.
    Head,
    /// At what may be a request sent ahead, or a part of one that has passed by itself.
    Doubtful(Doubt),
    /// A request is being judged.
    Judging(RequestId, Box<Head>),
    /// Behind the start of a head that was judged by it.
    Rest(Rest),
    /// Inside a chunked body.
    Chunks(Chunks),
    /// Not looked at, until a segment is held again.
    Opaque,
    /// The programs look at it themselves, until a segment is held again.
    Left {
        /// Whether it was left at the start of a request, or else at any place.
        at_start: bool,
    },
}

/// What may be held.
#[derive(Debug, Clone, Copy)]
enum Doubt {
    /// The start of a head.
    Start,
    /// The rest of a request line, and what follows.
    Line,
    /// Lines behind one.
    Lines,
}

impl Connection {
    /// A connection of which nothing was held yet.
    #[must_use]
    pub fn new(key_headers: impl Into<KeyHeaders>) -> Self {
        Self {
            key_headers: key_headers.into(),
            stream: None,
            state: State::Head,
            is_body: false,
            to_leave: false,
        }
    }

    /// A request has gone on by itself: its head in this form, with a body of so many bytes. `None` where it is one that
    /// had gone on before, and came again.
    pub fn gone_on(&mut self, sequence: u32, head: &[u8], body: u32) -> Option<Vec<Action>> {
        let mut actions = Actions::default();
        (self.is_body, self.to_leave) = (false, false);
        let is_left = matches!(self.state, State::Opaque | State::Left { .. });
        let stream = match &mut self.stream {
            // How far such a one has come is not known.
            Some(known) if is_left && known.repeats_head(sequence, head.len()) => return None,
            Some(known) if !is_left && known.has_gone_on(sequence) => return None,
            Some(known) if known.sequence() == sequence => known,
            unknown => unknown.insert(Stream::new(sequence)),
        };
        // It does so only where all that came before is answered.
        stream.forget_before(sequence);
        let head = Zeroizing::new(head.to_vec());
        actions.release(stream.skip_request(head, body.into()));
        self.state = State::Head;
        self.go_on(&mut actions);
        Some(actions.into())
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
            // Remembered as well: where it comes again, nothing of it is another request.
            None => {
                let own = Zeroizing::new(stream.ready()[..head.length].to_vec());
                actions.release(Some(stream.replace(own)));
            }
        }
        let held = stream.ready().len() as u64;
        self.to_leave = *decision == Decision::Leave
            && matches!(head.body, Body::Length(length) if length <= held);
        match rest {
            Some(rest) => self.state = State::Rest(rest),
            None => self.follow(head.body, &mut actions),
        }
        self.go_on(&mut actions);
        if let Some(stream) = &self.stream
            && self.may_leave()
        {
            let end = stream.sequence();
            actions.push(Action::OpaqueOnAnswer { end });
        }
        actions.into()
    }

    /// How many bytes are held, those included that are remembered in case they come again.
    #[must_use]
    pub fn held(&self) -> usize {
        self.stream.as_ref().map_or(0, Stream::held)
    }

    /// Whether bytes from a sequence number on have gone on, and are to go on again in the same form.
    #[must_use]
    pub fn has_gone_on(&self, sequence: u32) -> bool {
        self.stream
            .as_ref()
            .is_some_and(|stream| stream.has_gone_on(sequence))
    }

    /// Pieces for which there was no room, since this was asked last. The client sends them again.
    pub fn take_dropped(&mut self) -> u64 {
        self.stream.as_mut().map_or(0, Stream::take_dropped)
    }

    /// Whether a request is being judged.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        matches!(self.state, State::Judging(..))
    }

    /// Where a part of a head ends that is held while the rest is waited for: the sequence number behind it.
    #[must_use]
    pub fn awaited(&self) -> Option<u32> {
        let stream = self.stream.as_ref()?;
        let is_part = matches!(self.state, State::Head) && !stream.ready().is_empty();
        is_part.then(|| stream.end())
    }

    /// What is waited for did not come in time. Without an answer, what looks like a request is taken for
    /// the rest of another one, and goes on as it is. Of a head without its rest, what is there is judged: a
    /// key that comes later does not count any more, but does not go on either. A request line that is not
    /// whole stays held, since nobody can tell where it is going to lead.
    pub fn give_up(&mut self) -> Vec<Action> {
        let mut actions = Actions::default();
        if self.is_doubtful() {
            self.is_body = true;
            self.leave(&mut actions);
        } else if self.awaited().is_some() {
            self.judge_start(&mut actions);
            self.go_on(&mut actions);
        }
        actions.into()
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
        Decision::Pass | Decision::Leave => return None,
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
