//! The programs' verdicts on crafted packets, at TC, at loopback and at XDP, through the kernel's test run. Needs
//! root.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

/// Each case as a test of the TC programs, of the one at loopback, and of the XDP program.
macro_rules! at_each_hook {
    ($($case:ident,)+) => {
        mod tc {
            $(#[test] fn $case() { super::$case($crate::rig::Rig::new($crate::rig::Hook::Tc)); })+
        }
        mod loopback {
            $(#[test] fn $case() { super::$case($crate::rig::Rig::new($crate::rig::Hook::Loopback)); })+
        }
        mod xdp {
            $(#[test] fn $case() { super::$case($crate::rig::Rig::new($crate::rig::Hook::Xdp)); })+
        }
    };
}

mod admissions;
mod flows;
mod frames;
mod headers;
mod load;
mod loopback;
#[path = "../support/packet.rs"]
mod packet;
mod qdisc;
mod requests;
#[path = "../support/rig.rs"]
mod rig;
mod switched;
