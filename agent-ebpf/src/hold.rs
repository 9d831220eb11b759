//! What goes to the agent: held frames and ends of flows.

use agent_ebpf::{Capture, Counter, EventHeader, EventKind, Flow, FlowKey, flag, room};
use aya_ebpf::bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_log_ebpf::warn;

use crate::{
    clock::now,
    frame::{Frame, at_least_one},
    maps::{self, EVENTS, FLOWS, count},
    packet::{Link, Segment},
    turn,
};

/// Wakes the agent, although there may be events before this one for which it was not woken: the ring would take it
/// for awake.
pub(crate) const WAKE: u64 = BPF_RB_FORCE_WAKEUP as u64;
/// Does not wake the agent.
pub(crate) const QUIET: u64 = BPF_RB_NO_WAKEUP as u64;

/// What is known of a segment that is to be held.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// One that follows others which the agent has of the flow.
    Further,
    /// The first of them.
    First,
    /// The first of them, where the gateway owes an answer to what came before.
    FirstUnanswered,
}

/// How a segment is held. It is put into working memory: the verifier would follow all that comes after once more for
/// each manner that it knows.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Manner {
    counter: u32,
    place: u32,
}

impl Manner {
    #[inline(always)]
    pub(crate) fn set(&mut self, counter: Counter, place: Place) {
        let manner = Self {
            counter: counter as u32,
            place: place as u32,
        };
        // SAFETY: a reference. Volatile, or the compiler would go on with what it knows.
        unsafe { (&raw mut *self).write_volatile(manner) };
    }

    #[inline(always)]
    fn get(&self) -> Self {
        // SAFETY: a reference. Volatile, or the compiler would go on with what it knows.
        unsafe { (&raw const *self).read_volatile() }
    }
}

/// Copies a segment's frame into the ring buffer. Whether there was room or not, the caller drops
/// the packet: what found no room comes again with the client's retransmission, and the flow waits for
/// that where this would have been its first.
#[inline(always)]
pub(crate) fn hold(frame: &impl Frame, segment: &Segment, manner: &Manner) {
    let Manner { counter, place } = manner.get();
    let length = segment.payload_offset + segment.payload_length;
    let mut flags = match place {
        place if place == Place::FirstUnanswered as u32 => flag::UNANSWERED,
        place if place == Place::Further as u32 => flag::FURTHER,
        _ => 0,
    };
    if turn::is_clients(segment) {
        flags |= flag::ANSWERED;
    }
    if frame.is_verified() {
        flags |= flag::VERIFIED;
    }
    let copied = if length <= room::SMALL as u32 {
        capture::<{ room::SMALL }>(frame, segment, length, flags)
    } else if length <= room::MEDIUM as u32 {
        capture::<{ room::MEDIUM }>(frame, segment, length, flags)
    } else {
        capture::<{ room::LARGE }>(frame, segment, length, flags)
    };
    if copied.is_some() {
        maps::count_in(counter);
    } else {
        if place != Place::Further as u32 {
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
}

#[inline(always)]
fn capture<const N: usize>(
    frame: &impl Frame,
    segment: &Segment,
    length: u32,
    flags: u16,
) -> Option<()> {
    let mut record = EVENTS.reserve::<Capture<N>>(0)?;
    let capture = record.as_mut_ptr();
    let room = N as u32;
    // One less at first, read back as `at_least_one` asks for.
    let mut header = header(frame, segment, EventKind::Held, length.wrapping_sub(1));
    header.flags |= flags;
    // SAFETY: the record is ours until it is submitted, and large enough for the header.
    unsafe { (&raw mut (*capture).header).write(header) };
    // SAFETY: written just before.
    let last = unsafe { core::ptr::read_volatile(&raw const (*capture).header.length) };
    let length = at_least_one(last, room);
    // SAFETY: the record is ours until it is submitted, and large enough for the header.
    unsafe { (&raw mut (*capture).header.length).write(length) };
    // SAFETY: the length is at most the room behind the pointer, as checked just before.
    let loaded = unsafe { frame.load_bytes(0, (&raw mut (*capture).frame).cast(), length) };
    if !loaded {
        record.discard(QUIET);
        return None;
    }
    record.submit(WAKE);
    Some(())
}

/// Tells the agent of the end of a flow that it has.
#[inline(always)]
pub(crate) fn tell_end(frame: &impl Frame, segment: &Segment, kind: EventKind) {
    if !tell_of_flow(frame, segment, kind) {
        count(Counter::LostEnd);
    }
}

/// Tells the agent of an answer, or a failure, on a flow that it has. False where the ring buffer had no room.
#[inline(always)]
pub(crate) fn tell_answer(frame: &impl Frame, segment: &Segment, kind: EventKind) -> bool {
    let is_told = tell_of_flow(frame, segment, kind);
    if !is_told {
        count(Counter::LostAnswer);
    }
    is_told
}

/// Tells the agent of a flow, if it has that. False where the ring buffer had no room.
#[inline(always)]
fn tell_of_flow(frame: &impl Frame, segment: &Segment, kind: EventKind) -> bool {
    FLOWS.get_ptr(&segment.flow).is_none() || tell(header(frame, segment, kind, 0))
}

/// Tells the agent that whatever was reserved before has been told; whether there was room.
#[inline(always)]
pub(crate) fn barrier() -> bool {
    tell(EventHeader {
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
        segment: 0,
    })
}

/// Sends an event that is told by its header alone; whether there was room.
#[inline(always)]
fn tell(event: EventHeader) -> bool {
    let Some(mut record) = EVENTS.reserve::<EventHeader>(0) else {
        return false;
    };
    record.write(event);
    record.submit(WAKE);
    true
}

#[inline(always)]
pub(crate) fn header(
    frame: &impl Frame,
    segment: &Segment,
    kind: EventKind,
    length: u32,
) -> EventHeader {
    EventHeader {
        time: now(),
        kind: kind as u32,
        interface: frame.interface(),
        length,
        vlan: frame.stripped_vlan(),
        flow: segment.flow,
        flags: flags_of(segment),
        segment: frame.segment(),
    }
}

#[inline(always)]
fn flags_of(segment: &Segment) -> u16 {
    let mut flags = 0;
    if segment.link == Link::Ethernet {
        flags |= flag::ETHERNET;
    }
    if segment.is_leaving != 0 {
        flags |= flag::LEAVING;
    }
    flags
}
