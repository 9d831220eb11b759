//! Slots of the programs to which others give their packet.

/// The one that watches what comes from the gateway.
pub const WATCH: u32 = 0;
/// The one that spots what leaves to the gateway.
pub const LEAVING: u32 = 1;
/// How many there are.
pub const COUNT: u32 = 2;
