//! The way back into the host: frames of the same bytes at the same sequence numbers, sent through a
//! veth pair to the ingress of the interface on which they were caught, or over loopback again.
#[cfg(feature = "host")]
mod claim;
mod headers;
#[cfg(feature = "host")]
mod loopback;
#[cfg(feature = "host")]
mod pending_resets;
#[cfg(feature = "host")]
mod port;
mod reply;
mod sum;
mod template;

#[cfg(feature = "host")]
pub use pending_resets::{PendingResets, send_pending_resets};
#[cfg(feature = "host")]
pub use port::{Port, ReleaseError, remove_left};
pub use template::{BadFrame, Frame, FrameTemplate};

/// Index of the loopback interface, in every network namespace (`LOOPBACK_IFINDEX` in the kernel).
const LOOPBACK: u32 = 1;
