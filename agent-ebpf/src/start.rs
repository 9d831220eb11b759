//! What a segment's first bytes say: method, path prefix and function name.
//!
//! A target that is not in plain form (percent-encoding, empty or dot segments, absolute form) is held:
//! the agent knows how the gateway routes it.

use agent_ebpf::{NAME_LEN, NameKey, class, word};

use crate::{
    frame::Frame,
    packet::{Segment, peek},
    work::{PREFIX_LEN, Scratch},
};

/// Line ends before a request that the gateway's server skips; more of them it refuses.
const LINE_ENDS: usize = 4;
/// Longest method that is looked behind; the longest registered is of 17 letters
/// (<https://www.iana.org/assignments/http-methods>).
const METHOD_LEN: usize = 20;
/// What the methods start with for whose body there is no meaning: GET, HEAD, DELETE, OPTIONS, TRACE.
const BODILESS: &[u8; 5] = b"GHDOT";
/// The one method whose target is an authority; the gateway finds a path behind it all the same.
const CONNECT: &[u8; 8] = b"CONNECT ";
/// Bytes of another path that are looked through at once, and how often: what is loaded behind the longest method.
const PATH_PART: u32 = 15;
const PATH_PARTS: u32 = 7;
const _: () = assert!(PATH_PART * PATH_PARTS + METHOD_LEN as u32 + 1 < PREFIX_LEN as u32);
/// Longest scheme of an absolute target that is looked through.
const SCHEME_LEN: u32 = 16;
/// Words of a target's rest behind a name that are looked through for its end.
const REST_WORDS: usize = 6;
const FUNCTION: &[u8; 10] = b"/function/";
const ASYNC_FUNCTION: &[u8; 16] = b"/async-function/";

/// What the first bytes say.
pub(crate) enum Start {
    /// No request.
    Other,
    /// A request for something else than a function.
    Elsewhere,
    /// Ends too early to tell.
    Incomplete,
    /// A request whose target is not in plain form.
    Unusual,
    /// A request for the function whose name's key now is in the scratch memory.
    Named,
}

/// Reads method, path prefix and function name: where they stand in the packet if they are of the
/// usual form, else from a copy.
#[inline(always)]
pub(crate) fn read(frame: &impl Frame, segment: &Segment, scratch: &mut Scratch) -> Start {
    scratch.skip = 0;
    scratch.is_bodiless = 0;
    scratch.is_inside = 0;
    scratch.is_crooked = 0;
    if let Some(start) = usual(frame, segment, scratch) {
        return start;
    }
    let start = copied(frame, segment, scratch);
    // A key may follow the target that closely.
    scratch.prefix.wipe();
    start
}

/// Reads them from a copy.
#[inline(always)]
fn copied(frame: &impl Frame, segment: &Segment, scratch: &mut Scratch) -> Start {
    if !load(frame, segment, scratch, 0) {
        return Start::Other;
    }
    scratch.skip = line_ends(scratch);
    let skip = scratch.start();
    if skip >= segment.payload_length {
        return Start::Incomplete;
    }
    // Loaded anew, so that what follows starts at a fixed place.
    if skip != 0 && !load(frame, segment, scratch, skip) {
        return Start::Other;
    }
    let start = method(scratch);
    if !matches!(start, Start::Named) {
        return start;
    }
    scratch.first = skip;
    let start = target(frame, segment, scratch);
    scratch.first = scratch.first() + target_end(scratch);
    start
}

/// Reads the target at the cursor. Of what stands behind a name other bytes are loaded than before: `first` is where.
#[inline(always)]
fn target(frame: &impl Frame, segment: &Segment, scratch: &mut Scratch) -> Start {
    let is_named = match path(scratch, FUNCTION).or_else(|| path(scratch, ASYNC_FUNCTION)) {
        Some(Start::Named) if !is(at(scratch, scratch.cursor()), class::PATH_END) => {
            scratch.first = scratch.first() + scratch.cursor();
            scratch.cursor = 0;
            if !load(frame, segment, scratch, scratch.first()) {
                return Start::Other;
            }
            true
        }
        Some(start) => return start,
        None if at(scratch, scratch.cursor()) != b'/' => return no_path(scratch),
        None => false,
    };
    let rest = path_rest(scratch);
    if is_named {
        scratch.is_crooked = u32::from(rest != Rest::Plain);
        return Start::Named;
    }
    match rest {
        Rest::Plain => Start::Elsewhere,
        Rest::GoesOn if segment.payload_length - scratch.first() < PREFIX_LEN as u32 => {
            Start::Incomplete
        }
        // What comes later in the path is for the agent to read.
        Rest::GoesOn | Rest::Unusual => Start::Unusual,
    }
}

/// Where the target ends whose name, or path, ends at the cursor, or some bytes before.
#[inline(always)]
fn target_end(scratch: &Scratch) -> u32 {
    let cursor = scratch.cursor() & (PREFIX_LEN as u32 - 1);
    if at(scratch, cursor) == b' ' {
        cursor
    } else {
        length_before_space(scratch.prefix.bytes.as_chunks::<8>().0, cursor / 8)
    }
}

/// Bytes of the words before the first with a space, from a word on.
#[inline(always)]
fn length_before_space(words: &[[u8; 8]], first: u32) -> u32 {
    let (mut length, mut is_before) = (0, 1);
    for (number, word) in words.iter().enumerate() {
        is_before &= 1 ^ (word::has(b' ', word) & is_at_most(first, number as u32));
        length += 8 * is_before;
    }
    length
}

/// Decides about bytes that start no request, and about GET or POST requests for a function, without
/// copying anything; `None` where the packet is of another form or too short.
#[inline(always)]
fn usual(frame: &impl Frame, segment: &Segment, scratch: &mut Scratch) -> Option<Start> {
    if segment.payload_length < METHOD_LEN as u32 + (FUNCTION.len() + NAME_LEN) as u32 {
        return None;
    }
    let method = peek::<5>(frame, segment, 0)?;
    let target = match method {
        b"POST " => 5,
        [b'G', b'E', b'T', b' ', _] => {
            scratch.is_bodiless = 1;
            4
        }
        [first, ..] if is(*first, class::METHOD | class::LINE_END) => return None,
        _ => return Some(Start::Other),
    };
    let path = peek::<{ FUNCTION.len() + NAME_LEN }>(frame, segment, target)?;
    let (function, rest) = path.split_first_chunk::<{ FUNCTION.len() }>()?;
    if function != FUNCTION {
        return None;
    }
    let mut name = NameKey::EMPTY;
    scratch.first = 0;
    for index in 0..NAME_LEN {
        let byte = rest[index];
        if is(byte, class::NAME) {
            name = name.and(byte);
            continue;
        }
        scratch.name = name;
        if index > 0 && is(byte, class::NAME_END) {
            scratch.first = target + (FUNCTION.len() + index) as u32;
        }
        break;
    }
    let end = scratch.first();
    if end == 0 {
        return None;
    }
    // Two, since of a single one the verifier does not learn that it is there.
    let behind = peek::<2>(frame, segment, end)?[0];
    if behind != b' ' {
        let rest = peek::<{ 8 * REST_WORDS }>(frame, segment, end)?;
        let words = rest.as_chunks::<8>().0;
        let length = length_before_space(words, 0);
        if behind != b'?' && !is_straight(words, length) {
            return None;
        }
        scratch.first = end + length;
    }
    Some(Start::Named)
}

/// Whether a target's rest, whose words before that with a space have a length, can have neither a dot segment nor an
/// encoded one: it has neither such bytes, nor more words.
#[inline(always)]
fn is_straight(words: &[[u8; 8]], length: u32) -> bool {
    let (mut is_crooked, mut start) = (0, 0);
    for word in words {
        is_crooked |= word::has_before(b' ', *b".%", word) & is_at_most(start, length);
        start += 8;
    }
    is_crooked == 0 && length < 8 * words.len() as u32
}

/// One where a number is at most another one; no branch, either way of which the verifier would follow.
#[inline(always)]
fn is_at_most(number: u32, other: u32) -> u32 {
    (number as i32 - other as i32 - 1) as u32 >> 31
}

/// Loads the first bytes of the payload, behind some.
#[inline(always)]
fn load(frame: &impl Frame, segment: &Segment, scratch: &mut Scratch, skip: u32) -> bool {
    let (offset, length) = (segment.payload_offset, segment.payload_length);
    skip < length && scratch.prefix.load(frame, offset + skip, length - skip)
}

/// Empty lines before the request, in bytes.
#[inline(always)]
fn line_ends(scratch: &Scratch) -> u32 {
    for index in 0..LINE_ENDS {
        if !is(scratch.prefix.bytes[index], class::LINE_END) {
            return index as u32;
        }
    }
    LINE_ENDS as u32
}

/// Finds the space after the method, and leaves its target's position in the cursor.
#[inline(always)]
fn method(scratch: &mut Scratch) -> Start {
    for index in 0..METHOD_LEN {
        let byte = scratch.prefix.bytes[index];
        if byte == b' ' && index > 0 {
            scratch.cursor = index as u32 + 1;
            scratch.is_bodiless = u32::from(BODILESS.contains(&scratch.prefix.bytes[0]));
            return Start::Named;
        }
        if byte == 0 {
            return Start::Incomplete;
        }
        if !is(byte, class::METHOD) {
            return Start::Other;
        }
    }
    // No method that any function is called with; but where a flow starts, nothing is risked.
    Start::Incomplete
}

#[inline(always)]
fn is(byte: u8, class: u8) -> bool {
    class::of(byte) & class != 0
}

#[inline(always)]
fn at(scratch: &Scratch, index: u32) -> u8 {
    scratch.prefix.bytes[index as usize & (PREFIX_LEN - 1)]
}

/// The name behind a path prefix; `None` where the path does not start with that prefix.
#[inline(always)]
fn path<const N: usize>(scratch: &mut Scratch, prefix: &[u8; N]) -> Option<Start> {
    let target = scratch.cursor() & (PREFIX_LEN as u32 - 1);
    for (offset, expected) in prefix.iter().enumerate() {
        let byte = at(scratch, target + offset as u32);
        if byte == 0 {
            return Some(Start::Incomplete);
        }
        if byte != *expected {
            return None;
        }
    }
    scratch.cursor = target + N as u32;
    Some(name(scratch))
}

/// Reads the name at the cursor.
#[inline(always)]
fn name(scratch: &mut Scratch) -> Start {
    let start = scratch.cursor();
    let mut name = NameKey::EMPTY;
    for index in 0..NAME_LEN {
        let byte = at(scratch, start + index as u32);
        if is(byte, class::NAME) {
            name = name.and(byte);
            continue;
        }
        scratch.name = name;
        scratch.cursor = start + index as u32;
        return match byte {
            0 => Start::Incomplete,
            _ if index > 0 && is(byte, class::NAME_END) => Start::Named,
            _ => Start::Unusual,
        };
    }
    // No function has a name that long.
    Start::Elsewhere
}

/// How a path goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// To its end as it is.
    Plain,
    /// The gateway decodes it, or takes segments out.
    Unusual,
    /// Further than was loaded.
    GoesOn,
}

/// Reads a path from a slash at the cursor on, or from the dot before a namespace, and leaves its end's position there.
#[inline(always)]
fn path_rest(scratch: &mut Scratch) -> Rest {
    let start = scratch.cursor();
    let (mut in_path, mut behind_slash, mut is_unusual) = (1, 1, 0);
    let mut length = 1;
    for part in 0..PATH_PARTS {
        for index in 1..=PATH_PART {
            let class = class::of(at(scratch, start + part * PATH_PART + index));
            // Bit by bit, without a branch that the verifier would follow.
            let ends = bit(class, class::PATH_END);
            let starts_none = behind_slash & bit(class, class::NAME_END) & !ends;
            is_unusual |= in_path & (starts_none | bit(class, class::ENCODED));
            in_path &= !ends;
            length += u32::from(in_path);
            behind_slash = bit(class, class::SLASH);
        }
        if in_path == 0 {
            break;
        }
    }
    if is_unusual != 0 {
        Rest::Unusual
    } else if in_path == 0 {
        scratch.cursor = start + length;
        Rest::Plain
    } else {
        Rest::GoesOn
    }
}

/// One where a byte's classes include this one.
#[inline(always)]
fn bit(classes: u8, class: u8) -> u8 {
    (classes >> class.trailing_zeros()) & 1
}

/// A target that starts with no slash.
#[inline(always)]
fn no_path(scratch: &Scratch) -> Start {
    if scratch.prefix.bytes[..CONNECT.len()] == *CONNECT {
        Start::Unusual
    } else {
        absolute(scratch, scratch.cursor())
    }
}

/// A target that starts with a scheme (RFC 9112, section 3.2.2) may lead anywhere. Without a slash behind it the
/// gateway finds no path, and it is far more likely a word of a text, or a time of day.
#[inline(always)]
fn absolute(scratch: &Scratch, target: u32) -> Start {
    for index in 0..SCHEME_LEN {
        match at(scratch, target + index) {
            0 => return Start::Incomplete,
            b':' => {
                return match at(scratch, target + index + 1) {
                    0 => Start::Incomplete,
                    b'/' => Start::Unusual,
                    _ => Start::Other,
                };
            }
            b'0'..=b'9' | b'+' | b'-' | b'.' if index == 0 => return Start::Other,
            // All of the server (RFC 9112, section 3.2.4).
            b'*' if index == 0 => return Start::Elsewhere,
            byte if is(byte, class::SCHEME) => {}
            _ => return Start::Other,
        }
    }
    Start::Unusual
}
