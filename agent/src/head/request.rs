//! One request head: what it asks for, what keys it carries, how its body is framed.
use std::ops::Range;

use zeroize::Zeroizing;

/// Most header lines of a head; a head with more is left alone, as one that cannot be read.
const HEADERS: usize = 128;

/// What a request asks the gateway for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A function.
    Function {
        /// Its name, without the namespace.
        name: String,
    },
    /// A function, through the queue.
    Async {
        /// Its name, without the namespace.
        name: String,
    },
    /// Anything else.
    Other,
}

/// A request, as far as it matters who may be served. Keys are in it, so it is not `Debug`.
pub struct Request {
    /// What it asks for.
    pub target: Target,
    /// Whether the name stands in the target in plain form, so that another can be put in its place.
    pub plain: bool,
    /// The values of its key headers; more than one is one too many.
    pub keys: Vec<Zeroizing<Vec<u8>>>,
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
    /// No HTTP any more, or not to be told: an upgrade, `CONNECT`, contradictory headers.
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
    pub(super) length: usize,
    pub(super) target: Target,
    pub(super) keys: Vec<Zeroizing<Vec<u8>>>,
    pub(super) body: Body,
    /// Where the target is in the request line.
    pub(super) target_range: Range<usize>,
    /// Where the function's name is, for a target in plain form.
    pub(super) name_range: Option<Range<usize>>,
}

/// Reads a head at the start of some bytes. `key_header` is in lower case.
pub(super) fn parse(bytes: &[u8], key_header: &str) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Parsed::Incomplete,
        Err(_) => return Parsed::Invalid,
    };
    let (Some(method), Some(path)) = (parsed.method, parsed.path) else {
        return Parsed::Invalid;
    };
    let Some(start) = offset_of(bytes, path) else {
        return Parsed::Invalid;
    };
    let (target, name) = classify(path);
    let keys = parsed
        .headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case(key_header))
        .map(|header| Zeroizing::new(header.value.to_vec()))
        .collect();
    Parsed::Whole(Box::new(Head {
        length,
        target,
        keys,
        body: body(method, parsed.headers),
        target_range: start..start + path.len(),
        name_range: name.map(|name| start + name.start..start + name.end),
    }))
}

/// Reads the whole lines at the start of a head that goes on; `None` where they are no request.
pub(super) fn parse_start(bytes: &[u8], key_header: &str) -> Option<Box<Head>> {
    let end = bytes.iter().rposition(|byte| *byte == b'\n')? + 1;
    let mut closed = Zeroizing::new(Vec::with_capacity(end + 2));
    closed.extend_from_slice(&bytes[..end]);
    closed.extend_from_slice(b"\r\n");
    match parse(&closed, key_header) {
        Parsed::Whole(mut head) => {
            head.length = end;
            head.body = Body::Unknown;
            Some(head)
        }
        Parsed::Incomplete | Parsed::Invalid => None,
    }
}

/// How a body is framed, by a head's request line and those of its lines that count for it.
pub(super) fn framing(lines: &[u8]) -> Body {
    match parse(&[lines, b"\r\n"].concat(), "") {
        Parsed::Whole(head) => head.body,
        Parsed::Incomplete | Parsed::Invalid => Body::Opaque,
    }
}

/// Where a part of some bytes starts in them.
fn offset_of(bytes: &[u8], part: &str) -> Option<usize> {
    let offset = (part.as_ptr() as usize).checked_sub(bytes.as_ptr() as usize)?;
    (offset + part.len() <= bytes.len()).then_some(offset)
}

/// What a target leads to, as the gateway's router has it: the decoded path counts, in absolute form
/// too. A place for the name is given only where it stands there in plain form; the gateway answers
/// a path with empty or dot segments by a redirect to the clean one.
fn classify(target: &str) -> (Target, Option<Range<usize>>) {
    for (prefix, asynchronous) in [("/function/", false), ("/async-function/", true)] {
        if let Some(rest) = target.strip_prefix(prefix) {
            let length = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let full = &rest[..length];
            let name = full.split('.').next().unwrap_or_default();
            if !name.is_empty() && full.bytes().all(is_name_byte) {
                let range = prefix.len()..prefix.len() + name.len();
                return (named(name, asynchronous), Some(range));
            }
        }
    }
    (unusual(target), None)
}

fn named(name: &str, asynchronous: bool) -> Target {
    let name = name.to_owned();
    if asynchronous {
        Target::Async { name }
    } else {
        Target::Function { name }
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

/// A target that is not in plain form.
fn unusual(target: &str) -> Target {
    let path = match target.split_once("://") {
        // Absolute form: the path follows the authority.
        Some((_, rest)) if !target.starts_with('/') => {
            rest.find('/').map_or("/", |start| &rest[start..])
        }
        _ => target,
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let decoded = decode(path);
    let mut segments = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    match segments.as_slice() {
        ["function", name, ..] => named(name.split('.').next().unwrap_or_default(), false),
        ["async-function", name, ..] => named(name.split('.').next().unwrap_or_default(), true),
        _ => Target::Other,
    }
}

/// Resolves percent-encoding; what is no valid encoding stays as it is.
fn decode(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let digits = bytes
            .get(index + 1..index + 3)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if bytes[index] == b'%' => {
                decoded.push(byte);
                index += 3;
            }
            _ => {
                decoded.push(bytes[index]);
                index += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// How the body is framed (RFC 9112, section 6.3).
fn body(method: &str, headers: &[httparse::Header<'_>]) -> Body {
    if method == "CONNECT" || values(headers, "upgrade").next().is_some() {
        return Body::Opaque;
    }
    let mut encodings = values(headers, "transfer-encoding");
    let mut lengths = values(headers, "content-length");
    match (encodings.next(), lengths.next()) {
        (None, None) => Body::Length(0),
        (Some(encoding), None)
            if encodings.next().is_none()
                && encoding.trim_ascii().eq_ignore_ascii_case(b"chunked") =>
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

fn values<'a>(
    headers: &'a [httparse::Header<'a>],
    name: &'static str,
) -> impl Iterator<Item = &'a [u8]> {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        .map(|header| header.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(head: &str) -> Head {
        match parse(head.as_bytes(), "x-rsfaas-key") {
            Parsed::Whole(head) => *head,
            Parsed::Incomplete => panic!("incomplete: {head}"),
            Parsed::Invalid => panic!("invalid: {head}"),
        }
    }

    fn target(path: &str) -> (Target, bool) {
        let head = whole(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        (head.target, head.name_range.is_some())
    }

    fn function(name: &str) -> Target {
        Target::Function { name: name.into() }
    }

    #[test]
    fn a_plain_target_names_its_function_and_where_the_name_stands() {
        for path in [
            "/function/pydict",
            "/function/pydict/",
            "/function/pydict/a/b",
            "/function/pydict?a=/b",
        ] {
            assert_eq!(target(path), (function("pydict"), true), "{path}");
        }
        let text = "POST /function/pydict.openfaas-fn/a HTTP/1.1\r\n\r\n";
        let head = whole(text);
        assert_eq!(head.target, function("pydict"));
        assert_eq!(&text[head.name_range.unwrap()], "pydict");
        assert_eq!(&text[head.target_range], "/function/pydict.openfaas-fn/a");
    }

    #[test]
    fn other_spellings_of_a_target_name_the_same_function() {
        for path in [
            "//function/pydict",
            "/function//pydict",
            "/./function/x/../pydict",
            "/%66unction/pydict",
            "/function%2Fpydict",
            "/function/py%64ict/rest",
            "http://host:8080/function/pydict?x",
        ] {
            assert_eq!(target(path), (function("pydict"), false), "{path}");
        }
    }

    #[test]
    fn what_leads_to_no_function_is_other() {
        for path in [
            "/",
            "/functions/pydict",
            "/system/functions",
            "*",
            "/function/",
            "/x/function/pydict",
        ] {
            assert_eq!(target(path).0, Target::Other, "{path}");
        }
    }

    #[test]
    fn the_queue_is_told_apart() {
        assert_eq!(
            target("/async-function/pydict").0,
            Target::Async {
                name: "pydict".into()
            }
        );
    }

    #[test]
    fn every_key_header_is_found_in_any_letter_case() {
        let head =
            whole("GET / HTTP/1.1\r\nx-RSFAAS-key:  a \r\nX-RsFaaS-Key: b\r\nX-Other: c\r\n\r\n");
        let keys: Vec<&[u8]> = head.keys.iter().map(|key| key.as_slice()).collect();
        assert_eq!(keys, [b"a".as_slice(), b"b"]);
    }

    #[test]
    fn the_body_is_framed_as_the_headers_say_and_opaque_where_they_contradict() {
        let cases = [
            ("", Body::Length(0)),
            ("Content-Length: 12\r\n", Body::Length(12)),
            ("Transfer-Encoding: Chunked\r\n", Body::Chunked),
            ("Content-Length: 12\r\nContent-Length: 12\r\n", Body::Opaque),
            (
                "Content-Length: 12\r\nTransfer-Encoding: chunked\r\n",
                Body::Opaque,
            ),
            ("Content-Length: +12\r\n", Body::Opaque),
            ("Transfer-Encoding: gzip, chunked\r\n", Body::Opaque),
            (
                "Connection: Upgrade\r\nUpgrade: websocket\r\n",
                Body::Opaque,
            ),
        ];
        for (headers, expected) in cases {
            let head = whole(&format!("POST / HTTP/1.1\r\n{headers}\r\n"));
            assert_eq!(head.body, expected, "{headers}");
        }
    }

    #[test]
    fn a_head_is_incomplete_until_its_last_byte() {
        let text = "GET /function/pydict HTTP/1.1\r\nX-RsFaaS-Key: k\r\n\r\n";
        for cut in 0..text.len() {
            assert!(
                matches!(
                    parse(&text.as_bytes()[..cut], "x-rsfaas-key"),
                    Parsed::Incomplete
                ),
                "{cut}"
            );
        }
        assert!(matches!(
            parse(b"\x16\x03\x01\x00", "x-rsfaas-key"),
            Parsed::Invalid
        ));
    }
}
