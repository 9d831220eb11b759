//! Stack files: what an author deploys, and the one-function files that are deployed in its place.
mod deployment;
mod entry;
mod environment;
mod error;
mod file;
mod substitute;
mod template;

pub use deployment::{Deployment, NOTHING_COMPILED};
pub use environment::sets;
pub(crate) use environment::{PROCESS, in_files};
pub use error::StackError;
pub(crate) use file::is_unbuilt;
pub use file::{Function, StackFile};
pub(crate) use template::{Template, is_dockerfile};
