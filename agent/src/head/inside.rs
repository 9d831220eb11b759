//! Requests inside of bytes of which it is not known where in a request they start: behind the rest of a head or a body.
use super::{
    headers::KeyHeaders,
    request,
    target::{self, Target},
};

/// What some bytes hold that may go on with one request and bring the next.
pub(super) enum Inside {
    /// A request starts here that leads to a function, or may have one behind it that does.
    Call(usize),
    /// A line of a key header.
    Key,
    Neither,
}

/// Looks for what bytes hold that may go on with one request and bring the next.
pub(super) fn look(bytes: &[u8], key_headers: &KeyHeaders) -> Inside {
    if let Some((start, _)) = lines_of_calls(bytes).next() {
        return Inside::Call(start);
    }
    if request::has_key(bytes, key_headers) {
        Inside::Key
    } else if request::is_none(bytes) {
        Inside::Neither
    } else {
        Inside::Call(0)
    }
}

/// The methods that clients use; text of a body right before one looks like a part of it.
const METHODS: [&[u8]; 9] = [
    b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT",
];

/// The functions to which request lines lead that end with one of the lines of some bytes.
pub(super) fn calls(bytes: &[u8]) -> impl Iterator<Item = Target> {
    lines_of_calls(bytes).map(|(_, target)| target)
}

/// Where these request lines start, and where they lead.
fn lines_of_calls(bytes: &[u8]) -> impl Iterator<Item = (usize, Target)> {
    let mut place = 0;
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    lines.filter_map(move |line| {
        let start = place;
        place += line.len();
        call_at_end(line).map(|(behind, target)| (start + behind, target))
    })
}

/// Where in a line the request line starts that ends with it, if that leads to a function, and to which.
fn call_at_end(line: &[u8]) -> Option<(usize, Target)> {
    let text = line.strip_suffix(b"\n")?;
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    let version = text.iter().rposition(|byte| *byte == b' ')?;
    let (before, version) = text.split_at(version);
    if !version.starts_with(request::VERSION) {
        return None;
    }
    let space = before.iter().rposition(|byte| *byte == b' ')?;
    let (word, target) = (&before[..space], &before[space + 1..]);
    let known = METHODS.iter().find(|method| word.ends_with(method));
    let length = known.map_or_else(
        || {
            word.iter()
                .rev()
                .take_while(|byte| request::is_token_byte(**byte))
                .count()
        },
        |method| method.len(),
    );
    let start = space - length;
    let leads_to = target::classify(&word[start..], target).0;
    (length > 0 && leads_to != Target::Other).then_some((start, leads_to))
}
