//! Reads the little of a request's head that an answer depends on (RFC 9112). Strict where leniency
//! would let two readers see different messages.
use rsfaas_shim::Refusal;

use crate::preflight::Preflight;

/// Longest head that is read, in bytes.
pub(crate) const MAX_HEAD: usize = 64 * 1024;

/// What a request's head says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Bytes of the head, its empty line included.
    pub(crate) length: usize,
    /// A health or readiness probe, to be answered with 200.
    pub(crate) probe: bool,
    /// Why the request was refused.
    pub(crate) refusal: Refusal,
    /// The key header is there: no agent has taken it out. The key itself is not kept.
    pub(crate) has_key: bool,
    /// What a browser asks before a page calls.
    pub(crate) preflight: Preflight,
    /// How the body ends.
    pub(crate) body: BodyLength,
    /// `HEAD`: the answer carries no body.
    pub(crate) bodiless_answer: bool,
    /// The client holds the body back until it is told to go on.
    pub(crate) expects_continue: bool,
    /// The client keeps the connection.
    pub(crate) keep_alive: bool,
}

/// How a request's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyLength {
    /// After so many bytes.
    Known(u64),
    /// With the last chunk.
    Chunked,
}

/// What the bytes so far amount to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// A whole head.
    Complete(Head),
    /// More bytes are needed.
    Incomplete,
    /// Not a request that can be answered safely but by a refusal to read on.
    Malformed,
    /// No end within [`MAX_HEAD`].
    TooLong,
}

/// Parses the head at the start of `bytes`; `key_header` is the key header's name.
pub(crate) fn parse(bytes: &[u8], key_header: &str) -> Parsed {
    let Some(end) = bytes
        .windows(4)
        .take(MAX_HEAD)
        .position(|four| four == b"\r\n\r\n")
    else {
        return if bytes.len() >= MAX_HEAD {
            Parsed::TooLong
        } else {
            Parsed::Incomplete
        };
    };
    // Values may have any bytes above ASCII (RFC 9110, 5.5); nothing that is looked for has.
    match head(&String::from_utf8_lossy(&bytes[..end]), end + 4, key_header) {
        Some(head) => Parsed::Complete(head),
        None => Parsed::Malformed,
    }
}

fn head(text: &str, length: usize, key_header: &str) -> Option<Head> {
    let mut lines = text.split("\r\n");
    let request = RequestLine::parse(lines.next()?)?;
    let path = request.target.split('?').next().unwrap_or_default();
    let mut head = Head {
        length,
        probe: matches!(path, "/_/health" | "/_/ready"),
        refusal: Refusal::Locked,
        has_key: false,
        preflight: Preflight::default(),
        body: BodyLength::Known(0),
        bodiless_answer: request.method == "HEAD",
        expects_continue: false,
        keep_alive: request.modern,
    };
    let mut framing = Framing::default();
    for line in lines {
        let (name, value) = field(line)?;
        head.has_key |= name.eq_ignore_ascii_case(key_header);
        framing.note(name, value)?;
        head.note(name, value, &request);
    }
    head.body = framing.body(request.modern)?;
    Some(head)
}

/// The first line of a request.
struct RequestLine<'a> {
    method: &'a str,
    target: &'a str,
    /// HTTP/1.1 rather than HTTP/1.0.
    modern: bool,
}

impl<'a> RequestLine<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        let modern = match version {
            "HTTP/1.1" => true,
            "HTTP/1.0" => false,
            _ => return None,
        };
        let is_whole = !method.is_empty() && !target.is_empty() && words.next().is_none();
        is_whole.then_some(Self {
            method,
            target,
            modern,
        })
    }
}

/// A header line's name and value; `None` where two readers may see different ones.
fn field(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    let is_strange = |c: char| c.is_whitespace() || c.is_control();
    (!name.is_empty() && !name.contains(is_strange)).then_some((name, value.trim()))
}

impl Head {
    /// Takes in a header line that does not say how the body ends.
    fn note(&mut self, name: &str, value: &str, request: &RequestLine<'_>) {
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        if is(Refusal::HEADER) {
            // Only the agent's own words count; from anybody else they change nothing but the text.
            self.refusal = Refusal::from_code(value).unwrap_or(Refusal::Locked);
        } else if is("expect") {
            self.expects_continue = value.eq_ignore_ascii_case("100-continue");
        } else if is("connection") {
            for option in value.split(',').map(str::trim) {
                if option.eq_ignore_ascii_case("close") {
                    self.keep_alive = false;
                } else if option.eq_ignore_ascii_case("keep-alive") && !request.modern {
                    self.keep_alive = true;
                }
            }
        } else if request.method == "OPTIONS" {
            self.preflight.note(name, value);
        }
    }
}

/// What the header lines say of how the body ends.
#[derive(Default)]
struct Framing {
    length: Option<u64>,
    is_chunked: bool,
}

impl Framing {
    /// Takes in a header line; `None` where it contradicts another one, or is not understood.
    fn note(&mut self, name: &str, value: &str) -> Option<()> {
        if name.eq_ignore_ascii_case("content-length") {
            if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let length = value.parse().ok()?;
            if self.length.is_some_and(|earlier| earlier != length) {
                return None;
            }
            self.length = Some(length);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            if self.is_chunked || !value.eq_ignore_ascii_case("chunked") {
                return None;
            }
            self.is_chunked = true;
        }
        Some(())
    }

    /// How the body ends; `None` where that is not certain.
    fn body(&self, modern: bool) -> Option<BodyLength> {
        match (self.length, self.is_chunked) {
            // Two lengths are how requests are smuggled.
            (Some(_), true) => None,
            (None, true) if !modern => None,
            (None, true) => Some(BodyLength::Chunked),
            (length, false) => Some(BodyLength::Known(length.unwrap_or(0))),
        }
    }
}

#[cfg(test)]
mod tests;
