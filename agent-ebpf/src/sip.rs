//! SipHash-2-4 with 128 bits of output (Aumasson and Bernstein, <https://www.aumasson.jp/siphash/siphash.pdf>; the
//! longer output as in the authors' reference code), word by word: what the verifier can follow, and the agent
//! computes the same.

/// A key.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SipKey(pub [u64; 2]);
crate::plain!(SipKey, 16);

/// A hash under way.
#[derive(Clone, Copy)]
pub struct SipHash {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl SipHash {
    /// Begins one.
    #[must_use]
    #[inline(always)]
    pub const fn new(SipKey([k0, k1]): SipKey) -> Self {
        Self {
            v0: k0 ^ 0x736f_6d65_7073_6575,
            v1: k1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
            v2: k0 ^ 0x6c79_6765_6e65_7261,
            v3: k1 ^ 0x7465_6462_7974_6573,
        }
    }

    /// Takes in the next eight bytes, as a little-endian number.
    #[must_use]
    #[inline(always)]
    pub const fn and(mut self, word: u64) -> Self {
        self.v3 ^= word;
        self = self.round().round();
        self.v0 ^= word;
        self
    }

    /// Takes in what is left, fewer than eight bytes with zeros behind them, and gives the hash of `length` bytes in
    /// all.
    #[must_use]
    #[inline(always)]
    pub const fn finish(self, rest: u64, length: u64) -> [u64; 2] {
        let mut state = self.and(rest | length << 56);
        state.v2 ^= 0xee;
        state = state.round().round().round().round();
        let first = state.output();
        state.v1 ^= 0xdd;
        state = state.round().round().round().round();
        [first, state.output()]
    }

    #[inline(always)]
    const fn output(self) -> u64 {
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }

    #[inline(always)]
    const fn round(mut self) -> Self {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v2 = self.v2.rotate_left(32);
        self
    }
}

/// The hash of some bytes.
#[must_use]
pub fn hash(key: SipKey, bytes: &[u8]) -> [u64; 2] {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    words
        .iter()
        .fold(SipHash::new(key), |hash, word| {
            hash.and(u64::from_le_bytes(*word))
        })
        .finish(u64::from_le_bytes(last), bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first vectors of the reference code: the key 00 01 .. 0f, and as many bytes 00 01 ..
    #[test]
    fn bytes_are_hashed_as_by_the_reference_code() {
        let key = SipKey([0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908]);
        let vectors: [(&[u8], [u8; 16]); 2] = [
            (
                &[],
                [
                    0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7,
                    0x55, 0x02, 0x93,
                ],
            ),
            (
                &[0],
                [
                    0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b,
                    0x22, 0xfc, 0x45,
                ],
            ),
        ];
        for (bytes, expected) in vectors {
            let words = hash(key, bytes).map(u64::to_le_bytes);
            assert_eq!(words.concat(), expected);
        }
    }

    #[test]
    fn every_byte_counts_and_so_does_the_length() {
        let key = SipKey([1, 2]);
        let bytes = [0; 24];
        let known = hash(key, &bytes);
        for place in 0..bytes.len() {
            let mut other = bytes;
            other[place] = 1;
            assert_ne!(hash(key, &other), known);
            assert_ne!(hash(key, &bytes[..place]), known);
        }
        assert_ne!(hash(SipKey([1, 3]), &bytes), known);
    }
}
