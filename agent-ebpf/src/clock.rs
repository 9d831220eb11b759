//! The kernel's clock.

use aya_ebpf::helpers::bpf_ktime_get_ns;

/// The kernel's monotonic clock, in nanoseconds.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: the helper takes no arguments and touches no memory of ours.
    unsafe { bpf_ktime_get_ns() }
}
