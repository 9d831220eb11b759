//! Rebuilds a sealed function's container for one lease (see docs/architecture.md).
pub mod mount;
