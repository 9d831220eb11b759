//! The search for the key header in a segment that starts with a request, and for that and other requests behind that one's
//! head.

use agent_ebpf::{
    sample::{self, Samples},
    search,
};

use crate::{
    frame::Frame,
    maps,
    packet::{Segment, peek, peek_end},
    work::{CHUNK_LEN, Scratch},
};

/// Chunks of a segment that are searched, 4 KiB in all. A longer head is held for the agent to look at:
/// the verifier follows every step, so that the search must end somewhere.
const CHUNKS: u32 = 16;

/// What the search came upon first.
pub(crate) enum Found {
    KeyHeader,
    /// The end of a head without it; behind that, what may be it, or a request.
    RequestBehind,
    EndOfHead,
    Neither,
}

/// Looks for the key header's name at the start of a line, in any letter case, and behind the head's end for that of a
/// request line, too. Where the segment starts no request, all of it is behind one.
#[inline(always)]
pub(crate) fn find_key_header(
    frame: &impl Frame,
    segment: &Segment,
    scratch: &mut Scratch,
) -> Found {
    let Some(table) = maps::search_table() else {
        return Found::Neither;
    };
    // A line end before the request would be taken for the head's last one.
    let skip = scratch.start();
    let offset = segment.payload_offset + skip;
    let length = segment.payload_length - skip;
    let mut state = if scratch.is_inside() {
        search::BEHIND | search::LINE_START
    } else {
        search::LINE_START
    };
    for chunk in 0..CHUNKS {
        let start = chunk * CHUNK_LEN as u32;
        if start >= length || !scratch.chunk.load(frame, offset + start, length - start) {
            break;
        }
        // Eight at a time: the verifier counts the loop's own instructions too.
        let (groups, _) = scratch.chunk.bytes.as_chunks::<8>();
        for group in groups {
            state = step(table, state, group[0]);
            state = step(table, state, group[1]);
            state = step(table, state, group[2]);
            state = step(table, state, group[3]);
            state = step(table, state, group[4]);
            state = step(table, state, group[5]);
            state = step(table, state, group[6]);
            state = step(table, state, group[7]);
        }
        if (search::DECIDED..search::BEHIND).contains(&state) {
            break;
        }
    }
    // The key may have been in the chunk.
    scratch.chunk.wipe();
    match state {
        search::KEY_HEADER => Found::KeyHeader,
        search::REQUEST_BEHIND => Found::RequestBehind,
        search::END_OF_HEAD | search::BEHIND.. => Found::EndOfHead,
        _ => Found::Neither,
    }
}

/// Shortest that lies between the end of a request's target and that of the next one's: the rest of its head, and as
/// little of the next (RFC 9112, section 3; a request of HTTP/1.0 needs no header).
const SHORTEST_BETWEEN: u32 = " HTTP/1.0\n\nA /function/a".len() as u32;
/// From a target's end to the first sample: the furthest that is of a version which stands that close.
const FIRST_SAMPLE: u32 = SHORTEST_BETWEEN + sample::DISTANCE as u32 - 1;
/// Bytes of which samples are taken at once where they stand in the packet, and how often that is done.
const IN_PLACE_LEN: usize = 34;
const IN_PLACE: u32 = 8;
/// How many of the chunks of which samples are taken make what else is searched.
const SAMPLED: u32 = CHUNKS * CHUNK_LEN as u32 / step_len(CHUNK_LEN) + 1;
/// Bytes of a segment that are looked at where it starts no request: most of an upload are such.
const INSIDE: u32 = 1024;
const _: () = assert!(INSIDE > IN_PLACE * step_len(IN_PLACE_LEN) + IN_PLACE_LEN as u32);
/// How far the next samples are that are taken at once.
const fn step_len(length: usize) -> u32 {
    (sample::count(length) * sample::DISTANCE) as u32
}

/// What may stand behind a request for something else, into the scratch memory: [`sample::KEY`] for a key header, which
/// may be its own, [`sample::LINE`] for another request.
#[inline(always)]
pub(crate) fn look_behind(frame: &impl Frame, segment: &Segment, scratch: &mut Scratch) {
    if !scratch.is_inside() {
        scratch.first = scratch.first() + FIRST_SAMPLE;
    }
    let found = match maps::samples() {
        Some(samples) => take_samples(frame, segment, scratch, samples),
        None => sample::KEY | sample::LINE,
    };
    scratch.behind = found.into();
}

#[inline(always)]
fn take_samples(
    frame: &impl Frame,
    segment: &Segment,
    scratch: &mut Scratch,
    samples: &Samples,
) -> u8 {
    let length = if scratch.is_inside() {
        segment.payload_length.min(INSIDE)
    } else {
        segment.payload_length
    };
    let mut found = 0;
    let mut start = scratch.first();
    for _ in 0..IN_PLACE {
        if start + sample::LEN as u32 > length {
            return found;
        }
        let left = length - start;
        if left < IN_PLACE_LEN as u32 {
            let Some(bytes) = peek_end::<IN_PLACE_LEN>(frame, segment) else {
                break;
            };
            return found | samples.found_at_end(bytes, IN_PLACE_LEN as u32 - left);
        }
        let Some(bytes) = peek::<IN_PLACE_LEN>(frame, segment, start) else {
            break;
        };
        found |= samples.found_in(bytes);
        start += step_len(IN_PLACE_LEN);
    }
    // Unknown from here on, or the verifier would follow what comes once more for each number that it knows it to be.
    scratch.cursor = start;
    let mut start = scratch.cursor();
    for _ in 0..SAMPLED {
        let (offset, left) = (segment.payload_offset + start, length.wrapping_sub(start));
        if start >= length || !scratch.chunk.load(frame, offset, left) {
            break;
        }
        found |= samples.found_in(&scratch.chunk.bytes);
        start += step_len(CHUNK_LEN);
    }
    // Such a request may have a key of its own, whose header's name came before what is looked at.
    scratch.chunk.wipe();
    found
}

/// Whether a segment ends as a head does: with an empty line.
#[inline(always)]
pub(crate) fn ends_with_empty_line(frame: &impl Frame, segment: &Segment) -> bool {
    const LEN: usize = 4;
    if let Some(last) = peek_end::<LEN>(frame, segment) {
        return is_empty_line(last);
    }
    let mut last = [0; LEN];
    let Some(start) = segment.payload_length.checked_sub(LEN as u32) else {
        return false;
    };
    let offset = segment.payload_offset + start;
    // SAFETY: the buffer has room for its own length.
    unsafe { frame.load_bytes(offset, last.as_mut_ptr(), LEN as u32) && is_empty_line(&last) }
}

#[inline(always)]
fn is_empty_line(end: &[u8; 4]) -> bool {
    matches!(end, [.., b'\n', b'\n'] | [_, b'\n', b'\r', b'\n'])
}

/// The state after a byte.
#[inline(always)]
fn step(table: &[u8; search::TABLE_LEN], state: u8, byte: u8) -> u8 {
    // The mask changes nothing: it is the bound that the verifier asks for.
    table[(usize::from(state) << 8 | usize::from(byte)) & (search::TABLE_LEN - 1)]
}
