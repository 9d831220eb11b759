//! Going over bytes: slices as they are, streams in pieces that overlap.
use std::{
    fmt::Display,
    io::{self, ErrorKind, Read},
};

use super::{Hit, Needles, Unsearchable};

/// Bytes that are read at a time.
const PIECE: usize = 1 << 20;
/// Hits of a place that are told one by one; the rest is counted.
const TOLD: usize = 1000;

/// The search of one place.
pub struct Scan<'a> {
    needles: &'a Needles,
    buffer: Vec<u8>,
    /// Things that were searched: files, processes, maps.
    pub(super) items: u64,
    /// Bytes that were searched.
    pub(super) bytes: u64,
    pub(super) hits: Vec<Hit>,
    pub(super) hit_count: u64,
    pub(super) marker: bool,
    /// What could not be searched.
    pub(super) failures: Vec<String>,
}

impl<'a> Scan<'a> {
    pub(super) fn new(needles: &'a Needles) -> Self {
        Self {
            needles,
            buffer: Vec::new(),
            items: 0,
            bytes: 0,
            hits: Vec::new(),
            hit_count: 0,
            marker: false,
            failures: Vec::new(),
        }
    }

    /// Counts something that is searched.
    pub fn item(&mut self) {
        self.items += 1;
    }

    /// Notes a part of the place that could not be searched; the others can be all the same.
    pub fn failed(&mut self, failure: &Unsearchable) {
        self.failures.push(failure.to_string());
    }

    /// Searches bytes that start `offset` bytes into a thing.
    pub fn bytes(&mut self, at: &dyn Display, offset: u64, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.look(at, offset, bytes);
    }

    /// Searches a stream to its end, which starts `offset` bytes into a thing; how long it is.
    ///
    /// # Errors
    /// When it cannot be read; what came before has been searched.
    pub fn stream(
        &mut self,
        at: &dyn Display,
        offset: u64,
        mut stream: impl Read,
    ) -> io::Result<u64> {
        let overlap = Needles::longest() - 1;
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(overlap + PIECE, 0);
        let (mut kept, mut read) = (0, 0);
        let result = loop {
            let (length, filled) = fill(&mut stream, &mut buffer[kept..]);
            let end = kept + length;
            self.bytes += length as u64;
            self.look(at, offset + read - kept as u64, &buffer[..end]);
            read += length as u64;
            // Less than a needle, so that none is found twice.
            kept = overlap.min(end);
            buffer.copy_within(end - kept..end, 0);
            match filled {
                Err(error) => break Err(error),
                Ok(()) if length == 0 => break Ok(read),
                Ok(()) => {}
            }
        };
        self.buffer = buffer;
        result
    }

    fn look(&mut self, at: &dyn Display, offset: u64, bytes: &[u8]) {
        for found in self.needles.find(bytes) {
            let (secret, marker) = self.needles.secret(found.secret);
            if marker {
                self.marker = true;
                continue;
            }
            self.hit_count += 1;
            if self.hits.len() < TOLD {
                self.hits.push(Hit {
                    secret,
                    spelling: found.spelling,
                    at: at.to_string(),
                    offset: offset + found.offset as u64,
                });
            }
        }
    }
}

/// Fills a buffer as far as the stream goes; how far that is, and how it ended there. An error need not come again.
fn fill(stream: &mut impl Read, buffer: &mut [u8]) -> (usize, io::Result<()>) {
    let mut filled = 0;
    while filled < buffer.len() {
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (filled, Err(error)),
        }
    }
    (filled, Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canary::Secret;

    const SECRET: &[u8] = b"sixteen and more";

    fn needles() -> Needles {
        Needles::new(vec![Secret::new("source", SECRET).unwrap()]).unwrap()
    }

    /// Gives a byte at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.0.len().min(buffer.len()).min(1);
            self.0.read(&mut buffer[..length])
        }
    }

    #[test]
    fn a_secret_across_two_pieces_is_found_once_and_where_it_is() {
        let needles = needles();
        for place in [0, 5, PIECE - 8, PIECE, PIECE + 14, 2 * PIECE - 3] {
            let mut bytes = vec![b'x'; 2 * PIECE + 40];
            bytes[place..place + SECRET.len()].copy_from_slice(SECRET);
            let mut scan = Scan::new(&needles);
            let length = scan.stream(&"stream", 1000, bytes.as_slice()).unwrap();
            assert_eq!(
                (length, scan.bytes),
                (bytes.len() as u64, bytes.len() as u64)
            );
            let places: Vec<u64> = scan.hits.iter().map(|hit| hit.offset).collect();
            assert_eq!(places, [1000 + place as u64]);
        }
    }

    #[test]
    fn a_stream_that_gives_little_at_a_time_is_searched_to_its_end() {
        let needles = needles();
        let mut scan = Scan::new(&needles);
        let bytes = [b"before ", SECRET].concat();
        scan.stream(&"stream", 0, Slow(&bytes)).unwrap();
        assert_eq!(scan.hit_count, 1);
    }

    #[test]
    fn an_error_behind_some_bytes_is_told_once_they_are_searched() {
        /// Tells of its error once, and is at its end then.
        struct Broken<'a>(&'a [u8], bool);

        impl Read for Broken<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                match self.0.read(buffer) {
                    Ok(0) if !std::mem::replace(&mut self.1, true) => {
                        Err(ErrorKind::InvalidData.into())
                    }
                    read => read,
                }
            }
        }

        let needles = needles();
        let mut scan = Scan::new(&needles);
        let error = scan
            .stream(&"stream", 0, Broken(SECRET, false))
            .unwrap_err();
        assert_eq!((error.kind(), scan.hit_count), (ErrorKind::InvalidData, 1));
    }

    #[test]
    fn hits_beyond_those_that_are_told_are_counted() {
        let needles = needles();
        let mut scan = Scan::new(&needles);
        scan.bytes(&"memory", 0, &SECRET.repeat(TOLD + 3));
        assert_eq!((scan.hits.len(), scan.hit_count), (TOLD, TOLD as u64 + 3));
    }
}
