//! The programs' verdicts on crafted packets, at TC and at XDP, through the kernel's test run. Needs
//! root.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod flows;
mod frames;
mod load;
mod packet;
mod requests;
mod rig;
