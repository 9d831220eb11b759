//! The search for the key header in a segment that starts with a request, also behind that one's head.

use agent_ebpf::search;

use crate::{
    frame::Frame,
    maps,
    packet::Segment,
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

/// The state after a byte.
#[inline(always)]
fn step(table: &[u8; search::TABLE_LEN], state: u8, byte: u8) -> u8 {
    // The mask changes nothing: it is the bound that the verifier asks for.
    table[(usize::from(state) << 8 | usize::from(byte)) & (search::TABLE_LEN - 1)]
}
