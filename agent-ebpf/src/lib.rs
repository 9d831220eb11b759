//! What the kernel half and the agent share: map records, limits and names.
//!
//! Every record is fixed-width, has its padding spelled out and its size asserted, so that both
//! sides agree on each byte. The `user` feature adds aya's marker for plain old data.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

mod admission;
pub mod class;
mod counter;
mod event;
mod flow;
mod name;
pub mod ring;
pub mod sample;
pub mod search;
pub mod sip;
pub mod tail_call;
pub mod veth;
pub mod word;

pub use admission::{ADMISSIONS, Admission, HEAD_LEN, Tag, admitting};
pub use counter::Counter;
pub use event::{AdmittedEvent, Capture, EventHeader, EventKind, HeldPlace, flag, room};
pub use flow::{Awaited, Flow, FlowKey, FlowState};
pub use name::{HeaderName, NAME_LEN, NameKey, NameKind};

/// Marks a record as plain old data for aya's maps.
///
/// The size is asserted so that a field added on one side only cannot go unnoticed.
macro_rules! plain {
    ($record:ty, $size:literal) => {
        const _: () = assert!(size_of::<$record>() == $size);
        // SAFETY: the record is `repr(C)`, holds only fixed-width integers and arrays of them, has
        // no hidden padding (its size is asserted above) and any bit pattern is a value.
        #[cfg(feature = "user")]
        unsafe impl aya::Pod for $record {}
    };
}
use plain;
