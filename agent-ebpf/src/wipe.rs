//! Zeros for the ring buffer.

use agent_ebpf::ring::{RECORD, RECORDS};
use aya_ebpf::{bindings::BPF_RB_NO_WAKEUP, macros::map, maps::Array};

use crate::maps::EVENTS;

#[map]
static ZEROS: Array<[u8; RECORD]> = Array::with_max_entries(1, 0);

/// Writes records of zeros, which the agent skips, as far as there is room; whether there was.
#[inline(always)]
pub(crate) fn step() -> bool {
    let Some(zeros) = ZEROS.get(0) else {
        return false;
    };
    for _ in 0..RECORDS {
        // The agent is at it, and needs not be woken.
        if EVENTS
            .output::<[u8; RECORD]>(zeros, u64::from(BPF_RB_NO_WAKEUP))
            .is_err()
        {
            return false;
        }
    }
    true
}
