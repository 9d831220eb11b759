//! The allocator: what is freed is wiped.
//!
//! Secrets have types that wipe themselves. This is for the copies that nobody here makes: a library's buffer
//! that a request body went through, a vector that grew. Stacks are none of its business.
use std::{
    alloc::{GlobalAlloc, Layout, System},
    arch::asm,
};

/// The system's allocator, which overwrites memory with zeros before it gives it back.
#[derive(Debug)]
pub struct WipingAllocator;

// SAFETY: every call is passed on to the system's allocator as it is. What is overwritten before is nobody's any
// more: the caller gives it back. `realloc` is the trait's own, which allocates, copies and frees.
unsafe impl GlobalAlloc for WipingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps to the same rules.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps to the same rules.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller gives back so many bytes, and nothing uses them any more.
        unsafe { pointer.write_bytes(0, layout.size()) };
        // SAFETY: no instructions. The compiler has to take it for something that reads the bytes, or it would
        // leave the zeros out: nothing that it knows of reads them.
        unsafe { asm!("/* {0} */", in(reg) pointer, options(nostack, preserves_flags)) };
        // SAFETY: the caller keeps to the same rules.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freed_memory_holds_nothing_of_what_was_in_it() {
        // Too small for a mapping of its own, which would be unmapped at once.
        let layout = Layout::array::<u8>(64 * 1024).unwrap();
        // SAFETY: the layout has a size.
        let pointer = unsafe { WipingAllocator.alloc(layout) };
        assert!(!pointer.is_null());
        // SAFETY: so many bytes were allocated.
        unsafe { pointer.write_bytes(0xa5, layout.size()) };
        let address = pointer as u64;
        // SAFETY: allocated above, with that layout.
        unsafe { WipingAllocator.dealloc(pointer, layout) };
        // Read in a way that does not mind whether it is still there.
        let mut left = vec![0xff; layout.size()];
        let memory = std::fs::File::open("/proc/self/mem").unwrap();
        // What the system has unmapped is gone.
        if std::os::unix::fs::FileExt::read_exact_at(&memory, &mut left, address).is_ok() {
            assert_eq!(left.iter().filter(|byte| **byte == 0xa5).count(), 0);
        }
    }
}
