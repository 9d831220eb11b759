//! What becomes of a packet, as each hook says it.

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC, xdp_action},
    helpers::bpf_redirect,
};

/// The index of no interface: they are given from one on.
const NOWHERE: u32 = i32::MAX as u32;

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not ours: other programs on the hook run, and the packet goes on.
    Pass,
    /// Held: the agent has a copy, the stack gets none.
    Hold,
}

impl Verdict {
    #[inline(always)]
    pub(crate) fn at_tc(self) -> i32 {
        match self {
            Self::Pass => TC_ACT_UNSPEC,
            Self::Hold => TC_ACT_SHOT,
        }
    }

    /// Of what this host's own TCP sends, which must take what is held for sent: told that it was dropped, it would
    /// not know the gateway's acknowledgement of it (`tcp_write_xmit`). What is redirected to an interface that is not
    /// there is dropped without a word (`skb_do_redirect`).
    #[inline(always)]
    pub(crate) fn at_egress(self) -> i32 {
        match self {
            Self::Pass => TC_ACT_UNSPEC,
            // SAFETY: the helper takes two numbers and touches no memory of ours.
            Self::Hold => unsafe { bpf_redirect(NOWHERE, 0) as i32 },
        }
    }

    #[inline(always)]
    pub(crate) fn at_xdp(self) -> u32 {
        match self {
            Self::Pass => xdp_action::XDP_PASS,
            Self::Hold => xdp_action::XDP_DROP,
        }
    }
}
