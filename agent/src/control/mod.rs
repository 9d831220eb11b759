//! The control socket: how `rsfaas status` and `rsfaas lock` talk to a running agent.
mod client;
mod protocol;
mod server;

pub use client::{ClientError, ask, is_answered};
pub use protocol::{Command, InterfaceStatus, Reply, Status};
pub use server::{Server, ServerError};
