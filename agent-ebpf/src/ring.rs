//! The ring buffer's size, and how it is overwritten: what was read stays in its memory until something else
//! is written there, and nobody but the programs may write there.

/// Bytes of the ring buffer.
pub const SIZE: usize = 16 * 1024 * 1024;
/// Records of zeros that one run of the program `wipe` writes.
pub const RECORDS: usize = 16;
/// Bytes of such a record: with the ring's own header before it, 64 KiB.
pub const RECORD: usize = 64 * 1024 - 8;
/// Runs that go once around, wherever they start.
pub const RUNS: usize = SIZE / (RECORDS * (RECORD + 8)) + 1;

/// Bytes of events of which the agent need not know at once, before it is woken for them.
pub const BACKLOG: u64 = SIZE as u64 / 16;
