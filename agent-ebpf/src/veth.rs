//! What the mark of a frame says that the agent sends through its veth pair: the index of an interface, and what
//! becomes of the frame there. No index is as large as these bits.

/// The frame goes to the client; else to the gateway, as one that is released.
pub const TO_CLIENT: u32 = 1 << 31;
/// The frame goes out at the interface; else it comes in there.
pub const OUT: u32 = 1 << 30;
