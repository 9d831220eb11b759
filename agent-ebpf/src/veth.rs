//! What the mark of a frame says that the agent sends through its veth pair: the index of an interface, and which way
//! the frame goes there.

/// The frame goes out at the interface, to the client; else it comes in there, to the gateway. No index is as large.
pub const TO_CLIENT: u32 = 1 << 31;
