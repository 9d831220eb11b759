//! Whose turn it is on a flow. A client that waits for its answers starts a request where the gateway has
//! answered all that came before.

use crate::{frame::Frame, maps::STARTS, packet::Segment};

/// How an interim answer starts, which is none to the whole request (RFC 9110, section 15.2).
const INTERIM: &[u8; 10] = b"HTTP/1.1 1";

/// Who is to speak, where a segment of the client's starts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The client: a request may start there.
    Client,
    /// The gateway: the segment is the rest of a request, or one sent ahead.
    Gateway,
    /// Nothing is known of the flow, which is older than the programs.
    Unknown,
}

#[inline(always)]
pub(crate) fn of(segment: &Segment) -> Turn {
    // SAFETY: the entry is copied at once; only this flow's segments change it.
    match unsafe { STARTS.get(&segment.flow) } {
        Some(start) if *start == segment.sequence => Turn::Client,
        Some(_) => Turn::Gateway,
        None => Turn::Unknown,
    }
}

/// Notes that the first request starts behind a SYN.
#[inline(always)]
pub(crate) fn opened(segment: &Segment) {
    set(segment, segment.sequence.wrapping_add(1));
}

/// Notes that the gateway has sent payload; tells whether it was of an answer proper.
#[inline(always)]
pub(crate) fn answered(frame: &impl Frame, segment: &Segment) -> bool {
    if let Some(start) = STARTS.get_ptr_mut(&segment.flow) {
        // SAFETY: the entry stays in memory while the program runs; only this flow's segments change
        // it.
        let start = unsafe { &mut *start };
        // The answer goes on.
        if *start == segment.acknowledged {
            return true;
        }
        if is_interim(frame, segment) {
            return false;
        }
        *start = segment.acknowledged;
        return true;
    }
    let proper = !is_interim(frame, segment);
    if proper {
        set(segment, segment.acknowledged);
    }
    proper
}

#[inline(always)]
fn set(segment: &Segment, start: u32) {
    // A full LRU map makes room by itself; where the insertion fails all the same, nothing is known of
    // the flow.
    let _ = STARTS.insert(&segment.flow, start, 0);
}

#[inline(always)]
fn is_interim(frame: &impl Frame, segment: &Segment) -> bool {
    let mut bytes = [0; INTERIM.len()];
    // What a sender's stack hands down lies outside the linear part.
    // SAFETY: the buffer has room for its own length.
    let loaded = unsafe {
        frame.load_bytes(
            segment.payload_offset,
            bytes.as_mut_ptr(),
            INTERIM.len() as u32,
        )
    };
    loaded && bytes == *INTERIM
}
