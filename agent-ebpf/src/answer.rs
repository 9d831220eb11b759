//! What the gateway answers, as far as its first bytes tell.
use crate::{frame::Frame, packet::Segment};

/// Up to an answer's status, whose first digit is its class (RFC 9110, section 15).
const STATUS_LEN: usize = 12;
const VERSION: &[u8; 7] = b"HTTP/1.";

/// What a segment of the gateway's is to the client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// None to the whole request yet (RFC 9110, section 15.2).
    Interim,
    /// An answer begins which says that there was none of the function (RFC 9110, section 15.6).
    Failure,
    /// The last that comes in HTTP: another protocol follows (RFC 9110, section 15.2.2).
    Switches,
    /// Any other answer begins.
    Begins,
    /// An answer goes on, or comes again.
    GoesOn,
}

impl Answer {
    /// What the answer is that begins with a segment.
    #[inline(always)]
    pub(crate) fn of(frame: &impl Frame, segment: &Segment) -> Self {
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
            return Self::Begins;
        }
        match &bytes[VERSION.len() + 2..] {
            b"101" => Self::Switches,
            [b'1', ..] => Self::Interim,
            [b'5', ..] => Self::Failure,
            _ => Self::Begins,
        }
    }
}
