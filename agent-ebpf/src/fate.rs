//! What becomes of a packet, as each hook says it.

use aya_ebpf::bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC, xdp_action};

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Not ours: other programs on the hook run, and the packet goes on.
    Pass,
    /// Held: the agent has a copy, the stack gets none.
    Hold,
}

impl Fate {
    #[inline(always)]
    pub(crate) fn at_tc(self) -> i32 {
        match self {
            Self::Pass => TC_ACT_UNSPEC,
            Self::Hold => TC_ACT_SHOT,
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
