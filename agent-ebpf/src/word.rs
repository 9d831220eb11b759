//! Words out of bytes, wherever they stand, each by one instruction: for bytes that may lie at any address the
//! compiler loads one by one, though the kernel of a machine that can load words from there lets programs do so.

use core::hint::black_box;

/// Four bytes as a number, the first of them its lowest.
#[must_use]
#[inline(always)]
pub fn of_four(bytes: &[u8; 4]) -> u32 {
    #[cfg(target_arch = "bpf")]
    {
        let word: u64;
        // SAFETY: reads the four bytes of a reference, whose address the verifier checks.
        unsafe {
            core::arch::asm!(
                "{word} = *(u32 *)({bytes} + 0)",
                bytes = in(reg) bytes.as_ptr(),
                word = lateout(reg) word,
                options(pure, readonly, nostack),
            );
        }
        word as u32
    }
    #[cfg(not(target_arch = "bpf"))]
    u32::from_le_bytes(*bytes)
}

/// One where a byte is among eight others, else zero; no branch, either way of which the verifier would follow.
#[must_use]
#[inline(always)]
pub fn has(byte: u8, bytes: &[u8; 8]) -> u32 {
    const LOWEST: u64 = u64::from_ne_bytes([1; 8]);
    let difference = of_eight(bytes) ^ (LOWEST * byte as u64);
    let zeros = difference.wrapping_sub(LOWEST) & !difference & (LOWEST << 7);
    // Its bits all come down to the lowest.
    (black_box(zeros | zeros.wrapping_neg()) >> 63) as u32
}

/// Eight bytes as a number, the first of them its lowest.
#[must_use]
#[inline(always)]
pub fn of_eight(bytes: &[u8; 8]) -> u64 {
    #[cfg(target_arch = "bpf")]
    {
        let word: u64;
        // SAFETY: reads the eight bytes of a reference, whose address the verifier checks.
        unsafe {
            core::arch::asm!(
                "{word} = *(u64 *)({bytes} + 0)",
                bytes = in(reg) bytes.as_ptr(),
                word = lateout(reg) word,
                options(pure, readonly, nostack),
            );
        }
        word
    }
    #[cfg(not(target_arch = "bpf"))]
    u64::from_le_bytes(*bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_found_at_any_place_of_a_word() {
        for place in 0..8 {
            let mut bytes = *b"!aA\x21\xa0\x00\xff?";
            assert_eq!(has(b' ', &bytes), 0);
            bytes[place] = b' ';
            assert_eq!(has(b' ', &bytes), 1, "{place}");
        }
    }
}
