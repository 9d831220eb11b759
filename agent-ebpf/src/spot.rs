//! Segments to the gateway: passed, or held and told to the agent.

use agent_ebpf::{Awaited, Counter, EventKind, Flow, FlowState};
use aya_log_ebpf::warn;

use crate::{
    admit,
    classify::{self, Class},
    clock::now,
    frame::Frame,
    hold::{self, Place},
    maps::{self, FLOWS, count},
    packet::{Direction, Link, Segment},
    turn::{self, Arrival},
    verdict::Verdict,
    work::{self, Scratch},
};

#[inline(always)]
pub(crate) fn parsed(frame: &impl Frame, link: Link) -> Verdict {
    match Segment::parse(frame, link, Direction::ToGateway) {
        Some(segment) => spot(frame, segment),
        None => Verdict::Pass,
    }
}

#[inline(always)]
pub(crate) fn spot(frame: &impl Frame, segment: Segment) -> Verdict {
    if is_released(frame) {
        return Verdict::Pass;
    }
    // Every CPU has its own; without one, nothing could be told.
    let Some((segment, scratch)) = work::keep(segment) else {
        return Verdict::Hold;
    };
    let (counter, place, is_head) = match judge(frame, segment, scratch) {
        Judged::Pass => return notice_end(frame, segment),
        Judged::Early => return Verdict::Hold,
        Judged::Further { is_head } => (Counter::HeldFlow, Place::Further, is_head),
        Judged::First(counter) => match take(frame, segment, scratch, counter) {
            Some(place) => (counter, place, counter == Counter::HeldKeyed),
            None => return Verdict::Hold,
        },
    };
    scratch.manner.set(counter, place);
    // What leaves may come by another hook: that of a bridge's port.
    if is_head && segment.is_leaving == 0 && admit::admit(frame, segment, scratch) {
        return notice_end(frame, segment);
    }
    if segment.is_fin() {
        notice_fin(segment);
    }
    hold::hold(frame, segment, &scratch.manner);
    Verdict::Hold
}

/// Whether the agent has released a packet, which is counted.
#[inline(always)]
pub(crate) fn is_released(frame: &impl Frame) -> bool {
    let is_released = frame.take_release();
    if is_released {
        count(Counter::Released);
    }
    is_released
}

/// What is to be done with a segment.
enum Judged {
    Pass,
    /// What comes before it is waited for.
    Early,
    /// The agent has the flow, and knows whether a head starts here.
    Further {
        is_head: bool,
    },
    /// The agent is to have the flow from here on.
    First(Counter),
}

#[inline(always)]
fn judge(frame: &impl Frame, segment: &Segment, scratch: &mut Scratch) -> Judged {
    // What a SYN brings lies elsewhere than its number says, and the text of a RST is no part of the stream
    // (RFC 9293, sections 3.4 and 3.5.3); neither tells what the client has received.
    if segment.is_syn() || segment.is_reset() {
        if segment.is_leaving != 0 && segment.is_syn() {
            turn::opens_leaving(segment);
        }
        return Judged::Pass;
    }
    if segment.payload_length == 0 {
        notice_progress(segment);
        return Judged::Pass;
    }
    let arrival = turn::arrived(segment);
    if let Some(flow) = known(segment, &arrival) {
        // SAFETY: the entry stays in memory while the program runs; a concurrent change shows as the
        // old or the new numbers, and a segment judged by either is held or passed rightly.
        let flow = unsafe { &mut *flow };
        // What comes again tells nothing; some clients keep an idle connection alive with the last byte that they sent.
        if !arrival.is_late {
            flow.last_seen = now();
        }
        if flow.state != FlowState::Opaque as u32 {
            return owned(segment, flow);
        }
    }
    // Taken for a request, it would give the agent a flow that may have ended, and of which nothing more comes; or
    // another protocol's bytes would wait for the rest of a head.
    if arrival.is_late || arrival.is_switched {
        count(Counter::Passed);
        return Judged::Pass;
    }
    if arrival.is_early && turn::waits(segment) {
        count(Counter::DroppedEarly);
        return Judged::Early;
    }
    match classify::classify(frame, segment, scratch) {
        Class::Pass(counter) => {
            count(counter);
            Judged::Pass
        }
        Class::Hold(counter) => Judged::First(counter),
    }
}

/// What the agent has told of a segment's flow.
#[inline(always)]
fn known(segment: &Segment, arrival: &Arrival) -> Option<*mut Flow> {
    if arrival.may_be_held {
        FLOWS.get_ptr_mut(&segment.flow)
    } else {
        None
    }
}

/// Notes that the client has acknowledged something new.
#[inline(always)]
fn notice_progress(segment: &Segment) {
    let Some(flow) = FLOWS.get_ptr_mut(&segment.flow) else {
        return;
    };
    // SAFETY: the entry stays in memory while the program runs; a concurrent change of one number
    // shows as the old or the new one.
    let flow = unsafe { &mut *flow };
    if flow.acknowledged != segment.acknowledged {
        flow.acknowledged = segment.acknowledged;
        flow.last_seen = now();
    }
}

/// A segment of a flow that the agent has.
#[inline(always)]
fn owned(segment: &Segment, flow: &Flow) -> Judged {
    if flow.passes(segment.sequence, segment.payload_length) {
        count(Counter::PassedWindow);
        return Judged::Pass;
    }
    if flow.is_early(segment.sequence) {
        count(Counter::DroppedRingFull);
        return Judged::Early;
    }
    if flow.state == FlowState::Missed as u32 {
        Judged::First(Counter::HeldFlow)
    } else {
        Judged::Further {
            is_head: flow.is_next_head(segment.sequence),
        }
    }
}

/// Gives the agent a flow, from this segment on; `None` where there is no room for it.
#[inline(always)]
fn take(
    frame: &impl Frame,
    segment: &Segment,
    scratch: &Scratch,
    counter: Counter,
) -> Option<Place> {
    // Of one that was missed, and comes again, the working memory tells nothing.
    let is_inside = counter == Counter::HeldUndecided && scratch.is_inside();
    let may_go_on = || turn::may_go_on(segment, is_inside);
    // Nothing but a request names an unlocked container, whose name nobody is told.
    let doubtful = counter != Counter::HeldDirect && may_go_on();
    let awaited = if doubtful {
        Awaited::Answer
    } else {
        Awaited::Nothing
    };
    // Of one that the agent had let go of, it stays known what was answered, and whether the client has ended.
    // SAFETY: the entry is copied at once.
    let earlier = match unsafe { FLOWS.get(&segment.flow) } {
        Some(earlier) => *earlier,
        None => Flow::held(0),
    };
    let flow = Flow {
        state: FlowState::Owned as u32,
        pass_start: 0,
        pass_end: 0,
        awaited: awaited as u32,
        last_seen: now(),
        acknowledged: segment.acknowledged,
        next_head_known: 0,
        is_leaving: segment.is_leaving,
        ..earlier
    };
    if FLOWS.insert(&segment.flow, flow, 0).is_err() {
        turn::missed(segment);
        let total = count(Counter::DroppedFlowsFull);
        if maps::is_logged(total) {
            warn!(
                frame,
                "the map of flows is full; segments are dropped ({} times on this CPU)", total
            );
        }
        return None;
    }
    turn::given(segment);
    // The answer may have gone out on another CPU before the entry was there to tell of it.
    if doubtful && may_go_on() {
        Some(Place::FirstUnanswered)
    } else {
        Some(Place::First)
    }
}

/// Notes that the client has sent its FIN.
#[inline(always)]
fn notice_fin(segment: &Segment) {
    if let Some(flow) = FLOWS.get_ptr_mut(&segment.flow) {
        // SAFETY: the entry stays in memory while the program runs; a concurrent change shows as the old or the
        // new number.
        unsafe { (*flow).finished = 1 };
    }
}

/// Tells the agent of a client's FIN or RST on a flow that it has.
#[inline(always)]
fn notice_end(frame: &impl Frame, segment: &Segment) -> Verdict {
    if segment.is_reset() {
        if turn::ends(segment) {
            hold::tell_end(frame, segment, EventKind::Reset);
        } else {
            count(Counter::ForgedReset);
        }
    } else if segment.is_fin() {
        notice_fin(segment);
        hold::tell_end(frame, segment, EventKind::ClientFin);
    }
    Verdict::Pass
}
