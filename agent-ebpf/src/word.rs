//! Words out of bytes, wherever they stand, each by one instruction: for bytes that may lie at any address the
//! compiler loads one by one, though the kernel of a machine that can load words from there lets programs do so.

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
