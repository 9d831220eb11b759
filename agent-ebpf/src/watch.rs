//! Segments from the gateway: what of answers and ends the agent is told, and the programs remember.

use agent_ebpf::{Awaited, EventKind, FlowState};

use crate::{
    admit,
    answer::Answer,
    clock::now,
    frame::Frame,
    hold,
    maps::FLOWS,
    packet::{Direction, Link, Segment},
    turn,
    verdict::Verdict,
};

/// Notes that the gateway has sent payload, and tells the agent where an answer begins of which it wants to know,
/// or one that says that the function has failed.
#[inline(always)]
fn notice_answer(frame: &impl Frame, segment: &Segment) {
    let answer = turn::answered(frame, segment);
    let Some(flow) = FLOWS.get_ptr_mut(&segment.flow) else {
        return;
    };
    // SAFETY: the entry stays in memory while the program runs; a concurrent change of one number
    // shows as the old or the new one.
    let flow = unsafe { &mut *flow };
    if answer == Answer::Interim {
        return;
    }
    let now = now();
    flow.answered = now;
    // Sequence numbers come round: what has been answered is not to let pass what has the same ones then.
    if turn::is_before(flow.pass_end.wrapping_sub(1), segment.acknowledged) {
        flow.pass_start = flow.pass_end;
    }
    if answer != Answer::GoesOn {
        flow.last_seen = now;
    }
    // Set before the agent is told, since it may set both anew at once; and back where it could not be told, so that it
    // is with the next of the answer.
    let (awaited, state) = (flow.awaited, flow.state);
    let is_leave = awaited == Awaited::Leave as u32;
    if is_leave || awaited == Awaited::Answer as u32 {
        flow.awaited = Awaited::Nothing as u32;
    }
    let is_left = is_leave && turn::has_come_to(segment, flow.next_head);
    if is_left {
        flow.state = FlowState::Opaque as u32;
    }
    if (is_left || awaited == Awaited::Answer as u32)
        && !hold::tell_answer(frame, segment, EventKind::Answer)
    {
        flow.awaited = awaited;
        flow.state = state;
    }
    // Of the agent's flows only, where it has seen a request for that: text of a function's answer may look the same.
    if answer == Answer::Switches && flow.state == FlowState::Opaque as u32 {
        turn::switched(segment);
    }
    if answer == Answer::Failure {
        admit::failed();
        hold::tell_answer(frame, segment, EventKind::Failure);
    }
}

/// Notes that the gateway ends a flow of the agent's whose client has not: the function may be the reason.
#[inline(always)]
fn notice_break(segment: &Segment) {
    if let Some(flow) = FLOWS.get_ptr(&segment.flow) {
        // SAFETY: the entry stays in memory while the program runs.
        let finished = unsafe { (*flow).finished };
        if finished == 0 {
            admit::failed();
        }
    }
}

#[inline(always)]
pub(crate) fn parsed(frame: &impl Frame, link: Link) -> Verdict {
    match Segment::parse(frame, link, Direction::FromGateway) {
        Some(segment) => watch(frame, &segment),
        None => Verdict::Pass,
    }
}

#[inline(always)]
pub(crate) fn watch(frame: &impl Frame, segment: &Segment) -> Verdict {
    if segment.is_reset() {
        notice_break(segment);
        hold::tell_end(frame, segment, EventKind::Reset);
    } else if segment.is_acceptance() {
        // What the agent has is an earlier one between the same ports, whose end was not seen.
        if turn::opened(segment) {
            hold::tell_end(frame, segment, EventKind::Reset);
        }
    } else {
        if segment.payload_length != 0 {
            notice_answer(frame, segment);
        }
        // The last of an answer may bring it.
        if segment.is_fin() {
            notice_break(segment);
            hold::tell_end(frame, segment, EventKind::ServerFin);
        }
    }
    Verdict::Pass
}
