//! The state folder: which functions are sealed, and how each is rebuilt.
//!
//! `seal` writes one record a function; the agent reads them and follows changes. A record holds no
//! secret: the key is the caller's, the handler is ciphertext in a file of its own.
mod begun;
mod claim;
mod folder;
mod function;

pub use claim::Claim;
pub use folder::{StateDir, StateError};
pub use function::{Isolation, Park, Rebuild, SealedFunction};
