//! What the programs tell the agent through the ring buffer.

use crate::FlowKey;

/// Why an event was sent.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A segment was held: its frame follows the header.
    Held = 1,
    /// The client sent a FIN.
    ClientFin = 2,
    /// The gateway sent a FIN.
    ServerFin = 3,
    /// One of the two sent a RST.
    Reset = 4,
    /// The gateway sent payload on a flow whose answer the agent awaits.
    Answer = 5,
    /// The gateway began an answer that says that the function has failed (status 5xx).
    Failure = 6,
    /// Whatever was spotted before this was asked for has been told.
    Barrier = 7,
    /// A request has gone on by itself: the event is an [`AdmittedEvent`].
    Admitted = 8,
}

impl EventKind {
    /// The kind of a number read from the ring buffer.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Held),
            2 => Some(Self::ClientFin),
            3 => Some(Self::ServerFin),
            4 => Some(Self::Reset),
            5 => Some(Self::Answer),
            6 => Some(Self::Failure),
            7 => Some(Self::Barrier),
            8 => Some(Self::Admitted),
            _ => None,
        }
    }
}

/// The fixed part of an event; the bytes of a held frame follow it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventHeader {
    /// Kernel's monotonic clock at the hook, in nanoseconds.
    pub time: u64,
    /// An [`EventKind`].
    pub kind: u32,
    /// The interface at which the packet was seen.
    pub interface: u32,
    /// Bytes of the frame that follow; fewer than the frame had where it was larger than a record.
    /// A shortened segment does no harm: the client sends the rest again.
    pub length: u32,
    /// The VLAN tag that the interface stripped, as it stands in a frame: its protocol (802.1Q or 802.1ad) in the higher
    /// half, the TCI in the lower; zero where there was none.
    pub vlan: u32,
    /// The flow.
    pub flow: FlowKey,
    /// Bits of [`flag`].
    pub flags: u16,
    /// Bytes of payload that each of the segments had of which the packet was put together; zero where it is one of the
    /// wire, or that is not known.
    pub segment: u16,
}
crate::plain!(EventHeader, 64);

/// What else an event tells.
pub mod flag {
    /// The frame starts with an Ethernet header, not with the IP header.
    pub const ETHERNET: u16 = 1;
    /// The gateway has not answered what came before the segment: it is the rest of that, or a request
    /// sent ahead.
    pub const UNANSWERED: u16 = 1 << 1;
    /// The agent had the flow already.
    pub const FURTHER: u16 = 1 << 2;
    /// The gateway has answered all that came before the segment.
    pub const ANSWERED: u16 = 1 << 3;
    /// The TCP checksum was found right before the hook.
    pub const VERIFIED: u16 = 1 << 4;
    /// The packet was seen as it left the interface: it is of a process of this host's.
    pub const LEAVING: u16 = 1 << 5;
}

/// Where a held segment stands, as far as the programs know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeldPlace {
    /// The gateway has not answered what came before, as [`flag::UNANSWERED`].
    pub is_unanswered: bool,
    /// The agent had the flow already, as [`flag::FURTHER`].
    pub is_further: bool,
    /// The gateway has answered all that came before, as [`flag::ANSWERED`].
    pub is_answered: bool,
}

impl HeldPlace {
    /// What an event's flags tell of it.
    #[must_use]
    pub const fn of(flags: u16) -> Self {
        Self {
            is_unanswered: flags & flag::UNANSWERED != 0,
            is_further: flags & flag::FURTHER != 0,
            is_answered: flags & flag::ANSWERED != 0,
        }
    }
}

/// A request that has gone on by itself.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmittedEvent {
    /// What every event has; its length is that of the request's first segment's payload, in bytes.
    pub header: EventHeader,
    /// The number of the admission by which it has.
    pub admission: u32,
    /// The sequence number with which it starts.
    pub sequence: u32,
}
crate::plain!(AdmittedEvent, 72);

/// A record of the ring buffer with room for `N` bytes of frame.
#[repr(C)]
pub struct Capture<const N: usize> {
    /// The fixed part.
    pub header: EventHeader,
    /// The frame, `header.length` bytes of it.
    pub frame: [u8; N],
}

/// Sizes of the records that a held frame may take. The largest holds what generic segmentation
/// offload builds at most, 64 KiB, and the headers before it.
pub mod room {
    /// An ordinary segment.
    pub const SMALL: usize = 2 * 1024;
    /// What generic receive offload commonly merges.
    pub const MEDIUM: usize = 16 * 1024;
    /// A full 64 KiB and headers.
    pub const LARGE: usize = 66 * 1024;
}
