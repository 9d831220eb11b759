//! The spotter's userspace half: loads the programs, attaches them to interfaces, follows interfaces
//! as they come and go, keeps the kernel's tables, and reads what the programs hold.
mod attach;
mod automaton;
mod error;
mod events;
mod hook;
mod interfaces;
mod load;
mod log;
mod sign;
mod tables;

pub use error::SpotError;
pub use events::{BadEvent, Event, Events, HeldFrame};
pub use hook::{Attach, Hook};
pub use interfaces::{Interface, InterfaceChange, Interfaces};
pub use load::{Options, Spotter};
pub use log::ProgramLog;
pub use sign::ReleaseSign;
pub use tables::{Counters, Flows, Names};
