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
    is_any(places(byte, of_eight(bytes)))
}

/// One where one of two bytes is among eight others before the first of a third one, else zero; no branch either.
#[must_use]
#[inline(always)]
pub fn has_before(end: u8, wanted: [u8; 2], bytes: &[u8; 8]) -> u32 {
    let word = of_eight(bytes);
    let ends = places(end, word);
    let before = (ends & ends.wrapping_neg()).wrapping_sub(1);
    is_any((places(wanted[0], word) | places(wanted[1], word)) & before)
}

const LOWEST: u64 = u64::from_ne_bytes([1; 8]);

/// The highest bit of each place in a word where a byte is; behind the first of them, there may be others.
#[inline(always)]
fn places(byte: u8, word: u64) -> u64 {
    let difference = word ^ (LOWEST * byte as u64);
    difference.wrapping_sub(LOWEST) & !difference & (LOWEST << 7)
}

/// One where any bit is set: they all come down to the lowest.
#[inline(always)]
fn is_any(bits: u64) -> u32 {
    (black_box(bits | bits.wrapping_neg()) >> 63) as u32
}

/// Bytes of the words before the first with a space, from a word on.
#[must_use]
#[inline(always)]
pub fn length_before_space(words: &[[u8; 8]], first: u32) -> u32 {
    let (mut length, mut is_before) = (0, 1);
    for (number, word) in words.iter().enumerate() {
        is_before &= 1 ^ (has(b' ', word) & is_at_most(first, number as u32));
        length += 8 * is_before;
    }
    length
}

/// Whether a target's rest, whose words before that with a space have a length, can have neither a dot segment nor an
/// encoded one: it has neither such bytes, nor more words.
#[must_use]
#[inline(always)]
pub fn is_clean_path(words: &[[u8; 8]], length: u32) -> bool {
    let (mut needs_path_cleaning, mut start) = (0, 0);
    for word in words {
        needs_path_cleaning |= has_before(b' ', *b".%", word) & is_at_most(start, length);
        start += 8;
    }
    needs_path_cleaning == 0 && length < 8 * words.len() as u32
}

/// One where a number is at most another one; no branch, either way of which the verifier would follow.
#[inline(always)]
fn is_at_most(number: u32, other: u32) -> u32 {
    (number as i32 - other as i32 - 1) as u32 >> 31
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

    #[test]
    fn a_byte_is_found_before_another_one_only() {
        for end in 0..8 {
            for place in 0..8 {
                let mut bytes = *b"!-A\xaf\xa0\x00\xff?";
                bytes[place] = b'%';
                bytes[end] = b' ';
                assert_eq!(
                    has_before(b' ', *b".%", &bytes),
                    u32::from(place < end),
                    "{place} {end}"
                );
            }
        }
        assert_eq!(has_before(b' ', *b".%", b"abcdefg."), 1);
        assert_eq!(has_before(b' ', *b".%", b"abcdefgh"), 0);
    }

    #[test]
    fn a_targets_rest_is_a_clean_path_without_dots_and_encoded_bytes() {
        let rest = |text: &[u8; 24]| {
            let words = text.as_chunks::<8>().0;
            let length = length_before_space(words, 0);
            (length, is_clean_path(words, length))
        };
        assert_eq!(rest(b"/users/42 HTTP/1.1\r\nHost"), (8, true));
        assert_eq!(rest(b"/users/4 HTTP/1.1\r\nHost:"), (8, true));
        assert_eq!(rest(b"/ HTTP/1.1\r\nHost: a.b\r\nH"), (0, true));
        assert_eq!(rest(b"/users/../NAME HTTP/1.1\r"), (8, false));
        assert_eq!(rest(b"/users/%2e%2e/NAME HTTP/"), (16, false));
        assert_eq!(rest(b"/users/1234567/1234567/."), (24, false));
        assert_eq!(rest(b"/users/1234567/1234567/1"), (24, false));
    }

    #[test]
    fn words_before_a_place_do_not_count_for_a_targets_end() {
        let words = b"GET /a HTTP/1.1\r\nHost: a";
        let words = words.as_chunks::<8>().0;
        assert_eq!(length_before_space(words, 0), 0);
        assert_eq!(length_before_space(words, 1), 16);
    }
}
