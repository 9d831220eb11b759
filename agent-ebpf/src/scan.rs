//! The search for the key header in a segment that starts with a request.

use aya_ebpf::{EbpfContext as _, helpers::bpf_skb_load_bytes, programs::TcContext};

use crate::{
    maps::{self, CHUNK_LEN, Scratch},
    packet::Segment,
};

/// Chunks of a head that are searched, 4 KiB in all. A longer head is held for the agent to look at:
/// the verifier follows every step, so that the search must be short.
const CHUNKS: u32 = 32;

/// What the search came upon first.
pub(crate) enum Found {
    KeyHeader,
    EndOfHead,
    Neither,
}

const NOTHING: u32 = 0;
const KEY_HEADER: u32 = 1;
const END_OF_HEAD: u32 = 2;

/// Looks for the key header's name at the start of a line, in any letter case.
#[inline(always)]
pub(crate) fn find_key_header(ctx: &TcContext, segment: &Segment, scratch: &mut Scratch) -> Found {
    scratch.line_length = 0;
    scratch.matched = 0;
    scratch.found = NOTHING;
    for chunk in 0..CHUNKS {
        let start = chunk * CHUNK_LEN as u32;
        if start >= segment.payload_length {
            break;
        }
        if search_chunk(ctx, segment, scratch, start).is_none() || scratch.found != NOTHING {
            break;
        }
    }
    // The key may have been in the chunk.
    scratch.chunk = [0; CHUNK_LEN];
    match scratch.found {
        KEY_HEADER => Found::KeyHeader,
        END_OF_HEAD => Found::EndOfHead,
        _ => Found::Neither,
    }
}

/// Searches the chunk that starts at an offset into the payload.
#[inline(always)]
fn search_chunk(
    ctx: &TcContext,
    segment: &Segment,
    scratch: &mut Scratch,
    start: u32,
) -> Option<()> {
    let mut length = segment.payload_length - start;
    if length > CHUNK_LEN as u32 {
        length = CHUNK_LEN as u32;
    }
    if length == 0 {
        return None;
    }
    // SAFETY: the length is between one and the size of the buffer.
    let result = unsafe {
        bpf_skb_load_bytes(
            ctx.as_ptr().cast(),
            segment.payload_offset + start,
            scratch.chunk.as_mut_ptr().cast(),
            length,
        )
    };
    if result != 0 {
        return None;
    }
    for index in 0..CHUNK_LEN {
        if index as u32 >= length {
            break;
        }
        let byte = scratch.chunk[index];
        step(scratch, byte);
        if scratch.found != NOTHING {
            break;
        }
    }
    Some(())
}

/// One byte of the head. A line's end is a line feed, as servers accept it without the carriage
/// return too (RFC 9112, section 2.2).
#[inline(always)]
fn step(scratch: &mut Scratch, byte: u8) {
    if byte == b'\n' {
        if scratch.line_length == 0 {
            scratch.found = END_OF_HEAD;
        }
        scratch.line_length = 0;
        scratch.matched = 0;
        return;
    }
    if byte == b'\r' {
        return;
    }
    let position = scratch.line_length;
    scratch.line_length = position + 1;
    if position != scratch.matched {
        return;
    }
    if position == maps::key_header_length() {
        if byte == b':' {
            scratch.found = KEY_HEADER;
        }
        return;
    }
    if byte.to_ascii_lowercase() == maps::key_header_byte(position) {
        scratch.matched = position + 1;
    }
}
