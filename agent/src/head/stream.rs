//! A connection's client bytes in order: what was held, where it starts, what has gone on already.
use std::collections::{BTreeMap, VecDeque};

use zeroize::Zeroizing;

/// Most bytes that are kept of a connection while it waits, 1 MiB. What comes beyond is dropped, and
/// sent again by the client.
const CAPACITY: usize = 1 << 20;
/// Rewritten heads that are kept for retransmissions.
const HISTORY: usize = 64;

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
    ready: Zeroizing<Vec<u8>>,
    /// What is held behind a gap.
    ahead: BTreeMap<u64, Zeroizing<Vec<u8>>>,
    /// Heads that went on in another form.
    rewritten: VecDeque<(u64, Zeroizing<Vec<u8>>)>,
    /// What lies before this place is no longer known.
    forgotten: u64,
}

impl Stream {
    /// A stream whose first held byte has a sequence number.
    pub(super) fn new(base: u32) -> Self {
        Self {
            base,
            cursor: 0,
            ready: Zeroizing::default(),
            ahead: BTreeMap::new(),
            rewritten: VecDeque::new(),
            forgotten: 0,
        }
    }

    /// What is held from the cursor on.
    pub(super) fn ready(&self) -> &[u8] {
        &self.ready
    }

    /// The cursor's sequence number.
    pub(super) fn sequence(&self) -> u32 {
        self.sequence_of(self.cursor)
    }

    /// Whether the byte at a sequence number is one that has gone on.
    pub(super) fn has_gone_on(&self, sequence: u32) -> bool {
        (sequence.wrapping_sub(self.sequence()) as i32) < 0
    }

    fn sequence_of(&self, place: u64) -> u32 {
        // Truncation is meant: sequence numbers wrap around.
        self.base.wrapping_add(place as u32)
    }

    /// Takes in a segment. What of it has gone on already comes back in the form in which it did.
    pub(super) fn insert(&mut self, sequence: u32, payload: &[u8]) -> Option<Piece> {
        let distance = sequence.wrapping_sub(self.sequence()) as i32;
        let Some(start) = self.cursor.checked_add_signed(i64::from(distance)) else {
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
        let mut bytes = Zeroizing::new(payload[..length].to_vec());
        for (place, head) in &self.rewritten {
            let end = place + head.len() as u64;
            let (from, to) = (start.max(*place), (start + length as u64).min(end));
            if from < to {
                let target = (from - start) as usize..(to - start) as usize;
                let source = (from - place) as usize..(to - place) as usize;
                bytes[target].copy_from_slice(&head[source]);
            }
        }
        Some(Piece {
            sequence: self.sequence_of(start),
            bytes,
        })
    }

    fn keep(&mut self, place: u64, bytes: &[u8]) {
        let waiting: usize = self.ahead.values().map(|bytes| bytes.len()).sum();
        if self.ready.len() + waiting + bytes.len() > CAPACITY {
            return;
        }
        let end = self.cursor + self.ready.len() as u64;
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
        let Some(new) = bytes.get(known..) else {
            return;
        };
        // A new vector instead of one that grows: growing would leave a copy behind.
        let mut joined = Zeroizing::new(Vec::with_capacity(self.ready.len() + new.len()));
        joined.extend_from_slice(&self.ready);
        joined.extend_from_slice(new);
        self.ready = joined;
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
            bytes: Zeroizing::new(self.ready[..length].to_vec()),
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
        if self.rewritten.len() == HISTORY
            && let Some((place, oldest)) = self.rewritten.pop_front()
        {
            self.forgotten = place + oldest.len() as u64;
        }
        self.rewritten.push_back((self.cursor, head));
    }

    /// Goes over bytes that pass by themselves; gives those of them that are held already, which do not.
    pub(super) fn skip(&mut self, length: u64) -> Vec<Piece> {
        let start = self.cursor;
        let ready = std::mem::take(&mut self.ready);
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
        self.ready = Zeroizing::new(self.ready[length..].to_vec());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_come_in_order_whatever_the_order_of_the_segments() {
        let mut stream = Stream::new(u32::MAX - 2);
        assert!(stream.insert(u32::MAX - 2, b"ab").is_none());
        assert!(stream.insert(4, b"hij").is_none());
        assert_eq!(stream.ready(), b"ab");
        assert!(stream.insert(u32::MAX, b"cdefgh").is_none());
        assert_eq!(stream.ready(), b"abcdefghij");
    }

    #[test]
    fn of_a_request_that_has_gone_on_by_itself_only_the_body_comes_back() {
        let mut stream = Stream::new(100);
        stream.insert(100, b"he");
        stream.insert(103, b"dbo");
        stream.insert(107, b"yNEXT");
        let held = stream.skip_request(Zeroizing::new(b"HEAD".to_vec()), 4);
        let held: Vec<_> = held
            .iter()
            .map(|piece| (piece.sequence, piece.bytes.as_slice()))
            .collect();
        assert_eq!(held, [(104, b"bo".as_slice()), (107, b"y")]);
        assert_eq!(
            (stream.sequence(), stream.ready()),
            (108, b"NEXT".as_slice())
        );
        let again = stream.insert(100, b"head").unwrap();
        assert_eq!(again.bytes.as_slice(), b"HEAD");
    }

    #[test]
    fn a_retransmission_of_a_rewritten_head_comes_back_rewritten() {
        let mut stream = Stream::new(100);
        stream.insert(100, b"headbody");
        stream.replace(Zeroizing::new(b"HEAD".to_vec()));
        stream.pass(4);
        let again = stream.insert(102, b"adbo").unwrap();
        assert_eq!(
            (again.sequence, again.bytes.as_slice()),
            (102, b"ADbo".as_slice())
        );
        assert!(stream.ready().is_empty());
    }

    #[test]
    fn a_segment_may_repeat_old_bytes_and_bring_new_ones() {
        let mut stream = Stream::new(0);
        stream.insert(0, b"abc");
        stream.pass(3);
        let again = stream.insert(1, b"bcde").unwrap();
        assert_eq!(again.bytes.as_slice(), b"bc");
        assert_eq!(stream.ready(), b"de");
    }

    #[test]
    fn bytes_that_pass_by_themselves_are_gone_over() {
        let mut stream = Stream::new(0);
        stream.insert(8, b"next");
        assert!(stream.skip(8).is_empty());
        assert_eq!(stream.ready(), b"next");
        assert_eq!(stream.sequence(), 8);
    }

    #[test]
    fn bytes_held_behind_a_gap_do_not_stay_behind_when_they_are_gone_over() {
        let mut stream = Stream::new(u32::MAX);
        stream.insert(u32::MAX, b"a");
        stream.pass(1);
        stream.insert(2, b"cd");
        stream.insert(6, b"ghij");
        let skipped = stream.skip(8);
        let places: Vec<(u32, &[u8])> = skipped
            .iter()
            .map(|piece| (piece.sequence, piece.bytes.as_slice()))
            .collect();
        assert_eq!(places, [(2, b"cd".as_slice()), (6, b"gh")]);
        assert_eq!((stream.sequence(), stream.ready()), (8, b"ij".as_slice()));
    }

    #[test]
    fn more_than_the_capacity_is_left_to_the_client() {
        let mut stream = Stream::new(0);
        stream.insert(0, &vec![1; CAPACITY]);
        stream.insert(u32::try_from(CAPACITY).unwrap(), b"x");
        assert_eq!(stream.ready().len(), CAPACITY);
    }

    proptest! {
        #[test]
        fn any_cuts_in_any_order_give_the_same_bytes(
            base in any::<u32>(),
            order in Just((0..40_usize).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let text: Vec<u8> = (0..200).collect();
            let mut stream = Stream::new(base);
            // The first byte is where the stream starts, so that it is held first.
            stream.insert(base, &text[..1]);
            for piece in order {
                let (start, end) = (piece * 5, (piece * 5 + 9).min(text.len()));
                stream.insert(base.wrapping_add(start as u32), &text[start..end]);
            }
            prop_assert_eq!(stream.ready(), text.as_slice());
        }
    }
}
