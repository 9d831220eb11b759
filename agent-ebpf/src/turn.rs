//! Whose turn it is on a flow. A client that waits for its answers starts a request where the gateway has
//! answered all that came before.

use crate::{frame::Frame, maps::STARTS, packet::Segment};

/// Up to an answer's status, whose first digit is its class (RFC 9110, section 15).
const STATUS_LEN: usize = 12;
const VERSION: &[u8; 7] = b"HTTP/1.";

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

/// What a segment of the gateway's is to the client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// None to the whole request yet (RFC 9110, section 15.2).
    Interim,
    /// An answer begins which says that there was none of the function (RFC 9110, section 15.6).
    Failure,
    /// Any other answer begins.
    Begins,
    /// An answer goes on, or comes again.
    GoesOn,
}

/// Notes that the gateway has sent payload.
#[inline(always)]
pub(crate) fn answered(frame: &impl Frame, segment: &Segment) -> Answer {
    if let Some(start) = STARTS.get_ptr_mut(&segment.flow) {
        // SAFETY: the entry stays in memory while the program runs; only this flow's segments change
        // it.
        let start = unsafe { &mut *start };
        // The answer goes on.
        if *start == segment.acknowledged {
            return Answer::GoesOn;
        }
        let answer = begun(frame, segment);
        if answer != Answer::Interim {
            *start = segment.acknowledged;
        }
        return answer;
    }
    let answer = begun(frame, segment);
    if answer != Answer::Interim {
        set(segment, segment.acknowledged);
    }
    answer
}

#[inline(always)]
fn set(segment: &Segment, start: u32) {
    // A full LRU map makes room by itself; where the insertion fails all the same, nothing is known of
    // the flow.
    let _ = STARTS.insert(&segment.flow, start, 0);
}

/// What an answer is by its first bytes.
#[inline(always)]
fn begun(frame: &impl Frame, segment: &Segment) -> Answer {
    let mut bytes = [0; STATUS_LEN];
    // What a sender's stack hands down lies outside the linear part.
    // SAFETY: the buffer has room for its own length.
    let loaded = unsafe {
        frame.load_bytes(
            segment.payload_offset,
            bytes.as_mut_ptr(),
            STATUS_LEN as u32,
        )
    };
    if !loaded || bytes[..VERSION.len()] != *VERSION {
        return Answer::Begins;
    }
    match &bytes[VERSION.len() + 2..] {
        // The last that comes in HTTP: another protocol follows.
        b"101" => Answer::Begins,
        [b'1', ..] => Answer::Interim,
        [b'5', ..] => Answer::Failure,
        _ => Answer::Begins,
    }
}
