//! Whether a segment may be, or become, a request for a sealed function that carries the key.
//!
//! Only what can be told for certain passes. A target that is not in plain form (percent-encoding,
//! empty or dot segments, absolute form) is held: the agent knows how the gateway routes it.

use agent_ebpf::{Counter, NAME_LEN, NameKey, NameKind};

use crate::{
    frame::Frame,
    maps::{self, NAMES, PREFIX_LEN, STARTS, Scratch},
    packet::Segment,
    scan::{self, Found},
};

/// Line ends before a request that the gateway's server skips; more of them it refuses.
const LINE_ENDS: usize = 4;
/// Longest method that is looked behind; the longest registered is of 17 letters
/// (<https://www.iana.org/assignments/http-methods>).
const METHOD_LEN: usize = 20;
/// The one method whose target is an authority; the gateway finds a path behind it all the same.
const CONNECT: &[u8; 8] = b"CONNECT ";
/// Longest scheme of an absolute target that is looked through.
const SCHEME_LEN: u32 = 16;
const FUNCTION: &[u8; 10] = b"/function/";
const ASYNC_FUNCTION: &[u8; 16] = b"/async-function/";

/// The bytes below 64 that a method may have, a bit each: letters and digits, and `!#$%&'*+-.`.
const TOKEN_LOW: u64 = 0x03ff_6cfa_0000_0000;
/// The bytes from 64 to 127: letters, and `^_`, a backtick, `|~`.
const TOKEN_HIGH: u64 = 0x57ff_ffff_c7ff_fffe;

/// What is to be done with a segment, and the counter that tells so.
pub(crate) enum Verdict {
    Pass(Counter),
    Hold(Counter),
}

/// What the first bytes say.
enum Start {
    /// No request for a function.
    Other,
    /// Ends too early to tell.
    Incomplete,
    /// A request whose target is not in plain form.
    Unusual,
    /// A request for the function whose name now is in the scratch memory.
    Named,
}

/// Remembers where a new flow's first request starts.
#[inline(always)]
pub(crate) fn note_start(segment: &Segment) {
    // A full LRU map makes room by itself; where the insertion fails all the same, the flow's first
    // segment is judged like any later one.
    let _ = STARTS.insert(&segment.flow, segment.sequence.wrapping_add(1), 0);
}

/// Judges the first payload segment of a flow that the agent does not have.
#[inline(always)]
pub(crate) fn classify(frame: &impl Frame, segment: &Segment, scratch: &mut Scratch) -> Verdict {
    match start(frame, segment, scratch) {
        Start::Other => Verdict::Pass(Counter::Passed),
        Start::Unusual => Verdict::Hold(Counter::HeldUndecided),
        // In the middle of a flow, a few bytes that could start a request are far more likely the
        // end of a body.
        Start::Incomplete if starts_flow(segment) => Verdict::Hold(Counter::HeldUndecided),
        Start::Incomplete => Verdict::Pass(Counter::Passed),
        Start::Named => named(frame, segment, scratch),
    }
}

#[inline(always)]
fn starts_flow(segment: &Segment) -> bool {
    // SAFETY: the entry is copied at once; only this flow's segments change it.
    unsafe { STARTS.get(&segment.flow) }.is_some_and(|start| *start == segment.sequence)
}

#[inline(always)]
fn named(frame: &impl Frame, segment: &Segment, scratch: &mut Scratch) -> Verdict {
    // SAFETY: the entry is copied at once.
    let Some(kind) = (unsafe { NAMES.get(&scratch.name) }).copied() else {
        return Verdict::Pass(Counter::Passed);
    };
    if kind == NameKind::Unlocked as u32 {
        return Verdict::Hold(Counter::HeldDirect);
    }
    match scan::find_key_header(frame, segment, scratch) {
        Found::KeyHeader => Verdict::Hold(Counter::HeldKeyed),
        Found::EndOfHead => Verdict::Pass(Counter::PassedKeyless),
        Found::Neither => Verdict::Hold(Counter::HeldUndecided),
    }
}

/// Reads method, path prefix and function name.
#[inline(always)]
fn start(frame: &impl Frame, segment: &Segment, scratch: &mut Scratch) -> Start {
    if !load(frame, segment, scratch, 0) {
        return Start::Other;
    }
    let skip = line_ends(scratch);
    // Loaded anew, so that what follows starts at a fixed place.
    if skip != 0 && !load(frame, segment, scratch, skip) {
        return Start::Other;
    }
    let start = method(scratch);
    if !matches!(start, Start::Named) {
        return start;
    }
    if let Some(start) = path(scratch, FUNCTION).or_else(|| path(scratch, ASYNC_FUNCTION)) {
        return start;
    }
    other_path(scratch)
}

/// Loads the first bytes of the payload, behind some.
#[inline(always)]
fn load(frame: &impl Frame, segment: &Segment, scratch: &mut Scratch, skip: u32) -> bool {
    // The compiler, which may know that something is available, would leave out the check that the
    // verifier, which does not, asks for.
    let mut available = maps::forget(scratch, segment.payload_length.saturating_sub(skip));
    if available == 0 {
        return false;
    }
    if available > PREFIX_LEN as u32 {
        available = PREFIX_LEN as u32;
    }
    // What an earlier packet left behind the loaded bytes must not be taken for this one's.
    scratch.prefix = [0; PREFIX_LEN];
    // SAFETY: the length is between one and the size of the buffer.
    unsafe {
        frame.load_bytes(
            segment.payload_offset + skip,
            scratch.prefix.as_mut_ptr(),
            available,
        )
    }
}

/// Empty lines before the request, in bytes.
#[inline(always)]
fn line_ends(scratch: &Scratch) -> u32 {
    for index in 0..LINE_ENDS {
        if !matches!(scratch.prefix[index], b'\r' | b'\n') {
            return index as u32;
        }
    }
    LINE_ENDS as u32
}

/// Finds the space after the method, and leaves its target's position in the cursor.
#[inline(always)]
fn method(scratch: &mut Scratch) -> Start {
    for index in 0..METHOD_LEN {
        let byte = scratch.prefix[index];
        if byte == b' ' && index > 0 {
            scratch.cursor = index as u32 + 1;
            return Start::Named;
        }
        if byte == 0 {
            return Start::Incomplete;
        }
        if !is_token_byte(byte) {
            return Start::Other;
        }
    }
    // No method that any function is called with; but where a flow starts, nothing is risked.
    Start::Incomplete
}

/// A byte of a method (RFC 9110, section 5.6.2): the gateway lets functions be called with any.
#[inline(always)]
fn is_token_byte(byte: u8) -> bool {
    // Two words of a table instead of comparisons, each of which the verifier would follow.
    let table = if byte < 64 { TOKEN_LOW } else { TOKEN_HIGH };
    byte < 128 && table >> (byte & 63) & 1 == 1
}

#[inline(always)]
fn at(scratch: &Scratch, index: u32) -> u8 {
    scratch.prefix[index as usize & (PREFIX_LEN - 1)]
}

/// The name behind a path prefix; `None` where the path does not start with that prefix.
#[inline(always)]
fn path<const N: usize>(scratch: &mut Scratch, prefix: &[u8; N]) -> Option<Start> {
    let target = scratch.cursor & (PREFIX_LEN as u32 - 1);
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

/// Copies the name at the cursor. A namespace (`name.namespace`) is left to the agent.
#[inline(always)]
fn name(scratch: &mut Scratch) -> Start {
    let start = scratch.cursor;
    scratch.name = NameKey([0; NAME_LEN]);
    for index in 0..NAME_LEN {
        let byte = at(scratch, start + index as u32);
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
            scratch.name.0[index] = byte;
            continue;
        }
        return match byte {
            0 => Start::Incomplete,
            b'/' | b' ' | b'?' | b'.' if index > 0 => Start::Named,
            _ => Start::Unusual,
        };
    }
    // No function has a name that long.
    Start::Other
}

/// A path that starts with neither prefix: plain if its first segment is.
#[inline(always)]
fn other_path(scratch: &Scratch) -> Start {
    let target = scratch.cursor;
    if at(scratch, target) != b'/' {
        return if scratch.prefix[..CONNECT.len()] == *CONNECT {
            Start::Unusual
        } else {
            absolute(scratch, target)
        };
    }
    match at(scratch, target + 1) {
        b'/' | b'.' => return Start::Unusual,
        0 => return Start::Incomplete,
        _ => {}
    }
    for index in 1..ASYNC_FUNCTION.len() as u32 {
        match at(scratch, target + index) {
            b'%' => return Start::Unusual,
            b'/' | b' ' | b'?' | 0 => return Start::Other,
            _ => {}
        }
    }
    Start::Other
}

/// A target that starts with a scheme (RFC 9112, section 3.2.2) may lead anywhere.
#[inline(always)]
fn absolute(scratch: &Scratch, target: u32) -> Start {
    for index in 0..SCHEME_LEN {
        match at(scratch, target + index) {
            0 => return Start::Incomplete,
            b':' => return Start::Unusual,
            byte if byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.') => {}
            _ => return Start::Other,
        }
    }
    Start::Unusual
}
