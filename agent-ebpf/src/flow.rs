//! One client-to-gateway TCP flow, as both sides know it.

/// A flow's addresses and ports. IPv4 addresses are mapped into IPv6 (`::ffff:a.b.c.d`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowKey {
    /// The client's address, network byte order.
    pub source: [u8; 16],
    /// The gateway's address, network byte order.
    pub destination: [u8; 16],
    /// The client's port, host byte order.
    pub source_port: u16,
    /// The gateway's port, host byte order.
    pub destination_port: u16,
}
crate::plain!(FlowKey, 36);

/// What the kernel does with a flow's segments.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowState {
    /// The agent has the flow: segments outside the window are held.
    Owned = 1,
    /// The agent has let go of it: segments are judged as those of an unknown flow, and its end is
    /// still reported.
    Opaque = 2,
    /// The agent is to have the flow, but found no room for the segment from which on: until that one
    /// comes again, what follows it is dropped.
    Missed = 3,
}

/// What the agent awaits of the gateway on a flow.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// Nothing of which it need be told: waking it would cost the client time.
    Nothing = 0,
    /// An answer, of whose start it is told.
    Answer = 1,
    /// An answer with which the flow is left to the programs, if nothing has come behind the next head's place; it is told
    /// so then.
    Leave = 2,
}

/// A flow that the agent has taken, and what of it may pass by itself.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// A [`FlowState`]; never zero, so that an empty slot cannot be taken for a flow.
    pub state: u32,
    /// First sequence number of the window that passes.
    pub pass_start: u32,
    /// Sequence number after the window; equal to `pass_start` where nothing passes.
    pub pass_end: u32,
    /// An [`Awaited`]; nothing again once the gateway's next payload was seen.
    pub awaited: u32,
    /// When the client last sent something or acknowledged something new, or an answer began: kernel's
    /// monotonic clock, nanoseconds. What the gateway sends again and again to a client that has vanished does
    /// not count, nor does what keeps an idle connection alive.
    pub last_seen: u64,
    /// When the gateway last sent payload of an answer proper, by the same clock.
    pub answered: u64,
    /// Whether the client has sent its FIN: one, or zero.
    pub finished: u32,
    /// The sequence number at which the head of the next request starts, behind one that has gone on; it counts where
    /// `next_head_known` says so, and where the answer that is awaited has the flow left.
    pub next_head: u32,
    /// Whether `next_head` is known to start a head: one, or zero.
    pub next_head_known: u32,
    /// What the client has acknowledged, as far as was seen.
    pub acknowledged: u32,
    /// Whether the client is a process of this host's, whose requests leave: one, or zero.
    pub is_leaving: u32,
    /// Zero.
    pub padding: u32,
}
crate::plain!(Flow, 56);

impl Flow {
    /// A flow of which every segment is held, last seen at a time of the monotonic clock.
    #[must_use]
    pub const fn held(last_seen: u64) -> Self {
        Self {
            state: FlowState::Owned as u32,
            pass_start: 0,
            pass_end: 0,
            awaited: Awaited::Nothing as u32,
            last_seen,
            answered: 0,
            acknowledged: 0,
            finished: 0,
            next_head: 0,
            next_head_known: 0,
            is_leaving: 0,
            padding: 0,
        }
    }

    /// A flow whose segment with this sequence number, the first that was to be held, found no room;
    /// last seen at a time of the monotonic clock.
    #[must_use]
    pub const fn missed(sequence: u32, last_seen: u64) -> Self {
        Self {
            state: FlowState::Missed as u32,
            pass_start: sequence,
            pass_end: sequence,
            ..Self::held(last_seen)
        }
    }

    /// Whether the next request's head starts with a segment. One that has gone on already may come again, and be
    /// taken for it: it would go on as before.
    #[must_use]
    #[inline(always)]
    pub const fn is_next_head(&self, sequence: u32) -> bool {
        self.next_head_known != 0 && self.next_head == sequence
    }

    /// Whether a segment comes before its turn: the agent would take it for the start of a request.
    #[must_use]
    #[inline(always)]
    pub const fn is_early(&self, sequence: u32) -> bool {
        self.state == FlowState::Missed as u32
            && (sequence.wrapping_sub(self.pass_start) as i32) > 0
    }

    /// Whether a segment's payload, `length` bytes from `sequence` on, lies wholly in the window.
    #[must_use]
    #[inline(always)]
    pub const fn passes(&self, sequence: u32, length: u32) -> bool {
        let window = self.pass_end.wrapping_sub(self.pass_start);
        let offset = sequence.wrapping_sub(self.pass_start);
        // Compared without adding first: a sum could wrap around to a small number.
        offset < window && length <= window - offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn window(pass_start: u32, pass_end: u32) -> Flow {
        Flow {
            pass_start,
            pass_end,
            ..Flow::held(0)
        }
    }

    #[test]
    fn a_held_flow_passes_nothing() {
        assert!(!Flow::held(0).passes(0, 1));
        assert!(!Flow::held(0).passes(u32::MAX, 1));
    }

    #[test]
    fn a_segment_inside_the_window_passes() {
        assert!(window(100, 200).passes(100, 100));
        assert!(window(100, 200).passes(199, 1));
    }

    #[test]
    fn a_segment_that_reaches_out_of_the_window_is_held() {
        assert!(!window(100, 200).passes(99, 2));
        assert!(!window(100, 200).passes(150, 51));
        assert!(!window(100, 200).passes(200, 1));
    }

    #[test]
    fn what_follows_a_missed_segment_is_early_until_that_one_has_come() {
        let missed = Flow::missed(u32::MAX, 0);
        assert!(missed.is_early(0) && missed.is_early(1000));
        assert!(!missed.is_early(u32::MAX) && !missed.is_early(u32::MAX - 10));
        assert!(!missed.passes(u32::MAX, 1));
        assert!(!Flow::held(0).is_early(1000));
    }

    #[test]
    fn the_window_may_wrap_around() {
        assert!(window(u32::MAX - 10, 10).passes(u32::MAX, 5));
        assert!(!window(u32::MAX - 10, 10).passes(5, 6));
    }
}
