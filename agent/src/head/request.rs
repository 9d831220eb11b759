//! One request head: what it asks for, what keys it carries, how its body is framed.
//!
//! Heads are read as leniently as the gateway's HTTP server does, or more so: what is taken for no
//! request here must be none there. What the server refuses may be taken for one.
use std::ops::Range;

use zeroize::Zeroizing;

use super::{
    headers::KeyHeaders,
    target::{self, Target},
};

/// A request, as far as it matters who may be served. Keys are in it, so it is not `Debug`.
pub struct Request {
    /// What it asks for.
    pub target: Target,
    /// Whether the gateway goes to that function at once, so that another can be put in its place; it redirects to the
    /// clean path otherwise.
    pub direct: bool,
    /// The values of its key headers; more than one is one too many.
    pub keys: Vec<Zeroizing<Vec<u8>>>,
    /// The values of its headers for the next key; more than one is one too many.
    pub next_keys: Vec<Zeroizing<Vec<u8>>>,
    /// How long it is, where its head is whole and tells so.
    pub lengths: Option<Lengths>,
}

/// How long a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// Bytes of its head.
    pub head: usize,
    /// Bytes of its body.
    pub body: u32,
}

/// How the bytes behind a head are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes.
    Length(u64),
    /// In chunks (RFC 9112, section 7.1).
    Chunked,
    /// The head is not whole: what comes of it will tell.
    Unknown,
    /// So many bytes, or chunks. Another protocol may follow, once the gateway has agreed to that (RFC 9110, section 7.8).
    BeforeUpgrade(Option<u64>),
    /// No HTTP any more, or not to be told: `CONNECT`, contradictory headers.
    Opaque,
}

/// What the start of the buffered bytes is.
pub(super) enum Parsed {
    /// A head that goes on.
    Incomplete,
    /// No request head; the gateway will say so.
    Invalid,
    /// A whole head.
    Whole(Box<Head>),
}

/// A head and where things are in it.
pub(super) struct Head {
    /// With the empty lines before it.
    pub(super) length: usize,
    /// Where the request line starts.
    pub(super) start: usize,
    pub(super) target: Target,
    pub(super) keys: Vec<Zeroizing<Vec<u8>>>,
    pub(super) next_keys: Vec<Zeroizing<Vec<u8>>>,
    pub(super) body: Body,
    /// Where the target is.
    pub(super) target_range: Range<usize>,
    /// The bytes that spell the function's name, where the gateway goes to it at once.
    pub(super) name_range: Option<Range<usize>>,
}

/// Reads a head at the start of some bytes.
pub(super) fn parse(bytes: &[u8], key_headers: &KeyHeaders) -> Parsed {
    match request_line(bytes) {
        Line::Incomplete { .. } => Parsed::Incomplete,
        Line::Invalid => Parsed::Invalid,
        Line::Whole(line) => match head_length(bytes, line.end) {
            Some(length) => Parsed::Whole(Box::new(head(bytes, &line, length, key_headers))),
            None => Parsed::Incomplete,
        },
    }
}

/// Reads the whole lines of a head that is not waited for any longer; `None` where not even its
/// request line is whole.
pub(super) fn parse_start(bytes: &[u8], key_headers: &KeyHeaders) -> Option<Box<Head>> {
    let Line::Whole(line) = request_line(bytes) else {
        return None;
    };
    let length = bytes.iter().rposition(|byte| *byte == b'\n')? + 1;
    let mut head = head(bytes, &line, length, key_headers);
    head.body = Body::Unknown;
    Some(Box::new(head))
}

/// How a body is framed, by a head's request line and those of its lines that count for it.
pub(super) fn framing(lines: &[u8]) -> Body {
    match request_line(lines) {
        Line::Whole(line) => body(lines, &line, &headers(&lines[line.end..])),
        Line::Incomplete { .. } | Line::Invalid => Body::Opaque,
    }
}

/// Whether some bytes start with a request line that leads to a function.
pub(super) fn is_call(bytes: &[u8]) -> bool {
    match request_line(bytes) {
        Line::Whole(line) => {
            target::classify(&bytes[line.method], &bytes[line.target]).0 != Target::Other
        }
        Line::Incomplete { .. } | Line::Invalid => false,
    }
}

/// Whether a line is a key header's.
pub(super) fn has_key(line: &[u8], key_headers: &KeyHeaders) -> bool {
    let header = header(line);
    header.is_some_and(|(given, _)| {
        key_headers
            .all()
            .into_iter()
            .any(|name| given.eq_ignore_ascii_case(name.as_bytes()))
    })
}

/// Whether some bytes start with no request line, however they go on.
pub(super) fn is_none(bytes: &[u8]) -> bool {
    matches!(request_line(bytes), Line::Invalid)
}

/// Whether some bytes are the start of a request line that may yet lead to a function.
pub(super) fn may_become_a_call(bytes: &[u8]) -> bool {
    match request_line(bytes) {
        // A scheme without a slash behind it is far more likely a word of a text.
        Line::Incomplete {
            target: Some(target),
        } => {
            let target = &bytes[target..];
            target.is_empty()
                || target.starts_with(b"/")
                || target.windows(2).any(|pair| pair == b":/")
        }
        Line::Incomplete { target: None } => true,
        Line::Invalid | Line::Whole(_) => false,
    }
}

/// A request line, by what is known of it.
enum Line {
    Incomplete {
        /// Where its target starts, if that has been reached.
        target: Option<usize>,
    },
    Invalid,
    Whole(RequestLine),
}

struct RequestLine {
    method: Range<usize>,
    target: Range<usize>,
    /// Behind its line end.
    end: usize,
}

/// Reads the request line. The gateway's server skips empty lines before it.
fn request_line(bytes: &[u8]) -> Line {
    let Some(start) = bytes.iter().position(|byte| !is_line_end(*byte)) else {
        return Line::Incomplete { target: None };
    };
    let method = start..end_of_word(bytes, start);
    if !bytes[method.clone()].iter().copied().all(is_token_byte) {
        return Line::Invalid;
    }
    if method.end == bytes.len() {
        return Line::Incomplete { target: None };
    }
    if method.is_empty() || bytes[method.end] != b' ' {
        return Line::Invalid;
    }
    let target = method.end + 1..end_of_word(bytes, method.end + 1);
    if target.end == bytes.len() {
        return Line::Incomplete {
            target: Some(target.start),
        };
    }
    let version = &bytes[target.end..];
    let known = version.len().min(VERSION.len());
    if version[..known] != VERSION[..known] {
        return Line::Invalid;
    }
    match version.iter().position(|byte| *byte == b'\n') {
        Some(length) => Line::Whole(RequestLine {
            end: target.end + length + 1,
            method,
            target,
        }),
        None => Line::Incomplete {
            target: Some(target.start),
        },
    }
}

/// What follows the target.
pub(super) const VERSION: &[u8] = b" HTTP/";

/// Where the next space or line feed is, or the end.
fn end_of_word(bytes: &[u8], start: usize) -> usize {
    bytes[start..]
        .iter()
        .position(|byte| matches!(byte, b' ' | b'\n'))
        .map_or(bytes.len(), |length| start + length)
}

/// A byte of a line end.
pub(super) fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// A byte of a method, or a header's name (RFC 9110, section 5.6.2).
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The length of a head whose header lines start at `start`: up to and with the first empty line.
fn head_length(bytes: &[u8], start: usize) -> Option<usize> {
    let mut length = start;
    for line in bytes[start..].split_inclusive(|byte| *byte == b'\n') {
        length += line.len();
        if matches!(line, b"\n" | b"\r\n") {
            return Some(length);
        }
    }
    None
}

fn head(bytes: &[u8], line: &RequestLine, length: usize, key_headers: &KeyHeaders) -> Head {
    let method = &bytes[line.method.clone()];
    let (target, name) = target::classify(method, &bytes[line.target.clone()]);
    let headers = headers(&bytes[line.end..length]);
    let keys = |name| {
        values(&headers, name)
            .map(|value| Zeroizing::new(value.to_vec()))
            .collect()
    };
    let place = line.target.start;
    Head {
        length,
        start: line.method.start,
        target,
        keys: keys(&key_headers.key),
        next_keys: keys(&key_headers.next),
        body: body(bytes, line, &headers),
        target_range: line.target.clone(),
        name_range: name.map(|name| place + name.start..place + name.end),
    }
}

/// Name and value of a header line.
type Header<'a> = (&'a [u8], &'a [u8]);

/// The headers of some lines.
fn headers(lines: &[u8]) -> Vec<Header<'_>> {
    lines
        .split(|byte| *byte == b'\n')
        .filter_map(header)
        .collect()
}

/// A header line; a continuation line is none.
fn header(line: &[u8]) -> Option<Header<'_>> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    Some((&line[..colon], line[colon + 1..].trim_ascii()))
}

/// How the body is framed (RFC 9112, section 6.3), in some bytes with this request line.
fn body(bytes: &[u8], line: &RequestLine, headers: &[Header<'_>]) -> Body {
    if &bytes[line.method.clone()] == b"CONNECT" {
        return Body::Opaque;
    }
    let is_upgrade = values(headers, "upgrade").next().is_some();
    match framed(bytes, line, headers) {
        Body::Length(length) if is_upgrade => Body::BeforeUpgrade(Some(length)),
        Body::Chunked if is_upgrade => Body::BeforeUpgrade(None),
        body => body,
    }
}

/// How it is framed by its length or its encoding.
fn framed(bytes: &[u8], line: &RequestLine, headers: &[Header<'_>]) -> Body {
    // The gateway's server does not look at it in a request of HTTP/1.0, whatever it says.
    let is_looked_at = !bytes[line.target.end..line.end].starts_with(b" HTTP/1.0");
    let mut encodings = values(headers, "transfer-encoding").filter(|_| is_looked_at);
    let mut lengths = values(headers, "content-length");
    match (encodings.next(), lengths.next()) {
        (None, None) => Body::Length(0),
        (Some(encoding), None)
            if encodings.next().is_none() && encoding.eq_ignore_ascii_case(b"chunked") =>
        {
            Body::Chunked
        }
        (None, Some(length)) if lengths.next().is_none() => std::str::from_utf8(length)
            .ok()
            .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|text| text.parse().ok())
            .map_or(Body::Opaque, Body::Length),
        // Contradictory, or not understood: the gateway refuses it or reads it in its own way.
        _ => Body::Opaque,
    }
}

/// The values of the headers of a name.
fn values<'a>(headers: &'a [Header<'a>], name: &str) -> impl Iterator<Item = &'a [u8]> {
    headers
        .iter()
        .filter(move |(given, _)| given.eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, value)| *value)
}

#[cfg(test)]
mod tests;
