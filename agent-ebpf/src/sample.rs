//! A first look for the headers that carry keys, behind a request for something else: of most segments a few bytes tell
//! that there are none.
//!
//! Samples are taken at equal distances. Wherever such a header's name stands, one of them is a part of it.

use crate::{HeaderName, NAME_LEN};

/// Bytes of a sample.
pub const LEN: usize = 4;
/// How far apart the starts of two samples are, in bytes.
pub const DISTANCE: usize = 10;
const HASH_BITS: u32 = 14;
const TABLE_LEN: usize = 1 << HASH_BITS;
/// The bit that lower-case letters have and upper-case ones have not.
const LOWER_CASE: u32 = 0x2020_2020;
/// 2^32 divided by the golden ratio: multiplied by it, neighbours end far apart (Knuth, The Art of Computer Programming,
/// volume 3, section 6.4).
const GOLDEN: u32 = 0x9e37_79b1;

/// By hash, not zero where a sample may be of a name. So many numbers, since a large body has hundreds of samples.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Samples([u8; TABLE_LEN]);
crate::plain!(Samples, 16384);

impl Samples {
    /// Those of the headers' names with their colons, in any letter case. Where one is too short to have a sample wherever
    /// it stands, any may be of it.
    #[must_use]
    pub fn of(headers: &[HeaderName]) -> Self {
        let mut table = [0; TABLE_LEN];
        for header in headers {
            let mut name = [b':'; NAME_LEN + 1];
            let length = header.length as usize;
            name[..length].copy_from_slice(&header.bytes[..length]);
            let windows = name[..=length].windows(LEN);
            if windows.len() < DISTANCE {
                return Self([1; TABLE_LEN]);
            }
            for sample in windows.take(DISTANCE).filter_map(|it| it.first_chunk()) {
                table[place(*sample)] = 1;
            }
        }
        Self(table)
    }

    /// Whether a name may start in some bytes, those left out at the end that make no distance.
    #[must_use]
    #[inline(always)]
    pub fn may_be_in<const N: usize>(&self, bytes: &[u8; N]) -> bool {
        let mut found = 0;
        for number in 0..N / DISTANCE {
            let start = number * DISTANCE;
            let sample = [
                bytes[start],
                bytes[start + 1],
                bytes[start + 2],
                bytes[start + 3],
            ];
            // No branch: the verifier would follow each.
            found |= self.0[place(sample)];
        }
        found != 0
    }
}

#[inline(always)]
fn place(sample: [u8; LEN]) -> usize {
    let hash = (u32::from_le_bytes(sample) | LOWER_CASE).wrapping_mul(GOLDEN);
    (hash >> (u32::BITS - HASH_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEXT: &str = "X-RsFaaS-Next-Key";

    fn samples(name: &str) -> Samples {
        Samples::of(&[name, NEXT].map(|name| HeaderName::new(name).unwrap()))
    }

    #[test]
    fn a_name_is_not_missed_wherever_it_stands_and_in_whatever_letter_case() {
        let long = "a-header-whose-name-is-rather-long";
        for name in ["X-RsFaaS-Key", "Key", "authorization", long] {
            let samples = samples(name);
            for before in 0..40 {
                for name in [name, NEXT]
                    .map(str::to_owned)
                    .into_iter()
                    .chain([name.to_uppercase()])
                {
                    let mut text = [b' '; 100];
                    text[before..before + name.len()].copy_from_slice(name.as_bytes());
                    text[before + name.len()] = b':';
                    assert!(samples.may_be_in(&text), "{name} behind {before}");
                }
            }
        }
    }

    #[test]
    fn usual_heads_have_no_sample_of_the_usual_name() {
        let head = b"POST /function/other HTTP/1.1\r\nHost: gateway:8080\r\nUser-Agent: python-requests/2.28.1\r\n\
                     Accept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\n\
                     Content-Type: application/json\r\nContent-Length: 17\r\n\r\n{\"word\": \"night\"}";
        let samples = samples("X-RsFaaS-Key");
        for window in head
            .windows(DISTANCE)
            .filter_map(|it| it.first_chunk::<DISTANCE>())
        {
            assert!(!samples.may_be_in(window), "{window:?}");
        }
    }
}
