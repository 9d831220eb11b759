//! Requests inside of bytes of which it is not known where in a request they start: behind the rest of a head or a body.
use super::{
    headers::KeyHeaders,
    request,
    target::{self, Target},
};

/// What some bytes hold that may go on with one request and bring the next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Inside {
    /// A request starts here that leads to a function, or may have one behind it that does.
    Call(usize),
    /// The rest of a request line that began before.
    Line,
    /// Lines of a head from here on, of which the first is a key header's.
    Lines(usize),
    Neither,
}

/// Looks for what bytes hold that may go on with one request and bring the next.
pub(super) fn look(bytes: &[u8], key_headers: &KeyHeaders) -> Inside {
    let mut other = None;
    for (start, line) in lines(bytes) {
        match end_of_line(line) {
            Some(End::Call(behind, _)) => return Inside::Call(other.unwrap_or(start + behind)),
            Some(End::Other(behind)) => other = other.or(Some(start + behind)),
            Some(End::Cut) if start == 0 => return Inside::Line,
            // It is that request's, if there is one.
            _ if request::has_key(line, key_headers) => {
                return other.map_or(Inside::Lines(start), Inside::Call);
            }
            _ => {}
        }
    }
    let first_line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    match other.filter(|start| *start < first_line) {
        Some(start) => Inside::Call(start),
        None if request::is_none(bytes) => Inside::Neither,
        None => Inside::Call(0),
    }
}

/// Where in the first line a request line starts that leads to a function.
pub(super) fn first_line_call(bytes: &[u8]) -> Option<usize> {
    let (_, line) = lines(bytes).next()?;
    match end_of_line(line)? {
        End::Call(start, _) => Some(start),
        End::Other(_) | End::Cut => None,
    }
}

/// The functions to which request lines lead that end with one of the lines of some bytes.
pub(super) fn calls(bytes: &[u8]) -> impl Iterator<Item = Target> {
    lines(bytes).filter_map(|(_, line)| match end_of_line(line) {
        Some(End::Call(_, target)) => Some(target),
        _ => None,
    })
}

/// Lines, and where they start.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut next = 0;
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(move |line| {
            let start = next;
            next += line.len();
            (start, line)
        })
}

/// The methods that clients use; text of a body right before one looks like a part of it.
const METHODS: [&[u8]; 9] = [
    b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT",
];

/// How a line ends.
enum End {
    /// With a request line that starts here, and leads to a function.
    Call(usize, Target),
    /// With a request line that starts here, and leads to something else than a function.
    Other(usize),
    /// With the end of a request line whose method or target is not, or not all, there.
    Cut,
}

/// How a line ends, if it is with a request line.
fn end_of_line(line: &[u8]) -> Option<End> {
    let text = line.strip_suffix(b"\n")?;
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    let version = text.iter().rposition(|byte| *byte == b' ')?;
    let (before, version) = text.split_at(version);
    if !version.starts_with(request::VERSION) {
        return None;
    }
    let Some(space) = before.iter().rposition(|byte| *byte == b' ') else {
        return Some(End::Cut);
    };
    let (word, target) = (&before[..space], &before[space + 1..]);
    let known = METHODS.iter().find(|method| word.ends_with(method));
    let of_token = || {
        word.iter()
            .rev()
            .take_while(|byte| request::is_token_byte(**byte))
    };
    let length = known.map_or_else(|| of_token().count(), |method| method.len());
    if length == 0 {
        return Some(End::Cut);
    }
    let start = space - length;
    Some(match target::classify(&word[start..], target).0 {
        Target::Other => End::Other(start),
        target => End::Call(start, target),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked(text: &str) -> Inside {
        look(text.as_bytes(), &"X-RsFaaS-Key".into())
    }

    #[test]
    fn a_call_starts_with_its_method_whatever_stands_before_it() {
        for before in ["", "body", "{\"a\": 1}", "a: b\r\n\r\n", "\0\u{1}"] {
            let text = format!("{before}POST /function/a HTTP/1.1\r\nHost: a");
            assert_eq!(looked(&text), Inside::Call(before.len()), "{text:?}");
        }
        assert_eq!(
            looked("{}PROPFIND /%66unction/a HTTP/1.0\n"),
            Inside::Call(2)
        );
    }

    #[test]
    fn lines_of_a_head_start_where_a_key_does() {
        for (text, start) in [
            ("x-rsfaas-key: k\r\n", 0),
            ("a: b\r\nX-RsFaaS-Key: k", 6),
            ("a: b\nX-RsFaaS-Key: k\n\nGET /function/a HTTP/1.1\n", 5),
        ] {
            assert_eq!(looked(text), Inside::Lines(start), "{text:?}");
        }
    }

    #[test]
    fn the_rest_of_a_request_line_is_told_from_other_text() {
        for text in [
            "tion/a HTTP/1.1\r\nHost: a\r\n\r\n",
            " HTTP/1.1\n",
            " /function/a HTTP/1.0\n",
        ] {
            assert_eq!(looked(text), Inside::Line, "{text:?}");
        }
    }

    #[test]
    fn the_start_of_another_request_may_have_a_call_behind_it() {
        assert_eq!(
            looked("GET /other HTTP/1.1\r\nHost: a\r\n\r\nGET /func"),
            Inside::Call(0)
        );
        assert_eq!(looked("GET /fun"), Inside::Call(0));
        assert_eq!(
            looked("bodyGET /other HTTP/1.1\nHost: a\n\nGET /fun"),
            Inside::Call(4)
        );
        let keyed = "a: b\n\nGET /other HTTP/1.1\r\nX-RsFaaS-Key: k\r\n\r\n";
        assert_eq!(looked(keyed), Inside::Call(6));
    }

    #[test]
    fn text_that_leads_to_no_function_holds_neither() {
        for text in [
            "{\"a\": 1}\n",
            "a: b\r\n\"GET /other HTTP/1.1\r\n",
            ": X-RsFaaS-Key: k\n",
        ] {
            assert_eq!(looked(text), Inside::Neither, "{text:?}");
        }
    }
}
