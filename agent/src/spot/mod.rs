//! The spotter's userspace half: loads the programs, attaches them to interfaces, follows interfaces
//! as they come and go, keeps the kernel's tables, and reads what the programs hold.
#[cfg(feature = "host")]
mod admissions;
#[cfg(feature = "host")]
mod attach;
#[cfg(feature = "host")]
mod automaton;
#[cfg(feature = "host")]
mod clsact;
#[cfg(feature = "host")]
mod error;
mod event;
#[cfg(feature = "host")]
mod events;
#[cfg(feature = "host")]
mod hook;
#[cfg(feature = "host")]
mod interfaces;
#[cfg(feature = "host")]
mod load;
#[cfg(feature = "host")]
mod log;
#[cfg(feature = "host")]
mod restore;
#[cfg(feature = "host")]
mod sign;
#[cfg(feature = "host")]
mod tables;
#[cfg(feature = "host")]
mod tc;

#[cfg(feature = "host")]
pub use admissions::{AdmissionKey, Admissions, HeadName, Known};
#[cfg(feature = "host")]
pub use attach::{detach_left, has_tcx};
#[cfg(feature = "host")]
pub use clsact::qdisc_at_hooks;
#[cfg(feature = "host")]
pub use error::SpotError;
pub use event::{Admitted, BadEvent, Caught, Event, HeldFrame};
#[cfg(feature = "host")]
pub use events::Events;
#[cfg(feature = "host")]
pub use hook::{Attach, Hook};
#[cfg(feature = "host")]
pub use interfaces::{Interface, InterfaceChange, Interfaces};
#[cfg(feature = "host")]
pub use load::{Options, Spotter, check_headers};
#[cfg(feature = "host")]
pub use log::ProgramLog;
#[cfg(feature = "host")]
pub use sign::ReleaseSign;
#[cfg(feature = "host")]
pub use tables::{Counters, Flows, Names};
