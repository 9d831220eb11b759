//! The Internet checksum (RFC 1071).

/// A sum in the making; bytes are taken as big-endian 16-bit words.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Checksum(u64);

impl Checksum {
    /// Adds bytes; an odd one at the end counts as the high half of a word.
    pub(crate) fn add(mut self, bytes: &[u8]) -> Self {
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
    pub(crate) fn finish(self) -> [u8; 2] {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        // At most 16 bits are left.
        (!(sum as u16)).to_be_bytes()
    }
}

/// The checksum of some bytes.
#[cfg(feature = "host")]
pub(crate) fn checksum(bytes: &[u8]) -> [u8; 2] {
    Checksum::default().add(bytes).finish()
}

/// By how much a sum changes that has these bytes in place of others with this checksum (RFC 1624, equation 3): in
/// the machine's byte order, as the kernel adds it.
#[cfg(feature = "host")]
pub(crate) fn difference(others: [u8; 2], bytes: &[u8]) -> u32 {
    let sum = Checksum::default().add(bytes).add(&others).finish();
    u32::from(!u16::from_ne_bytes(sum))
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

    #[test]
    fn the_difference_leads_from_one_sum_to_the_other() {
        let (before, after) = (b"GET /a HTTP/1.1\r\n", b"GET /b HTTP/1.0\r\n");
        let difference = difference(checksum(before), after).to_ne_bytes();
        // Sixteen bits of it, in the machine's order.
        let place = if cfg!(target_endian = "little") { 0 } else { 2 };
        let sum = Checksum::default()
            .add(before)
            .add(&difference[place..place + 2]);
        assert_eq!(sum.finish(), checksum(after));
    }
}
