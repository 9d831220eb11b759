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
    let mut request = lines.next()?.split(' ');
    let (method, target, version) = (request.next()?, request.next()?, request.next()?);
    let modern = match version {
        "HTTP/1.1" => true,
        "HTTP/1.0" => false,
        _ => return None,
    };
    if method.is_empty() || target.is_empty() || request.next().is_some() {
        return None;
    }
    let path = target.split('?').next().unwrap_or_default();
    let mut head = Head {
        length,
        probe: matches!(path, "/_/health" | "/_/ready"),
        refusal: Refusal::Locked,
        has_key: false,
        preflight: Preflight::default(),
        body: BodyLength::Known(0),
        bodiless_answer: method == "HEAD",
        expects_continue: false,
        keep_alive: modern,
    };
    let mut content_length = None;
    let mut chunked = false;
    for line in lines {
        let (name, value) = line.split_once(':')?;
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return None;
        }
        let value = value.trim();
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        head.has_key |= is(key_header);
        if is(Refusal::HEADER) {
            // Only the agent's own words count; from anybody else they change nothing but the text.
            head.refusal = Refusal::from_code(value).unwrap_or(Refusal::Locked);
        } else if is("content-length") {
            if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let value = value.parse::<u64>().ok()?;
            if content_length
                .replace(value)
                .is_some_and(|earlier| earlier != value)
            {
                return None;
            }
        } else if is("transfer-encoding") {
            if chunked || !value.eq_ignore_ascii_case("chunked") {
                return None;
            }
            chunked = true;
        } else if is("expect") {
            head.expects_continue = value.eq_ignore_ascii_case("100-continue");
        } else if is("connection") {
            for option in value.split(',').map(str::trim) {
                if option.eq_ignore_ascii_case("close") {
                    head.keep_alive = false;
                } else if option.eq_ignore_ascii_case("keep-alive") && !modern {
                    head.keep_alive = true;
                }
            }
        } else if method == "OPTIONS" {
            head.preflight.note(name, value);
        }
    }
    head.body = match (content_length, chunked) {
        // Two lengths are how requests are smuggled.
        (Some(_), true) => return None,
        (_, true) if !modern => return None,
        (_, true) => BodyLength::Chunked,
        (length, false) => BodyLength::Known(length.unwrap_or(0)),
    };
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Parsed {
        super::parse(bytes, "X-Key")
    }

    fn complete(text: &str) -> Head {
        match parse(text.as_bytes()) {
            Parsed::Complete(head) => head,
            other => panic!("{other:?}"),
        }
    }

    fn with(headers: &str) -> String {
        format!("POST / HTTP/1.1\r\nHost: x\r\n{headers}\r\n")
    }

    #[test]
    fn a_request_without_a_reason_is_locked() {
        let text = with("");
        let head = complete(&text);
        assert_eq!(head.refusal, Refusal::Locked);
        assert_eq!(head.length, text.len());
        assert!(head.keep_alive);
    }

    #[test]
    fn the_reason_is_found_in_any_letter_case() {
        assert_eq!(
            complete(&with("x-rsfaas: w\r\n")).refusal,
            Refusal::KeyWrong
        );
    }

    #[test]
    fn a_key_header_is_noted_in_any_letter_case_and_its_value_is_nowhere() {
        let head = complete(&with("x-key: rsfaas1secret\r\n"));
        assert!(head.has_key && head.refusal == Refusal::Locked);
        assert!(!format!("{head:?}").contains("secret"));
        assert!(!complete(&with("X-Next-Key: rsfaas1secret\r\n")).has_key);
    }

    #[test]
    fn bytes_that_are_no_text_change_nothing() {
        let mut bytes =
            b"GET /caf\xe9 HTTP/1.1\r\nX-Name: \xe9\xff\r\nX-RsFaaS: w\r\n\r\n".to_vec();
        let length = bytes.len();
        bytes.extend(b"body \xe9");
        let Parsed::Complete(head) = parse(&bytes) else {
            panic!("{:?}", parse(&bytes));
        };
        assert_eq!((head.refusal, head.length), (Refusal::KeyWrong, length));
    }

    #[test]
    fn an_unknown_reason_is_locked() {
        assert_eq!(
            complete(&with("X-RsFaaS: whatever\r\n")).refusal,
            Refusal::Locked
        );
    }

    #[test]
    fn probes_are_known_by_their_path_alone() {
        for (target, probe) in [
            ("/_/health", true),
            ("/_/ready?full=1", true),
            ("/_/healthy", false),
            ("/?/_/health", false),
        ] {
            assert_eq!(
                complete(&format!("GET {target} HTTP/1.1\r\n\r\n")).probe,
                probe,
                "{target}"
            );
        }
    }

    #[test]
    fn every_cut_of_a_head_is_incomplete() {
        let text = with("Content-Length: 3\r\n");
        for end in 0..text.len() {
            assert_eq!(
                parse(&text.as_bytes()[..end]),
                Parsed::Incomplete,
                "cut at {end}"
            );
        }
    }

    #[test]
    fn a_head_without_end_is_too_long() {
        assert_eq!(parse(&vec![b'a'; MAX_HEAD]), Parsed::TooLong);
    }

    #[test]
    fn body_lengths_are_read() {
        assert_eq!(complete(&with("")).body, BodyLength::Known(0));
        assert_eq!(
            complete(&with("content-length: 17\r\n")).body,
            BodyLength::Known(17)
        );
        assert_eq!(
            complete(&with("Transfer-Encoding: Chunked\r\n")).body,
            BodyLength::Chunked
        );
    }

    #[test]
    fn ambiguous_or_broken_heads_are_malformed() {
        for text in [
            with("Content-Length: 3\r\nContent-Length: 4\r\n"),
            with("Content-Length: +3\r\n"),
            with("Content-Length: 99999999999999999999\r\n"),
            with("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
            with("Transfer-Encoding: gzip, chunked\r\n"),
            with("No colon\r\n"),
            with("Content-Length : 3\r\n"),
            with(" folded: 1\r\n"),
            "GET  / HTTP/1.1\r\n\r\n".into(),
            "GET / HTTP/2.0\r\n\r\n".into(),
            "GET /\r\n\r\n".into(),
        ] {
            assert_eq!(parse(text.as_bytes()), Parsed::Malformed, "{text:?}");
        }
    }

    #[test]
    fn connections_are_kept_as_the_version_and_the_client_say() {
        assert!(!complete(&with("Connection: Close\r\n")).keep_alive);
        assert!(!complete("GET / HTTP/1.0\r\n\r\n").keep_alive);
        assert!(complete("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").keep_alive);
    }
}
