//! Bytes that come at the end and go at the start, without being copied for each that does. What has gone is
//! overwritten at once.
use zeroize::{Zeroize as _, Zeroizing};

/// The bytes.
#[derive(Default)]
pub(super) struct Buffer {
    bytes: Zeroizing<Vec<u8>>,
    /// Where those start that have not gone.
    start: usize,
}

impl Buffer {
    /// Those that have not gone.
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// How many have not gone.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Adds some at the end.
    pub(super) fn append(&mut self, new: &[u8]) {
        let length = self.len() + new.len();
        if self.bytes.len() + new.len() > self.bytes.capacity() {
            // A new vector instead of one that grows: growing would leave a copy behind. With room for more, so that
            // many small pieces are not copied once a piece.
            let room = if self.len() == 0 { length } else { 2 * length };
            let mut larger = Zeroizing::new(Vec::with_capacity(room));
            larger.extend_from_slice(self.as_slice());
            self.bytes = larger;
            self.start = 0;
        }
        self.bytes.extend_from_slice(new);
    }

    /// Lets so many go at the start, at most those that there are.
    pub(super) fn advance(&mut self, length: usize) {
        let end = (self.start + length).min(self.bytes.len());
        self.bytes[self.start..end].zeroize();
        self.start = end;
        if self.len() == 0 {
            *self = Self::default();
        }
    }

    /// All that have not gone.
    pub(super) fn take(&mut self) -> Zeroizing<Vec<u8>> {
        let Self { mut bytes, start } = std::mem::take(self);
        if start != 0 {
            bytes.drain(..start);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_in_the_order_in_which_they_came() {
        let mut buffer = Buffer::default();
        buffer.append(b"abc");
        buffer.advance(1);
        buffer.append(b"de");
        assert_eq!((buffer.as_slice(), buffer.len()), (b"bcde".as_slice(), 4));
        buffer.advance(2);
        assert_eq!(buffer.take().as_slice(), b"de");
        assert_eq!(buffer.len(), 0);
    }

    #[test]
    fn what_has_gone_is_overwritten() {
        let mut buffer = Buffer::default();
        buffer.append(b"a key and more");
        buffer.advance(5);
        assert_eq!(buffer.bytes.as_slice(), b"\0\0\0\0\0 and more");
    }

    #[test]
    fn many_small_pieces_are_copied_a_few_times_and_not_once_a_piece() {
        let mut buffer = Buffer::default();
        let mut places = std::collections::HashSet::new();
        for _ in 0..10_000 {
            buffer.append(b"x");
            places.insert(buffer.bytes.capacity());
        }
        assert!(places.len() < 20, "{places:?}");
    }
}
