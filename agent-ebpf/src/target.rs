//! A request's target, from the copy of its start in the scratch memory: path prefix, name, and what stands behind that.

use agent_ebpf::{NAME_LEN, NameKey, class, word};

use crate::{
    frame::Frame,
    packet::Segment,
    work::{PREFIX_LEN, Scratch},
};

/// Longest method that is looked behind; the longest registered is of 17 letters
/// (<https://www.iana.org/assignments/http-methods>).
pub(crate) const METHOD_LEN: usize = 20;
pub(crate) const FUNCTION: &[u8; 10] = b"/function/";
const ASYNC_FUNCTION: &[u8; 16] = b"/async-function/";
/// The one method whose target is an authority; the gateway finds a path behind it all the same.
const CONNECT: &[u8; 8] = b"CONNECT ";
/// Bytes of another path that are looked through at once, and how often: what is loaded behind the longest method.
const PATH_PART: u32 = 15;
const PATH_PARTS: u32 = 7;
const _: () = assert!(PATH_PART * PATH_PARTS + METHOD_LEN as u32 + 1 < PREFIX_LEN as u32);
/// Longest scheme of an absolute target that is looked through.
const SCHEME_LEN: u32 = 16;

/// What a segment's first bytes say.
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

/// Reads the target at the cursor. Of what stands behind a name other bytes are loaded than before: `first` is where.
#[inline(always)]
pub(crate) fn read(frame: &impl Frame, segment: &Segment, scratch: &mut Scratch) -> Start {
    let is_named = match path(scratch, FUNCTION).or_else(|| path(scratch, ASYNC_FUNCTION)) {
        Some(Start::Named) if !class::is(at(scratch, scratch.cursor()), class::PATH_END) => {
            scratch.first = scratch.first() + scratch.cursor();
            scratch.cursor = 0;
            // What there is may be less than before.
            scratch.prefix.wipe();
            if !scratch.load(frame, segment, scratch.first()) {
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
        scratch.needs_path_cleaning = u32::from(rest != Rest::Plain);
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
pub(crate) fn end(scratch: &Scratch) -> u32 {
    let cursor = scratch.cursor() & (PREFIX_LEN as u32 - 1);
    if at(scratch, cursor) == b' ' {
        cursor
    } else {
        word::length_before_space(scratch.prefix.bytes.as_chunks::<8>().0, cursor / 8)
    }
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
        if class::is(byte, class::NAME) {
            name = name.and(byte);
            continue;
        }
        scratch.name = name;
        scratch.cursor = start + index as u32;
        return match byte {
            0 => Start::Incomplete,
            _ if index > 0 && class::is(byte, class::NAME_END) => Start::Named,
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
            byte if class::is(byte, class::SCHEME) => {}
            _ => return Start::Other,
        }
    }
    Start::Unusual
}
