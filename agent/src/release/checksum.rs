//! The Internet checksum (RFC 1071).

/// A sum in the making; bytes are taken as big-endian 16-bit words.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Checksum(u64);

impl Checksum {
    /// Adds bytes; an odd one at the end counts as the high half of a word.
    pub(super) fn add(mut self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<2>();
        for word in words {
            self.0 += u64::from(u16::from_be_bytes(*word));
        }
        if let [last] = rest {
            self.0 += u64::from(*last) << 8;
        }
        self
    }

    /// The checksum to be written.
    pub(super) fn finish(self) -> [u8; 2] {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        // At most 16 bits are left.
        (!(sum as u16)).to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071_gives_its_sum() {
        let sum = Checksum::default()
            .add(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7])
            .finish();
        assert_eq!(sum, [!0xdd, !0xf2]);
    }

    #[test]
    fn bytes_with_their_own_checksum_sum_to_zero() {
        let bytes = [0x45, 0, 0, 0x3c, 0x1c, 0x46];
        let sum = Checksum::default().add(&bytes).finish();
        assert_eq!(Checksum::default().add(&bytes).add(&sum).finish(), [0, 0]);
    }

    #[test]
    fn an_odd_byte_counts_as_the_high_half() {
        assert_eq!(
            Checksum::default().add(&[1]).finish(),
            Checksum::default().add(&[1, 0]).finish()
        );
    }
}
