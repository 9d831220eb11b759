//! Heads of the same length that say something else.
use rsfaas_shim::Refusal;
use zeroize::Zeroizing;

use super::{
    headers::KeyHeaders,
    request::{Body, Head},
    target::Target,
};

/// Fills room; gateways pass it on, functions may ignore it.
const PAD: &str = "X-RsFaaS-Pad";

/// The rewritten head would not fit into the room of the old one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoRoom;

/// To another function, without the key or the next one.
pub(super) fn to_function(
    bytes: &[u8],
    head: &Head,
    key_headers: &KeyHeaders,
    name: &str,
) -> Result<Zeroizing<Vec<u8>>, NoRoom> {
    let range = head.name_range.clone().ok_or(NoRoom)?;
    let mut line = request_line(bytes, head);
    line.splice(range, name.bytes());
    assemble(bytes, head, key_headers, line, None)
}

/// To the locked function, with the reason in the key's place. What was to go through the queue goes there at once.
pub(super) fn refused(
    bytes: &[u8],
    head: &Head,
    key_headers: &KeyHeaders,
    refusal: Refusal,
) -> Result<Zeroizing<Vec<u8>>, NoRoom> {
    let mut line = request_line(bytes, head);
    if let Target::Async { name } = &head.target {
        let all = head.target_range.clone();
        let (range, path) = match &head.name_range {
            Some(name) => (all.start..name.start, "/function/".to_owned()),
            // Not the clean path, which is longer than the clean one.
            None => (all, format!("/function/{name}")),
        };
        line.splice(range, path.into_bytes());
    }
    assemble(bytes, head, key_headers, line, Some(refusal))
}

/// To where it goes, without the key.
pub(super) fn stripped(
    bytes: &[u8],
    head: &Head,
    key_headers: &KeyHeaders,
) -> Result<Zeroizing<Vec<u8>>, NoRoom> {
    assemble(bytes, head, key_headers, request_line(bytes, head), None)
}

/// To a function of a name of the same length that cannot be deployed: names start with a letter
/// or digit (RFC 1123).
pub(super) fn hidden(
    bytes: &[u8],
    head: &Head,
    key_headers: &KeyHeaders,
) -> Result<Zeroizing<Vec<u8>>, NoRoom> {
    let mut line = request_line(bytes, head);
    // The gateway would redirect to it: any other path leads nowhere as well.
    let (range, first) = match &head.name_range {
        Some(name) => (name.clone(), b'-'),
        None => (head.target_range.clone(), b'/'),
    };
    for (index, byte) in line.get_mut(range).into_iter().flatten().enumerate() {
        *byte = if index == 0 { first } else { b'-' };
    }
    assemble(bytes, head, key_headers, line, None)
}

/// The request line with its line end, and the empty lines before it.
fn request_line(bytes: &[u8], head: &Head) -> Zeroizing<Vec<u8>> {
    let length = lines(&bytes[head.start..]).next().map_or(0, <[u8]>::len);
    Zeroizing::new(bytes[..head.start + length].to_vec())
}

/// The lines of a head, each with its end.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n')
}

fn has_name(line: &[u8], name: &str) -> bool {
    line.get(..name.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
        && line.get(name.len()) == Some(&b':')
}

/// A request line, the head's lines without those of ours, the reason, and what fills the room.
fn assemble(
    bytes: &[u8],
    head: &Head,
    key_headers: &KeyHeaders,
    line: Zeroizing<Vec<u8>>,
    refusal: Option<Refusal>,
) -> Result<Zeroizing<Vec<u8>>, NoRoom> {
    let all: Vec<&[u8]> = lines(&bytes[head.start..head.length]).collect();
    let (headers, end): (&[&[u8]], &[u8]) = match all.as_slice() {
        // The rest of the head follows.
        [_, headers @ ..] if head.body == Body::Unknown => (headers, &[]),
        [_, headers @ .., end] => (headers, end),
        _ => return Err(NoRoom),
    };
    let mut ours = false;
    let kept: Vec<&[u8]> = headers
        .iter()
        .copied()
        .filter(|line| {
            // A folded line belongs to the one before it.
            if !line.starts_with(b" ") && !line.starts_with(b"\t") {
                ours = key_headers
                    .all()
                    .iter()
                    .chain(&[Refusal::HEADER])
                    .any(|name| has_name(line, name));
            }
            !ours
        })
        .collect();
    let reason = refusal.map_or_else(String::new, |refusal| {
        format!("{}: {}\r\n", Refusal::HEADER, refusal.code())
    });
    let used =
        line.len() + kept.iter().map(|line| line.len()).sum::<usize>() + reason.len() + end.len();
    let room = head.length.checked_sub(used).ok_or(NoRoom)?;

    // With the capacity reserved, the vector never moves, and leaves no copy behind.
    let mut rewritten = Zeroizing::new(Vec::with_capacity(head.length));
    rewritten.extend_from_slice(&line);
    rewritten.extend(kept.concat());
    rewritten.extend_from_slice(reason.as_bytes());
    if room > 3 {
        rewritten.extend_from_slice(pad_line(room).as_bytes());
    } else if rewritten.len() > line.len() {
        // Too little for a header line: white space behind the last value (RFC 9110, section 5.5).
        let end_of_value = rewritten.len() - line_end(&rewritten);
        rewritten.splice(end_of_value..end_of_value, std::iter::repeat_n(b' ', room));
    } else if room > 0 {
        return Err(NoRoom);
    }
    rewritten.extend_from_slice(end);
    Ok(rewritten)
}

/// A header line of so many bytes, four at least.
fn pad_line(length: usize) -> String {
    let filled = length.saturating_sub(PAD.len() + ": \r\n".len());
    if filled > 0 {
        format!("{PAD}: {}\r\n", "0".repeat(filled))
    } else {
        format!("{}:\r\n", "P".repeat(length - ":\r\n".len()))
    }
}

/// Bytes of the line end at the end of some lines.
fn line_end(lines: &[u8]) -> usize {
    if lines.ends_with(b"\r\n") { 2 } else { 1 }
}

#[cfg(test)]
mod tests;
