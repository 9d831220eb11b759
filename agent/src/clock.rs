//! The one clock that the agent and the programs share.

/// The clock of the kernel's `bpf_ktime_get_ns`, in nanoseconds.
#[must_use]
pub(crate) fn monotonic_now() -> u64 {
    // It cannot fail for this clock (clock_gettime(2)); a zero would only spoil a figure.
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        let nanoseconds = u64::try_from(time.tv_nsec()).unwrap_or(0);
        seconds * 1_000_000_000 + nanoseconds
    })
}
