//! Maps, and the globals that the agent sets before it loads the programs.

use agent_ebpf::{Counter, Flow, FlowKey, HEAD_LEN, NameKey, Tag, ring, search, sip::SipKey};
use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};

use crate::{frame::Frame, hold::Manner, packet::Segment};

/// Sealed functions and unlocked containers, by name; the value is a `NameKind`.
#[map]
pub(crate) static NAMES: HashMap<NameKey, u32> = HashMap::with_max_entries(65_536, 0);

/// Flows that the agent has. Not an LRU map: a flood of connections must not push out a held one.
#[map]
pub(crate) static FLOWS: HashMap<FlowKey, Flow> = HashMap::with_max_entries(65_536, 0);

/// Where the next request of each flow starts.
#[map]
pub(crate) static STARTS: LruHashMap<FlowKey, Start> = LruHashMap::with_max_entries(65_536, 0);

/// Where the next request of a flow starts, and how much has come.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Start {
    /// Its first sequence number: behind the SYN, and then behind what the gateway had received when it last answered.
    pub(crate) next: u32,
    /// The sequence number behind the furthest byte of the client's that has come.
    pub(crate) reached: u32,
    /// Since when a segment waits for that start, by the kernel's monotonic clock; zero where none does.
    pub(crate) waits: u64,
    /// Zero where the agent has not had the flow since its connection was opened: it need not be looked for in `FLOWS`.
    pub(crate) may_be_held: u64,
}

/// Held frames and ends of flows, for the agent.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(ring::SIZE as u32, 0);

/// The automaton that finds the key header; the agent fills it before it attaches the programs.
#[map]
static SEARCH: Array<[u8; search::TABLE_LEN]> = Array::with_max_entries(1, 0);

#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Counter::COUNT, 0);

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
    pub(crate) cursor: u32,
    /// Bytes of the line ends before the request.
    pub(crate) skip: u32,
    pub(crate) prefix: Bytes<PREFIX_LEN>,
    pub(crate) chunk: Bytes<CHUNK_LEN>,
    pub(crate) tag: Tag,
    pub(crate) manner: Manner,
    pub(crate) head: Bytes<HEAD_LEN>,
}

impl Scratch {
    /// The cursor where it is a head's length, read anew each time: the verifier would follow all that comes after
    /// once more for each number that it knows it to be.
    #[inline(always)]
    pub(crate) fn head_length(&self) -> u32 {
        // SAFETY: a reference's field.
        unsafe { core::ptr::read_volatile(&raw const self.cursor) }
    }

    /// Where the request starts in the payload, read anew for the same reason.
    #[inline(always)]
    pub(crate) fn start(&self) -> u32 {
        // SAFETY: a reference's field.
        unsafe { core::ptr::read_volatile(&raw const self.skip) }
    }
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
        // One less, stored and read back: see `at_least_one`.
        self.end = available.wrapping_sub(1);
        // SAFETY: written just before.
        let last = unsafe { core::ptr::read_volatile(&raw const self.end) };
        let length = at_least_one(last, N as u32);
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

/// A length, from the number before it, that is at least one and at most `room`. Older verifiers
/// (Linux 6.1 among them) learn nothing from a comparison with zero, but from this; the caller has to
/// read the number back from memory, or the compiler would make that comparison of it.
#[inline(always)]
pub(crate) fn at_least_one(last: u32, room: u32) -> u32 {
    if last < room { last + 1 } else { room }
}

/// Moves a segment into this CPU's working memory, and gives both; programs on the hook do not interrupt one
/// another on a CPU. The verifier would follow all that comes after once more for each way in which the headers
/// can be laid out; of what lives in a map it knows nothing.
#[inline(always)]
pub(crate) fn keep(segment: Segment) -> Option<(&'static Segment, &'static mut Scratch)> {
    let slot = WORK.get_ptr_mut(0)?;
    // SAFETY: the slot is this CPU's own. Volatile, or the compiler would go on with what it knows.
    unsafe { (&raw mut (*slot).segment).write_volatile(segment) };
    // SAFETY: as above, and no other reference to it is alive: each program takes it once.
    let work = unsafe { &mut *slot };
    Some((&work.segment, &mut work.scratch))
}

/// The automaton that finds the key header.
#[inline(always)]
pub(crate) fn search_table() -> Option<&'static [u8; search::TABLE_LEN]> {
    SEARCH.get(0)
}

/// Adds one, and gives the new number.
#[inline(always)]
pub(crate) fn count(counter: Counter) -> u64 {
    count_in(counter as u32)
}

/// The same for a counter that is known by its slot.
#[inline(always)]
pub(crate) fn count_in(slot: u32) -> u64 {
    let Some(slot) = COUNTERS.get_ptr_mut(slot) else {
        return 0;
    };
    // SAFETY: the slot is this CPU's own.
    unsafe {
        *slot += 1;
        *slot
    }
}

/// Whether it is the 1st, 2nd, 4th, 8th... time, which is logged: the counters tell the rest.
#[inline(always)]
pub(crate) fn is_logged(total: u64) -> bool {
    total & total.wrapping_sub(1) == 0
}

#[unsafe(no_mangle)]
static GATEWAY_PORT: u16 = 8080;

#[unsafe(no_mangle)]
static RELEASE_MARK: u32 = 0;

#[unsafe(no_mangle)]
static RELEASE_SOURCE: u64 = 0;

#[unsafe(no_mangle)]
static ADMISSION_KEY: SipKey = SipKey([0; 2]);

/// Port of the gateway, host byte order.
#[inline(always)]
pub(crate) fn gateway_port() -> u16 {
    // SAFETY: a global of this object; volatile because the loader writes it after compilation.
    unsafe { core::ptr::read_volatile(&raw const GATEWAY_PORT) }
}

/// The mark of released packets, random at each start of the agent.
#[inline(always)]
pub(crate) fn release_mark() -> u32 {
    // SAFETY: as above.
    unsafe { core::ptr::read_volatile(&raw const RELEASE_MARK) }
}

/// The Ethernet source address of packets released to an interface with XDP, as random as the mark.
#[inline(always)]
pub(crate) fn release_source() -> u64 {
    // SAFETY: as above.
    unsafe { core::ptr::read_volatile(&raw const RELEASE_SOURCE) }
}

/// The key under which heads have their names, random at each start of the agent.
#[inline(always)]
pub(crate) fn admission_key() -> SipKey {
    // SAFETY: as above.
    unsafe { core::ptr::read_volatile(&raw const ADMISSION_KEY) }
}
