//! What the agent and the programs inside containers have to agree on: the names of variables and
//! mounts, how a delivered handler is recognised, and the answers of the locked function.
//!
//! Pure: no I/O, no clock, nothing but the standard library.
#![forbid(unsafe_code)]

mod mounts;
mod refusal;

pub use mounts::is_delivered;
pub use refusal::Refusal;

/// Variable with the random token by which the agent finds a parked process.
pub const PARK_TOKEN: &str = "RSFAAS_PARK_TOKEN";
/// Variable with the folder, absolute, over which the handler is mounted.
pub const HANDLER_DIR: &str = "RSFAAS_HANDLER_DIR";
/// Variable with the name of the function that a locked function stands for.
pub const FUNCTION: &str = "RSFAAS_FUNCTION";
/// Variable with the key header's name, for the locked function's advice.
pub const KEY_HEADER: &str = "RSFAAS_KEY_HEADER";
/// The key header unless configured otherwise.
pub const DEFAULT_KEY_HEADER: &str = "X-RsFaaS-Key";
/// Mount source of a delivered handler, as `/proc/PID/mountinfo` shows it.
pub const MOUNT_SOURCE: &str = "rsfaas";
