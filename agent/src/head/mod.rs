//! From held bytes to requests, and from requests to the bytes that go on. Pure: no I/O, no clock.
//!
//! Whatever is rewritten keeps its length, so that the connection's sequence numbers stay true.
mod action;
mod buffer;
mod connection;
mod framing;
mod headers;
mod inside;
mod request;
mod rest;
mod rewrite;
mod stream;
mod target;

pub use action::{Action, RequestId};
pub use connection::{Connection, Decision};
pub use headers::KeyHeaders;
pub use request::{Lengths, Request};
pub use target::Target;
