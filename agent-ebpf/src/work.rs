//! Working memory: one place a CPU.

use agent_ebpf::{HEAD_LEN, NameKey, Tag};
use aya_ebpf::{macros::map, maps::PerCpuArray};

use crate::{frame::Frame, hold::Manner, packet::Segment};

#[map]
static WORK: PerCpuArray<Work> = PerCpuArray::with_max_entries(1, 0);

/// Bytes of a request's start that are looked at: method, the longer of the two prefixes, a name.
pub(crate) const PREFIX_LEN: usize = 128;
/// Bytes that the search for the key header loads at a time.
pub(crate) const CHUNK_LEN: usize = 256;

/// The segment that is looked at, and working memory.
#[repr(C, align(8))]
struct Work {
    segment: Segment,
    scratch: Scratch,
}

/// Working memory: the stack is too small, and what lives in a map is an unknown number to the
/// verifier, which keeps it from following every value that a loop counter can take. What every request
/// needs comes first.
#[repr(C, align(8))]
pub(crate) struct Scratch {
    pub(crate) name: NameKey,
    /// Where the request is looked at, behind the line ends before it.
    pub(crate) cursor: u32,
    /// Where its target ends in the segment, or some bytes before; then where the first sample is taken.
    pub(crate) first: u32,
    /// One where its method has no body by its definition (RFC 9110, section 9.3), or by its likeness to one that has none.
    pub(crate) is_bodiless: u32,
    /// Bytes of the line ends before the request.
    pub(crate) skip: u32,
    /// What may stand behind a request for something else, as `scan::look_behind` tells.
    pub(crate) behind: u32,
    /// One where the segment starts no request: it may go on with one, and others be inside.
    pub(crate) is_inside: u32,
    /// One where the path goes on behind the name in a way that may lead elsewhere, or not to its end.
    pub(crate) needs_path_cleaning: u32,
    pub(crate) prefix: Bytes<PREFIX_LEN>,
    pub(crate) chunk: Bytes<CHUNK_LEN>,
    pub(crate) tag: Tag,
    pub(crate) manner: Manner,
    pub(crate) head: Bytes<HEAD_LEN>,
}

impl Scratch {
    /// The cursor, read anew each time: the verifier would follow all that comes after once more for each number that
    /// it knows it to be.
    #[inline(always)]
    pub(crate) fn cursor(&self) -> u32 {
        // SAFETY: a reference's field.
        unsafe { core::ptr::read_volatile(&raw const self.cursor) }
    }

    /// Loads the first bytes of a segment's payload, behind some.
    #[inline(always)]
    pub(crate) fn load(&mut self, frame: &impl Frame, segment: &Segment, skip: u32) -> bool {
        let (offset, length) = (segment.payload_offset, segment.payload_length);
        skip < length && self.prefix.load(frame, offset + skip, length - skip)
    }

    /// Has all of the segment looked at as what stands behind a head.
    #[inline(always)]
    pub(crate) fn look_inside(&mut self) {
        self.is_inside = 1;
        self.is_bodiless = 0;
        self.skip = 0;
        self.first = 0;
    }

    /// Where the first sample is taken, in bytes of the segment's payload; read anew, as the cursor is.
    #[inline(always)]
    pub(crate) fn first(&self) -> u32 {
        // SAFETY: a reference's field. The mask changes nothing: it is the bound that the verifier asks for.
        unsafe { core::ptr::read_volatile(&raw const self.first) & (2 * PREFIX_LEN as u32 - 1) }
    }

    /// Whether the segment starts no request, and others may be inside; read anew, as the cursor is.
    #[inline(always)]
    pub(crate) fn is_inside(&self) -> bool {
        // SAFETY: a reference's field.
        unsafe { core::ptr::read_volatile(&raw const self.is_inside) != 0 }
    }

    /// What may stand behind the request; read anew, as the cursor is.
    #[inline(always)]
    pub(crate) fn behind(&self) -> u8 {
        // SAFETY: a reference's field.
        unsafe { core::ptr::read_volatile(&raw const self.behind) as u8 }
    }

    /// Where the request starts, in bytes of the payload; read anew, as the cursor is.
    #[inline(always)]
    pub(crate) fn start(&self) -> u32 {
        // SAFETY: a reference's field.
        unsafe { core::ptr::read_volatile(&raw const self.skip) }
    }
}

/// Moves a segment into this CPU's working memory, and gives both; programs on the hook do not interrupt one
/// another on a CPU. The verifier would follow all that comes after once more for each way in which the headers
/// can be laid out; of what lives in a map it knows nothing.
#[inline(always)]
pub(crate) fn keep(segment: Segment) -> Option<(&'static Segment, &'static mut Scratch)> {
    let slot = WORK.get_ptr_mut(0)?;
    // SAFETY: the slot is this CPU's own. Volatile, or the compiler would go on with what it knows.
    unsafe { (&raw mut (*slot).segment).write_volatile(segment) };
    // SAFETY: the slot is this CPU's own, and no other reference to it is alive: each program takes it once.
    let work = unsafe { &mut *slot };
    Some((&work.segment, &mut work.scratch))
}

/// Bytes of a packet, with a zero byte behind them: what an earlier packet left there must not be taken
/// for this one's.
#[repr(C, align(8))]
pub(crate) struct Bytes<const N: usize> {
    pub(crate) bytes: [u8; N],
    end: u32,
}

impl<const N: usize> Bytes<N> {
    /// Loads as many as fit of those that are there, at least one.
    #[inline(always)]
    pub(crate) fn load(&mut self, frame: &impl Frame, offset: u32, available: u32) -> bool {
        let length = at_most::<N>(available);
        // The first byte behind the loaded ones; where all are, it is the first of `end`.
        // SAFETY: the length is at most `N`, and `end` lies behind as many bytes.
        unsafe { (&raw mut *self).cast::<u8>().add(length as usize).write(0) };
        // SAFETY: the length is between one and the size of the buffer.
        unsafe { frame.load_bytes(offset, self.bytes.as_mut_ptr(), length) }
    }

    /// Leaves nothing behind.
    #[inline(always)]
    pub(crate) fn wipe(&mut self) {
        zero(&mut self.bytes);
    }
}

/// A number of at least one, or `N` where it is more. Without a branch, either way of which the verifier would follow.
#[inline(always)]
fn at_most<const N: usize>(number: u32) -> u32 {
    const { assert!(N.is_power_of_two()) };
    let (last, most) = (u64::from(number.wrapping_sub(1)), N as u64 - 1);
    // All ones where it is more.
    let beyond = (core::hint::black_box(most.wrapping_sub(last)) as i64 >> 63) as u64;
    ((last | beyond) & most) as u32 + 1
}

/// Zeroes bytes in words: of single ones the compiler would make a loop, in a function of its own, whose
/// every step the verifier follows.
#[inline(always)]
pub(crate) fn zero<const N: usize>(bytes: &mut [u8; N]) {
    let (words, _) = bytes.as_chunks_mut::<8>();
    for word in words {
        // SAFETY: eight bytes, in an array that is aligned to as many.
        unsafe { word.as_mut_ptr().cast::<u64>().write_volatile(0) };
    }
}
