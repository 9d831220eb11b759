//! A first look for requests that stand behind one for something else, and for headers that carry keys: of most segments
//! a few bytes tell that there are none.
//!
//! Samples are taken at equal distances. Wherever the end of a request line or such a header's name stands, one of them is
//! a part of it.

use crate::{HeaderName, NAME_LEN, search::VERSION, word};

/// Bytes of a sample.
pub const LEN: usize = 4;
/// How far apart the starts of two samples are, in bytes.
pub const DISTANCE: usize = 6;
/// A sample may be of a key header's name.
pub const KEY: u8 = 1;
/// A sample may be of a request line's end.
pub const LINE: u8 = 1 << 1;
const HASH_BITS: u32 = 14;
const TABLE_LEN: usize = 1 << HASH_BITS;
/// The bit that lower-case letters have and upper-case ones have not, but for a sample's second byte: by that HTTP is told
/// from its name in lower case, which is a part of many a word.
const LOWER_CASE: u32 = 0x2020_0020;
/// The first multiplier of MurmurHash3's last step (<https://github.com/aappleby/smhasher>): with it no sample of what
/// clients usually send is taken for another.
const MIX: u32 = 0x85eb_ca6b;

/// By hash, what a sample may be of: [`KEY`], [`LINE`], both or neither.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Samples([u8; TABLE_LEN]);
crate::plain!(Samples, 16384);

impl Samples {
    /// Those of request lines' ends, and of the headers' names with their colons in any letter case. Where one of these
    /// is too short to have a sample wherever it stands, any may be of it.
    #[must_use]
    pub fn of(headers: &[HeaderName]) -> Self {
        let mut samples = Self([0; TABLE_LEN]);
        for minor in b'0'..=b'9' {
            let mut end = [minor; VERSION.len() + 1];
            end[..VERSION.len()].copy_from_slice(VERSION);
            samples.add(&end, LINE);
        }
        for header in headers {
            let length = header.length as usize;
            let mut name = [b':'; NAME_LEN + 1];
            name[..length].copy_from_slice(&header.bytes[..length]);
            let name = &mut name[..=length];
            samples.add(name, KEY);
            name.make_ascii_uppercase();
            samples.add(name, KEY);
        }
        samples
    }

    fn add(&mut self, text: &[u8], what: u8) {
        let windows = text.windows(LEN);
        if windows.len() < DISTANCE {
            self.0.iter_mut().for_each(|slot| *slot |= what);
        }
        for sample in windows.take(DISTANCE).filter_map(|it| it.first_chunk()) {
            self.0[place(sample)] |= what;
        }
    }

    /// What may be in some bytes, by the samples from their first byte on.
    #[must_use]
    #[inline(always)]
    pub fn found_in<const N: usize>(&self, bytes: &[u8; N]) -> u8 {
        let mut found = 0;
        for number in 0..count(N) {
            if let Some(sample) = bytes[number * DISTANCE..].first_chunk() {
                // No branch: the verifier would follow each.
                found |= self.0[place(sample)];
            }
        }
        found
    }

    /// What is found in bytes by the samples that end with their last byte, down to the first that is at a place or before
    /// it.
    #[must_use]
    #[inline(always)]
    pub fn found_at_end<const N: usize>(&self, bytes: &[u8; N], from: u32) -> u8 {
        let mut found = 0;
        for number in 0..count(N) {
            let start = N - LEN - number * DISTANCE;
            if let Some(sample) = bytes[start..].first_chunk() {
                // All ones where the one behind it is at that place already, or before.
                let is_before = ((start + DISTANCE - 1) as i32 - from as i32) >> 31;
                found |= self.0[place(sample)] & !(is_before as u8);
            }
        }
        found
    }
}

/// How many samples are taken of so many bytes.
#[must_use]
pub const fn count(length: usize) -> usize {
    (length - LEN) / DISTANCE + 1
}

#[inline(always)]
fn place(sample: &[u8; LEN]) -> usize {
    let hash = (word::of_four(sample) | LOWER_CASE).wrapping_mul(MIX);
    (hash >> (u32::BITS - HASH_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEXT: &str = "X-RsFaaS-Next-Key";

    fn samples(name: &str) -> Samples {
        Samples::of(&[name, NEXT].map(|name| HeaderName::new(name).unwrap()))
    }

    /// What is found of a text at any place where samples are taken, in either way.
    fn found(text: &str, name: &str) -> Vec<u8> {
        let samples = samples(name);
        let mut found = Vec::new();
        for place in DISTANCE..=128 - text.len() {
            let mut bytes = [b' '; 128];
            bytes[place..place + text.len()].copy_from_slice(text.as_bytes());
            if place + LEN + DISTANCE - 1 <= (count(128) - 1) * DISTANCE + LEN {
                found.push(samples.found_in(&bytes));
            }
            found.push(samples.found_at_end(&bytes, place as u32));
            let behind = (place + text.len() + DISTANCE) as u32;
            assert_eq!(samples.found_at_end(&bytes, behind), 0, "{behind}");
        }
        found
    }

    #[test]
    fn a_name_is_not_missed_wherever_it_stands_and_in_whatever_letter_case() {
        let long = "a-header-whose-name-is-rather-long";
        for name in ["X-RsFaaS-Key", "authorization", long] {
            for text in [name, NEXT, &name.to_uppercase(), &name.to_lowercase()] {
                let found = found(&format!("{text}:"), name);
                assert!(found.iter().all(|it| it & KEY != 0), "{text}");
            }
        }
    }

    #[test]
    fn a_name_that_is_too_short_may_be_anywhere() {
        assert!(samples("Key").found_in(&[b' '; 4]) & KEY != 0);
    }

    #[test]
    fn a_request_lines_end_is_not_missed_wherever_it_stands() {
        for end in [" HTTP/1.1\r\n", " HTTP/1.0\n"] {
            let found = found(end, "X-RsFaaS-Key");
            assert!(found.iter().all(|it| it & LINE != 0), "{end:?}");
        }
    }

    #[test]
    fn usual_heads_have_no_sample_of_the_usual_name() {
        let head = b"POST /function/other HTTP/1.1\r\nHost: gateway:8080\r\nUser-Agent: python-requests/2.28.1\r\n\
                     Accept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\n\
                     Content-Type: application/json\r\nContent-Length: 17\r\n\r\n{\"word\": \"night\"}";
        let samples = samples("X-RsFaaS-Key");
        let behind_line = &head["POST /function/other HTTP/1.".len()..];
        for window in behind_line.windows(LEN).filter_map(|it| it.first_chunk()) {
            assert_eq!(samples.found_in::<LEN>(window), 0, "{window:?}");
        }
    }
}
