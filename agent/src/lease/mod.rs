//! Leases: who is served by a sealed function, and until when. The machine decides, the driver
//! has the time and does the work through [`crate::rebuild`].
mod door;
#[cfg(test)]
pub(crate) mod example;
mod function;
mod keys;
mod limiter;
mod machine;
mod message;
mod removals;
mod single;
mod work;

pub use door::Door;
pub use function::Driver;
pub use limiter::Limiter;
pub use machine::{Action, Machine, Phase};
pub use message::{FunctionStatus, LeaseStatus, LockWaiter, Message, Request, Served, Verdict};
