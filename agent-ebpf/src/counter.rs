//! Counters: one slot an outcome, so that no packet to the gateway's port goes a silent way.

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// An outcome that the programs count, per CPU. The number is the slot in the map.
        #[repr(u32)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Counter {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Counter {
            /// Every counter with the name it is shown under.
            pub const ALL: &'static [(Self, &'static str)] = &[$((Self::$variant, $name),)+];
        }
    };
}

counters! {
    /// Segments that start no request for a sealed function.
    Passed = "passed",
    /// Requests for a sealed function without the key header.
    PassedKeyless = "passed_keyless",
    /// Body segments of a flow that the agent has, let through by its window.
    PassedWindow = "passed_window",
    /// Segments held because they carry the key header.
    HeldKeyed = "held_keyed",
    /// Segments held because the head was not complete or its target not in plain form.
    HeldUndecided = "held_undecided",
    /// Segments held because they name an unlocked function.
    HeldDirect = "held_direct",
    /// Further segments held of a flow that the agent has.
    HeldFlow = "held_flow",
    /// Segments dropped because the ring buffer was full; the client sends them again.
    DroppedRingFull = "dropped_ring_full",
    /// Segments dropped because the map of flows was full; the client sends them again.
    DroppedFlowsFull = "dropped_flows_full",
    /// Segments dropped because the start of their request has not come; the client sends them again.
    DroppedEarly = "dropped_early",
    /// Requests of an open lease that the programs let go on by themselves.
    Admitted = "admitted",
    /// Released segments seen on their way in.
    Released = "released",
    /// RSTs that TCP does not believe either, since they are not where the client is; not told as an end.
    ForgedReset = "forged_reset",
    /// Ends of flows that could not be reported because the ring buffer was full.
    LostEnd = "lost_end",
    /// Answers that could not be reported because the ring buffer was full; the next segment of the answer is, then.
    LostAnswer = "lost_answer",
}

impl Counter {
    /// How many there are.
    pub const COUNT: u32 = Self::ALL.len() as u32;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_numbered_as_listed() {
        for (slot, (counter, _)) in Counter::ALL.iter().enumerate() {
            assert_eq!(*counter as usize, slot);
        }
    }
}
