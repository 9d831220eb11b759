//! A connection's client bytes in order: what was held, where it starts, what has gone on already.
use std::collections::{BTreeMap, VecDeque};

use zeroize::Zeroizing;

use super::buffer::Buffer;

/// Most bytes that are kept of a connection while it waits, 1 MiB. What comes beyond is dropped, and
/// sent again by the client.
const CAPACITY: usize = 1 << 20;
/// Most pieces that are kept behind a gap: more than the segments of any client that has not been told to wait.
const PIECES: usize = 1 << 10;
/// Rewritten heads that are kept for retransmissions.
const HISTORY: usize = 64;
/// Most bytes of these, 256 KiB, but for the newest one.
const HISTORY_LEN: usize = 1 << 18;

/// Bytes at a place of the stream.
pub(super) struct Piece {
    pub(super) sequence: u32,
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

/// The stream. Places are counted from its first held byte.
pub(super) struct Stream {
    /// Sequence number of the place zero.
    base: u32,
    /// The first place that has not gone on.
    cursor: u64,
    /// What is held from the cursor on, without a gap.
    ready: Buffer,
    /// So many of these have been looked at, in vain.
    looked: usize,
    /// What is held behind a gap.
    ahead: BTreeMap<u64, Zeroizing<Vec<u8>>>,
    /// Heads that went on in another form.
    rewritten: VecDeque<(u64, Zeroizing<Vec<u8>>)>,
    /// What lies before this place is no longer known.
    forgotten: u64,
    /// Pieces for which there was no room.
    dropped: u64,
}

impl Stream {
    /// A stream whose first held byte has a sequence number.
    pub(super) fn new(base: u32) -> Self {
        Self {
            base,
            cursor: 0,
            ready: Buffer::default(),
            looked: 0,
            ahead: BTreeMap::new(),
            rewritten: VecDeque::new(),
            forgotten: 0,
            dropped: 0,
        }
    }

    /// What is held from the cursor on.
    pub(super) fn ready(&self) -> &[u8] {
        self.ready.as_slice()
    }

    /// How many of these have been looked at, in vain.
    pub(super) fn looked(&self) -> usize {
        self.looked
    }

    /// Notes that all of them have been.
    pub(super) fn note_look(&mut self) {
        self.looked = self.ready.len();
    }

    /// How far the last piece behind a gap reaches from the cursor on.
    pub(super) fn length_ahead(&self) -> u64 {
        let ends = self
            .ahead
            .iter()
            .map(|(place, bytes)| place + bytes.len() as u64);
        ends.max().map_or(0, |end| end.saturating_sub(self.cursor))
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting() == 0
    }

    /// How many bytes are held: those that wait, and those that are remembered.
    pub(super) fn held(&self) -> usize {
        self.waiting() + self.remembered()
    }

    fn waiting(&self) -> usize {
        self.ready.len() + self.ahead.values().map(|bytes| bytes.len()).sum::<usize>()
    }

    fn remembered(&self) -> usize {
        self.rewritten.iter().map(|(_, head)| head.len()).sum()
    }

    /// Pieces for which there was no room, since this was asked last.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// The cursor's sequence number.
    pub(super) fn sequence(&self) -> u32 {
        self.sequence_of(self.cursor)
    }

    /// Whether the byte at a sequence number is one that has gone on.
    pub(super) fn has_gone_on(&self, sequence: u32) -> bool {
        (sequence.wrapping_sub(self.sequence()) as i32) < 0
    }

    /// The sequence number behind all that is known without a gap.
    pub(super) fn end(&self) -> u32 {
        self.sequence_of(self.cursor + self.ready.len() as u64)
    }

    /// Whether the byte at a sequence number comes behind all that is known without a gap.
    pub(super) fn is_ahead(&self, sequence: u32) -> bool {
        (self.end().wrapping_sub(sequence) as i32) < 0
    }

    /// Notes a piece that is not kept.
    pub(super) fn drop_piece(&mut self) {
        self.dropped += 1;
    }

    /// Whether some bytes hold a part of a head that has gone on in another form.
    pub(super) fn repeats_head(&self, sequence: u32, length: usize) -> bool {
        self.rewritten.iter().any(|(place, head)| {
            let first = self.sequence_of(*place);
            let behind = sequence.wrapping_sub(first) as usize;
            let before = first.wrapping_sub(sequence) as usize;
            behind < head.len() || before < length
        })
    }

    fn sequence_of(&self, place: u64) -> u32 {
        // Truncation is meant: sequence numbers wrap around.
        self.base.wrapping_add(place as u32)
    }

    /// The place of a sequence number, unless it lies before the stream's start.
    fn place_of(&self, sequence: u32) -> Option<u64> {
        let distance = sequence.wrapping_sub(self.sequence()) as i32;
        self.cursor.checked_add_signed(i64::from(distance))
    }

    /// Takes in a segment. What of it has gone on already comes back in the form in which it did.
    pub(super) fn insert(&mut self, sequence: u32, payload: &[u8]) -> Option<Piece> {
        let Some(start) = self.place_of(sequence) else {
            // Before the first held byte: it passed the spotter at its time, and was acknowledged.
            let known = payload.get(self.base.wrapping_sub(sequence) as usize..)?;
            return self.insert(self.base, known);
        };
        let again = self.again(start, payload);
        let old = usize::try_from(self.cursor.saturating_sub(start)).unwrap_or(usize::MAX);
        if let Some(new) = payload.get(old..).filter(|new| !new.is_empty()) {
            self.keep(start + old as u64, new);
        }
        again
    }

    /// The part of a segment before the cursor, in the form in which it went on.
    fn again(&self, start: u64, payload: &[u8]) -> Option<Piece> {
        if start < self.forgotten {
            return None;
        }
        let length = usize::try_from(self.cursor.checked_sub(start)?)
            .ok()?
            .min(payload.len());
        if length == 0 {
            return None;
        }
        // The client may have been told that the start of a head has come, and does not send it again.
        let has = |place: u64, head: &[u8]| (place..place + head.len() as u64).contains(&start);
        let mut heads = self.rewritten.iter();
        let inside = heads.find(|(place, head)| has(*place, head));
        let first = inside.map_or(start, |(place, _)| *place);
        let before = (start - first) as usize;
        let mut bytes = Zeroizing::new(vec![0; before + length]);
        bytes[before..].copy_from_slice(&payload[..length]);
        for (place, head) in &self.rewritten {
            let end = place + head.len() as u64;
            let (from, to) = (first.max(*place), (start + length as u64).min(end));
            if from < to {
                let target = (from - first) as usize..(to - first) as usize;
                let source = (from - place) as usize..(to - place) as usize;
                bytes[target].copy_from_slice(&head[source]);
            }
        }
        Some(Piece {
            sequence: self.sequence_of(first),
            bytes,
        })
    }

    fn keep(&mut self, place: u64, bytes: &[u8]) {
        let end = self.cursor + self.ready.len() as u64;
        let is_one_too_many = place > end && self.ahead.len() >= PIECES;
        if is_one_too_many || self.waiting() + bytes.len() > CAPACITY {
            self.drop_piece();
            return;
        }
        if place > end {
            let known = self.ahead.get(&place).map_or(0, |known| known.len());
            if bytes.len() > known {
                self.ahead.insert(place, Zeroizing::new(bytes.to_vec()));
            }
            return;
        }
        self.append(place, bytes);
        // What lay behind the gap may follow now.
        while let Some(entry) = self.ahead.first_entry() {
            if *entry.key() > self.cursor + self.ready.len() as u64 {
                break;
            }
            let (place, bytes) = entry.remove_entry();
            self.append(place, &bytes);
        }
    }

    /// Adds what of some bytes lies behind the ready ones.
    fn append(&mut self, place: u64, bytes: &[u8]) {
        let end = self.cursor + self.ready.len() as u64;
        let known = usize::try_from(end.saturating_sub(place)).unwrap_or(usize::MAX);
        if let Some(new) = bytes.get(known..) {
            self.ready.append(new);
        }
    }

    /// Lets ready bytes go on as they are, at most so many.
    pub(super) fn pass(&mut self, most: u64) -> Option<Piece> {
        let length = usize::try_from(most)
            .unwrap_or(usize::MAX)
            .min(self.ready.len());
        if length == 0 {
            return None;
        }
        let piece = Piece {
            sequence: self.sequence(),
            bytes: Zeroizing::new(self.ready()[..length].to_vec()),
        };
        self.advance(length);
        Some(piece)
    }

    /// Lets ready bytes go on in another form of the same length.
    pub(super) fn replace(&mut self, bytes: Zeroizing<Vec<u8>>) -> Piece {
        self.remember(bytes.clone());
        let piece = Piece {
            sequence: self.sequence(),
            bytes,
        };
        self.advance(piece.bytes.len());
        piece
    }

    /// Goes over a head that has gone on by itself in another form, and over its body; gives what of the body is held
    /// already, which has not.
    pub(super) fn skip_request(&mut self, head: Zeroizing<Vec<u8>>, body: u64) -> Vec<Piece> {
        let length = head.len() as u64;
        self.remember(head);
        // What is held of the head is not what has gone on.
        drop(self.skip(length));
        self.skip(body)
    }

    fn remember(&mut self, head: Zeroizing<Vec<u8>>) {
        while self.rewritten.len() == HISTORY
            || (!self.rewritten.is_empty() && self.remembered() + head.len() > HISTORY_LEN)
        {
            self.forget_oldest();
        }
        self.rewritten.push_back((self.cursor, head));
    }

    /// Forgets the heads before a sequence number, up to which the gateway has received everything: it would throw away
    /// what comes of them again.
    pub(super) fn forget_before(&mut self, sequence: u32) {
        let Some(end) = self.place_of(sequence) else {
            return;
        };
        while let Some((place, head)) = self.rewritten.front()
            && place + head.len() as u64 <= end
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((place, oldest)) = self.rewritten.pop_front() {
            self.forgotten = place + oldest.len() as u64;
        }
    }

    /// Goes over bytes that pass by themselves; gives those of them that are held already, which do not.
    pub(super) fn skip(&mut self, length: u64) -> Vec<Piece> {
        let start = self.cursor;
        let ready = self.ready.take();
        self.looked = 0;
        if !ready.is_empty() {
            self.ahead.insert(start, ready);
        }
        self.cursor += length;
        let cursor = self.cursor;
        let mut skipped = Vec::new();
        for (place, bytes) in std::mem::take(&mut self.ahead) {
            let old = usize::try_from(cursor.saturating_sub(place))
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            let (over, new) = bytes.split_at(old);
            // What lies before the start was ready, or repeats what was.
            let known = usize::try_from(start.saturating_sub(place)).unwrap_or(usize::MAX);
            if let Some(over) = over.get(known..).filter(|over| !over.is_empty()) {
                skipped.push(Piece {
                    sequence: self.sequence_of(place + known as u64),
                    bytes: Zeroizing::new(over.to_vec()),
                });
            }
            if !new.is_empty() {
                self.keep(place + old as u64, new);
            }
        }
        skipped
    }

    fn advance(&mut self, length: usize) {
        self.cursor += length as u64;
        self.ready.advance(length);
        self.looked = 0;
    }
}

#[cfg(test)]
mod tests;
