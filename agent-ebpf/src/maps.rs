//! Maps, and the globals that the agent sets before it loads the programs.

use agent_ebpf::{Counter, Flow, FlowKey, NameKey, search};
use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use aya_log_ebpf::warn;

use crate::{frame::Frame, packet::Segment};

/// Sealed functions and unlocked containers, by name; the value is a `NameKind`.
#[map]
pub(crate) static NAMES: HashMap<NameKey, u32> = HashMap::with_max_entries(65_536, 0);

/// Flows that the agent has. Not an LRU map: a flood of connections must not push out a held one.
#[map]
pub(crate) static FLOWS: HashMap<FlowKey, Flow> = HashMap::with_max_entries(65_536, 0);

/// Flows of which only the SYN was seen: the sequence number at which the first request starts.
#[map]
pub(crate) static STARTS: LruHashMap<FlowKey, u32> = LruHashMap::with_max_entries(65_536, 0);

/// Held frames and ends of flows, for the agent.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(16 * 1024 * 1024, 0);

/// The automaton that finds the key header; the agent fills it before it attaches the programs.
#[map]
static SEARCH: Array<[u8; search::TABLE_LEN]> = Array::with_max_entries(1, 0);

#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Counter::COUNT, 0);

#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// Bytes of a request's start that are looked at: method, the longer of the two prefixes, a name.
pub(crate) const PREFIX_LEN: usize = 128;
/// Bytes that the search for the key header loads at a time.
pub(crate) const CHUNK_LEN: usize = 256;

/// Working memory: the stack is too small, and what lives in a map is an unknown number to the
/// verifier, which keeps it from following every value that a loop counter can take.
#[repr(C)]
pub(crate) struct Scratch {
    pub(crate) prefix: [u8; PREFIX_LEN],
    pub(crate) chunk: [u8; CHUNK_LEN],
    pub(crate) name: NameKey,
    pub(crate) cursor: u32,
    segment: Segment,
    /// Where numbers go that the compiler and the verifier are to know nothing of.
    pub(crate) unknown: u32,
}

/// This CPU's working memory. Programs on the hook do not interrupt one another on a CPU.
#[inline(always)]
pub(crate) fn scratch() -> Option<&'static mut Scratch> {
    // SAFETY: the slot is this CPU's own, and no other reference to it is alive: each program takes
    // it once.
    SCRATCH
        .get_ptr_mut(0)
        .map(|scratch| unsafe { &mut *scratch })
}

/// The same number, of which neither the compiler nor the verifier knows anything any more.
#[inline(always)]
pub(crate) fn forget(scratch: &mut Scratch, number: u32) -> u32 {
    scratch.unknown = number;
    // SAFETY: written just before.
    unsafe { core::ptr::read_volatile(&raw const scratch.unknown) }
}

/// The same segment, of which the verifier knows no more how it was parsed: it would follow all that
/// comes once for IPv4, once for IPv6, and so on.
#[inline(always)]
pub(crate) fn forget_parsing(scratch: &mut Scratch, segment: Segment) -> Segment {
    scratch.segment = segment;
    // SAFETY: written just before.
    unsafe { core::ptr::read_volatile(&raw const scratch.segment) }
}

/// The automaton that finds the key header.
#[inline(always)]
pub(crate) fn search_table() -> Option<&'static [u8; search::TABLE_LEN]> {
    SEARCH.get(0)
}

/// Adds one, and gives the new number.
#[inline(always)]
pub(crate) fn count(counter: Counter) -> u64 {
    let Some(slot) = COUNTERS.get_ptr_mut(counter as u32) else {
        return 0;
    };
    // SAFETY: the slot is this CPU's own.
    unsafe {
        *slot += 1;
        *slot
    }
}

/// Logs the 1st, 2nd, 4th, 8th... time: the counters tell the rest.
#[inline(always)]
pub(crate) fn log_rarely(frame: &impl Frame, total: u64, what: &'static str) {
    if total & total.wrapping_sub(1) == 0 {
        warn!(frame, "{} ({} times on this CPU)", what, total);
    }
}

#[unsafe(no_mangle)]
static GATEWAY_PORT: u16 = 8080;

#[unsafe(no_mangle)]
static RELEASE_MARK: u32 = 0;

#[unsafe(no_mangle)]
static RELEASE_SOURCE: u64 = 0;

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
