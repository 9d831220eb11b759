//! Stack files: what an author deploys, and the one-function files that are deployed in its place.
mod deployment;
mod environment;
mod file;

pub use deployment::Deployment;
pub use environment::sets;
pub use file::{Function, StackError, StackFile};
