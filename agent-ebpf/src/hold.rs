//! What goes to the agent: held frames and ends of flows.

use agent_ebpf::{Capture, Counter, EventHeader, EventKind, Flow, FlowKey, flag, room};
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_log_ebpf::warn;

use crate::{
    Fate, admit,
    frame::Frame,
    maps::{self, EVENTS, FLOWS, Scratch, count},
    packet::{Link, Segment},
};

/// What is known of a segment that is to be held.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The first that the agent gets of the flow; whether the gateway owes an answer to what came before.
    First { unanswered: bool },
    /// One that follows.
    Further,
}

/// What became of a segment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Captured {
    /// The agent has a copy.
    Held,
    /// It has one, and the segment may go on by itself.
    Admitted,
    /// There was no room.
    Dropped,
}

/// Copies a segment's frame into the ring buffer. Whether there was room or not, the packet is dropped, unless it may
/// go on by itself: what found no room comes again with the client's retransmission, and the flow waits for that
/// where this would have been its first. `named` tells whether the scratch memory has the name of its head.
#[inline(always)]
pub(crate) fn hold(
    frame: &impl Frame,
    segment: &Segment,
    scratch: &Scratch,
    counter: Counter,
    place: Place,
    named: bool,
) -> Fate {
    let length = segment.payload_offset + segment.payload_length;
    let captured = if length <= room::SMALL as u32 {
        capture::<{ room::SMALL }>(frame, segment, scratch, length, place, named)
    } else if length <= room::MEDIUM as u32 {
        capture::<{ room::MEDIUM }>(frame, segment, scratch, length, place, named)
    } else {
        capture::<{ room::LARGE }>(frame, segment, scratch, length, place, named)
    };
    if captured != Captured::Dropped {
        count(counter);
    } else {
        if place != Place::Further {
            // The entry was there a moment ago; where it cannot be replaced, the agent gets what
            // follows, and leaves the flow alone.
            let _ = FLOWS.insert(&segment.flow, Flow::missed(segment.sequence, now()), 0);
        }
        let total = count(Counter::DroppedRingFull);
        if maps::is_logged(total) {
            warn!(
                frame,
                "the ring buffer is full; segments are dropped ({} times on this CPU)", total
            );
        }
    }
    if captured == Captured::Admitted {
        Fate::Pass
    } else {
        Fate::Hold
    }
}

#[inline(always)]
fn capture<const N: usize>(
    frame: &impl Frame,
    segment: &Segment,
    scratch: &Scratch,
    length: u32,
    place: Place,
    named: bool,
) -> Captured {
    let Some(mut record) = EVENTS.reserve::<Capture<N>>(0) else {
        return Captured::Dropped;
    };
    let capture = record.as_mut_ptr();
    let room = N as u32;
    // One less at first, read back as `at_least_one` asks for.
    let mut header = header(frame, segment, EventKind::Held, length.wrapping_sub(1));
    if matches!(
        place,
        Place::First {
            unanswered: true,
            ..
        }
    ) {
        header.flags |= flag::UNANSWERED;
    }
    // SAFETY: the record is ours until it is submitted, and large enough for the header.
    unsafe { (&raw mut (*capture).header).write(header) };
    // SAFETY: written just before.
    let last = unsafe { core::ptr::read_volatile(&raw const (*capture).header.length) };
    let length = maps::at_least_one(last, room);
    // SAFETY: as for the header.
    unsafe { (&raw mut (*capture).header.length).write(length) };
    // SAFETY: the length is at most the room behind the pointer, as checked just before.
    let loaded = unsafe { frame.load_bytes(0, (&raw mut (*capture).frame).cast(), length) };
    if !loaded {
        record.discard(0);
        return Captured::Dropped;
    }
    let mut captured = Captured::Held;
    // With an ordinary segment alone: the verifier follows each of the three ways.
    if N == room::SMALL
        && named
        && let Some(slot) = admit::admit(frame, segment, scratch)
    {
        // SAFETY: as for the header.
        unsafe { (*capture).header.flags |= flag::admitted(slot) };
        captured = Captured::Admitted;
    }
    record.submit(0);
    captured
}

/// Tells the agent of an answer, or of the end, of a flow that it has.
#[inline(always)]
pub(crate) fn notice(frame: &impl Frame, segment: &Segment, kind: EventKind) {
    if FLOWS.get_ptr(&segment.flow).is_none() {
        return;
    }
    let Some(mut record) = EVENTS.reserve::<EventHeader>(0) else {
        count(Counter::LostEnd);
        return;
    };
    record.write(header(frame, segment, kind, 0));
    record.submit(0);
}

/// Tells the agent that whatever was reserved before has been told; whether there was room.
#[inline(always)]
pub(crate) fn barrier() -> bool {
    let Some(mut record) = EVENTS.reserve::<EventHeader>(0) else {
        return false;
    };
    record.write(EventHeader {
        time: now(),
        kind: EventKind::Barrier as u32,
        interface: 0,
        length: 0,
        vlan: 0,
        flow: FlowKey {
            source: [0; 16],
            destination: [0; 16],
            source_port: 0,
            destination_port: 0,
        },
        flags: 0,
    });
    record.submit(0);
    true
}

#[inline(always)]
fn header(frame: &impl Frame, segment: &Segment, kind: EventKind, length: u32) -> EventHeader {
    EventHeader {
        time: now(),
        kind: kind as u32,
        interface: frame.interface(),
        length,
        vlan: frame.stripped_vlan(),
        flow: segment.flow,
        flags: if segment.link == Link::Ethernet {
            flag::ETHERNET
        } else {
            0
        },
    }
}

/// The kernel's monotonic clock, in nanoseconds.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: the helper takes no arguments and touches no memory of ours.
    unsafe { bpf_ktime_get_ns() }
}
