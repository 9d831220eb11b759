//! The search for the key header in a segment that starts with a request, also behind that one's head.

use agent_ebpf::{sample, search};

use crate::{
    frame::Frame,
    maps,
    packet::{Segment, peek},
    work::{CHUNK_LEN, Scratch},
};

/// Chunks of a segment that are searched, 4 KiB in all. A longer head is held for the agent to look at:
/// the verifier follows every step, so that the search must end somewhere.
const CHUNKS: u32 = 16;

/// What the search came upon first.
pub(crate) enum Found {
    KeyHeader,
    /// The end of a head without it; behind that, what may be it.
    KeyBehind,
    EndOfHead,
    Neither,
}

/// Looks for the key header's name at the start of a line, in any letter case.
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
    let mut state = search::LINE_START;
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
        search::KEY_BEHIND => Found::KeyBehind,
        search::END_OF_HEAD | search::BEHIND.. => Found::EndOfHead,
        _ => Found::Neither,
    }
}

/// Shortest that comes before a key header behind a request for something else: that request, behind which the gateway
/// reads on (RFC 9112, sections 3.2 and 9.3), and the keyed one's line.
const SHORTEST_START: u32 =
    ("A / HTTP/1.1\nHost:\n\n".len() + "A /function/a HTTP/1.0\n".len()) as u32;
/// The first sample: the furthest that is of a name which starts there.
const FIRST_SAMPLE: u32 = SHORTEST_START + sample::DISTANCE as u32 - 1;
/// Bytes of which samples are taken at once where they stand in the packet, and how often that is done.
const IN_PLACE_LEN: u32 = 5 * sample::DISTANCE as u32;
const IN_PLACE: u32 = 5;
/// Bytes of a chunk of which samples are taken, and how many chunks that makes of what else is searched.
const SAMPLED_LEN: u32 = (CHUNK_LEN / sample::DISTANCE * sample::DISTANCE) as u32;
const SAMPLED: u32 = (CHUNKS * CHUNK_LEN as u32 - FIRST_SAMPLE).div_ceil(SAMPLED_LEN);

/// Whether a key header's name may stand behind a request for something else.
#[inline(always)]
pub(crate) fn may_name_key(frame: &impl Frame, segment: &Segment, scratch: &mut Scratch) -> bool {
    let Some(samples) = maps::samples() else {
        return true;
    };
    let length = segment.payload_length;
    // Behind the start of the last sample.
    let end = length.saturating_sub(sample::LEN as u32 - 1);
    let mut place = FIRST_SAMPLE;
    for _ in 0..IN_PLACE {
        if place >= end {
            return false;
        }
        // The last ones of the segment where there are not so many, some of them again.
        let start = place.min(length.saturating_sub(IN_PLACE_LEN));
        let Some(bytes) = peek::<{ IN_PLACE_LEN as usize }>(frame, segment, start) else {
            break;
        };
        if samples.may_be_in(bytes) {
            return true;
        }
        place += IN_PLACE_LEN;
    }
    for _ in 0..SAMPLED {
        let offset = segment.payload_offset + place;
        if place >= end || !scratch.chunk.load(frame, offset, length - place) {
            break;
        }
        if samples.may_be_in(&scratch.chunk.bytes) {
            return true;
        }
        place += SAMPLED_LEN;
    }
    // Such a request may have a key of its own, whose header's name came before what is looked at.
    scratch.chunk.wipe();
    false
}

/// The state after a byte.
#[inline(always)]
fn step(table: &[u8; search::TABLE_LEN], state: u8, byte: u8) -> u8 {
    // The mask changes nothing: it is the bound that the verifier asks for.
    table[(usize::from(state) << 8 | usize::from(byte)) & (search::TABLE_LEN - 1)]
}
