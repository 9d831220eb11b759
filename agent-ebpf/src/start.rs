//! What a segment's first bytes say: method, path prefix and function name.
//!
//! A target that is not in plain form (percent-encoding, empty or dot segments, absolute form) is held:
//! the agent knows how the gateway routes it.

use agent_ebpf::{NAME_LEN, NameKey, class, word};

use crate::{
    frame::Frame,
    packet::{Segment, peek},
    target::{self, FUNCTION, METHOD_LEN, Start},
    work::Scratch,
};

/// Line ends before a request that the gateway's server skips; more of them it refuses.
const LINE_ENDS: usize = 4;
/// What the methods start with for whose body there is no meaning: GET, HEAD, DELETE, OPTIONS, TRACE.
const BODILESS: &[u8; 5] = b"GHDOT";
/// Words of a target's rest behind a name that are looked through for its end.
const REST_WORDS: usize = 6;

/// Reads method, path prefix and function name: where they stand in the packet if they are of the
/// usual form, else from a copy.
#[inline(always)]
pub(crate) fn read(frame: &impl Frame, segment: &Segment, scratch: &mut Scratch) -> Start {
    scratch.skip = 0;
    scratch.is_bodiless = 0;
    scratch.is_inside = 0;
    scratch.needs_path_cleaning = 0;
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
    if !scratch.load(frame, segment, 0) {
        return Start::Other;
    }
    scratch.skip = line_ends(scratch);
    let skip = scratch.start();
    if skip >= segment.payload_length {
        return Start::Incomplete;
    }
    // Loaded anew, so that what follows starts at a fixed place.
    if skip != 0 && !scratch.load(frame, segment, skip) {
        return Start::Other;
    }
    let start = method(scratch);
    if !matches!(start, Start::Named) {
        return start;
    }
    scratch.first = skip;
    let start = target::read(frame, segment, scratch);
    scratch.first = scratch.first() + target::end(scratch);
    start
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
        [first, ..] if class::is(*first, class::METHOD | class::LINE_END) => return None,
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
        if class::is(byte, class::NAME) {
            name = name.and(byte);
            continue;
        }
        scratch.name = name;
        if index > 0 && class::is(byte, class::NAME_END) {
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
        let length = word::length_before_space(words, 0);
        if behind != b'?' && !word::is_clean_path(words, length) {
            return None;
        }
        scratch.first = end + length;
    }
    Some(Start::Named)
}

/// Empty lines before the request, in bytes.
#[inline(always)]
fn line_ends(scratch: &Scratch) -> u32 {
    for index in 0..LINE_ENDS {
        if !class::is(scratch.prefix.bytes[index], class::LINE_END) {
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
        if !class::is(byte, class::METHOD) {
            return Start::Other;
        }
    }
    // No method that any function is called with; but where a flow starts, nothing is risked.
    Start::Incomplete
}
