//! The rest of a head whose start has gone on already: line by line, without the key.
use zeroize::Zeroizing;

use super::{
    headers::KeyHeaders,
    request::{self, Body},
};

/// Headers that tell how a body is framed.
const FRAMING: [&str; 3] = ["content-length", "transfer-encoding", "upgrade"];
/// Most bytes that are remembered of a head; the body of one with more in the lines that count is not
/// followed.
const KEPT: usize = 1 << 16;
/// Bytes that tell what a line is: more than the longest name that is looked for.
const NAME: usize = agent_ebpf::NAME_LEN + 1;

/// What becomes of the next bytes. None waits for what comes behind: a client that has had to send its bytes
/// again sends no further ones before those are acknowledged.
pub(super) enum Step {
    /// So many go on.
    Pass(usize),
    /// They carry a key, or a part of one: these go on in their place.
    Replace(Vec<u8>),
    /// So many end the head; the body follows.
    End(usize, Body),
}

/// A head of which only those lines are remembered that frame its body.
pub(super) struct Rest {
    kept: Vec<u8>,
    line: Line,
    /// The line before had a key; a folded line belongs to it.
    after_key: bool,
    is_inside: bool,
}

/// The line that is being read.
enum Line {
    /// The request line, or empty ones before it.
    Request,
    /// Any, or its end.
    Unknown,
    /// At its start: what of it has gone on is too little to tell.
    Start(Vec<u8>),
    /// To be remembered.
    Kept,
    /// With a key.
    Key,
    /// Of no interest.
    Other,
}

/// What a line's start tells.
enum Kind {
    End(usize),
    Key,
    Framing,
    Other,
}

impl Rest {
    /// From the request line on.
    pub(super) fn new() -> Self {
        Self {
            kept: Vec::new(),
            line: Line::Request,
            after_key: false,
            is_inside: false,
        }
    }

    /// Of bytes that start with no request line: they may go on with a line of a head.
    pub(super) fn of_none() -> Self {
        Self {
            line: Line::Unknown,
            ..Self::new()
        }
    }

    /// Of lines of a head that may be: nobody can tell how its body is framed.
    pub(super) fn inside() -> Self {
        Self {
            is_inside: true,
            ..Self::of_none()
        }
    }

    /// Of the rest of a request line: all the others are to come.
    pub(super) fn of_line() -> Self {
        Self {
            kept: b"- / HTTP/1.1\r\n".to_vec(),
            ..Self::inside()
        }
    }

    /// Whether these lines may be something else than a head's.
    pub(super) fn is_inside(&self) -> bool {
        self.is_inside
    }

    /// Whether a line starts which may be something else than a head's.
    pub(super) fn is_at_line_inside(&self) -> bool {
        self.is_inside && matches!(&self.line, Line::Start(gone) if gone.is_empty())
    }

    /// Behind whole lines that have been judged.
    pub(super) fn after(mut lines: &[u8], key_headers: &KeyHeaders) -> Self {
        let mut rest = Self::new();
        while !lines.is_empty() {
            let length = match rest.step(lines, key_headers) {
                Step::End(..) => break,
                Step::Pass(length) => length,
                Step::Replace(bytes) => bytes.len(),
            };
            lines = &lines[length..];
        }
        rest
    }

    /// Reads on, one byte at least.
    pub(super) fn step(&mut self, bytes: &[u8], key_headers: &KeyHeaders) -> Step {
        if matches!(self.line, Line::Unknown) {
            let ends = bytes.iter().take_while(|byte| request::is_line_end(**byte));
            match ends.count() {
                0 => self.line = Line::Start(Vec::new()),
                // The end of such a line; an empty one is none of a head's end yet.
                length => return Step::Pass(length),
            }
        }
        if let Line::Start(gone) = &mut self.line {
            if self.after_key && gone.is_empty() && matches!(bytes, [b' ' | b'\t', ..]) {
                self.line = Line::Key;
                return self.mask(bytes, " ");
            }
            let fresh = &bytes[..bytes.len().min(NAME)];
            let text = Zeroizing::new([gone.as_slice(), fresh].concat());
            self.line = match kind(&text, key_headers) {
                None => {
                    gone.extend_from_slice(bytes);
                    return Step::Pass(bytes.len());
                }
                Some(Kind::End(length)) => {
                    return Step::End(length - gone.len(), self.body());
                }
                Some(Kind::Key) => {
                    // What has gone on of the name becomes another name.
                    let start = if gone.is_empty() { "P:" } else { ":" };
                    self.line = Line::Key;
                    return self.mask(bytes, start);
                }
                Some(Kind::Framing) => {
                    self.kept.append(gone);
                    Line::Kept
                }
                Some(Kind::Other) => Line::Other,
            };
        }
        if matches!(self.line, Line::Key) {
            return self.mask(bytes, "");
        }
        let length = self.finish_line(bytes);
        Step::Pass(length)
    }

    fn mask(&mut self, bytes: &[u8], start: &str) -> Step {
        let length = self.finish_line(bytes);
        let mut masked: Vec<u8> = bytes[..length]
            .iter()
            .map(|byte| match byte {
                b'\r' | b'\n' => *byte,
                _ => b'0',
            })
            .collect();
        for (slot, byte) in masked.iter_mut().zip(start.bytes()) {
            *slot = byte;
        }
        Step::Replace(masked)
    }

    /// Bytes up to the line's end or what there is of it; the next line starts behind.
    fn finish_line(&mut self, bytes: &[u8]) -> usize {
        let end = end_of_line(bytes);
        let length = end.unwrap_or(bytes.len());
        if matches!(self.line, Line::Request | Line::Kept) {
            let room = KEPT - self.kept.len();
            self.kept.extend_from_slice(&bytes[..length.min(room)]);
        }
        if end.is_some() && !self.is_before_request() {
            self.after_key = matches!(self.line, Line::Key);
            self.line = Line::Start(Vec::new());
        }
        length
    }

    /// Whether nothing but empty lines has come, which the gateway's server skips.
    fn is_before_request(&self) -> bool {
        matches!(self.line, Line::Request)
            && self.kept.iter().all(|byte| matches!(byte, b'\r' | b'\n'))
    }

    fn body(&self) -> Body {
        if self.kept.len() < KEPT {
            request::framing(&self.kept)
        } else {
            Body::Opaque
        }
    }
}

fn end_of_line(bytes: &[u8]) -> Option<usize> {
    Some(bytes.iter().position(|byte| *byte == b'\n')? + 1)
}

/// `None` where there are too few bytes to tell.
fn kind(bytes: &[u8], key_headers: &KeyHeaders) -> Option<Kind> {
    match bytes {
        [b'\n', ..] => return Some(Kind::End(1)),
        [b'\r', b'\n', ..] => return Some(Kind::End(2)),
        [] | [b'\r'] => return None,
        _ => {}
    }
    let starts = |name: &str| {
        let length = name.len().min(bytes.len());
        bytes[..length].eq_ignore_ascii_case(&name.as_bytes()[..length])
    };
    let watched = FRAMING.into_iter().chain(key_headers.all());
    if watched.filter(|name| bytes.len() < name.len()).any(starts) {
        return None;
    }
    // Where nothing is there behind the name yet, it may be the key's.
    let ends = |name: &str| {
        let behind = bytes.get(name.len());
        !behind.is_some_and(|byte| request::is_token_byte(*byte))
    };
    let is_key = |name: &str| starts(name) && ends(name);
    Some(if key_headers.all().into_iter().any(is_key) {
        Kind::Key
    } else if FRAMING.into_iter().any(starts) {
        Kind::Framing
    } else {
        Kind::Other
    })
}

#[cfg(test)]
mod tests;
