//! Maps that several parts of the programs have in common.

use agent_ebpf::{Counter, Flow, FlowKey, NameKey, ring, sample::Samples, search, tail_call};
use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, ProgramArray, RingBuf},
};

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
    pub(crate) may_be_held: u32,
    /// Zero until the gateway has changed the protocol: what the client sends from there on starts no request.
    pub(crate) is_switched: u32,
    /// The sequence number behind the last request without a body that has passed: the next one starts there, whether it is
    /// answered or not.
    pub(crate) passed: u32,
    /// One where the client is a process of this host's, whose requests leave: answers come in at an interface.
    pub(crate) is_leaving: u32,
}

/// Held frames and ends of flows, for the agent.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(ring::SIZE as u32, 0);

/// The automaton that finds the key header, and requests behind a head; the agent fills it before it attaches the programs.
#[map]
static SEARCH: Array<[u8; search::TABLE_LEN]> = Array::with_max_entries(1, 0);

/// What both are looked for by at first; the agent fills it then, too.
#[map]
static SAMPLES: Array<Samples> = Array::with_max_entries(1, 0);

/// Programs to which others give their packet, by `agent_ebpf::tail_call`; the agent puts them there before it attaches any.
#[map]
pub(crate) static TAIL_CALLS: ProgramArray = ProgramArray::with_max_entries(tail_call::COUNT, 0);

#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Counter::COUNT, 0);

/// The automaton that finds the key header, and requests behind a head.
#[inline(always)]
pub(crate) fn search_table() -> Option<&'static [u8; search::TABLE_LEN]> {
    SEARCH.get(0)
}

/// The samples by which the key header and requests are looked for at first.
#[inline(always)]
pub(crate) fn samples() -> Option<&'static Samples> {
    SAMPLES.get(0)
}

/// Adds one to a counter, and gives this CPU's new number.
#[inline(always)]
pub(crate) fn count(counter: Counter) -> u64 {
    count_in(counter as u32)
}

/// Adds one to a counter that is known by its slot, and gives this CPU's new number.
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

/// Whether something is logged that has happened so often: the 1st, 2nd, 4th, 8th... time is, the counters tell the rest.
#[inline(always)]
pub(crate) fn is_logged(total: u64) -> bool {
    total & total.wrapping_sub(1) == 0
}
