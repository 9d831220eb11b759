//! Whose turn it is on a flow. A client that waits for its answers starts a request where the gateway has
//! answered all that came before; one that does not, behind a request that can have no body.

use crate::{
    answer::Answer,
    clock::now,
    frame::Frame,
    maps::{FLOWS, STARTS, Start},
    packet::Segment,
};

/// How long a request's start is waited for where more of it has come, 3 s in nanoseconds: by then a client has sent
/// it again some times, or it came while nobody looked.
const PATIENCE: u64 = 3_000_000_000;

/// Whether the turn is the client's where a segment starts: the gateway has answered all before it, so that a request may
/// start there.
#[inline(always)]
pub(crate) fn is_clients(segment: &Segment) -> bool {
    // SAFETY: the entry is read at once; only this flow's segments change it.
    unsafe { STARTS.get(&segment.flow) }.is_some_and(|start| start.next == segment.sequence)
}

/// Whether a segment may be the rest of a request; `is_inside` tells that it starts none.
#[inline(always)]
pub(crate) fn may_go_on(segment: &Segment, is_inside: bool) -> bool {
    // SAFETY: the entry is read at once; only this flow's segments change it.
    match unsafe { STARTS.get(&segment.flow) } {
        Some(start) => start.next != segment.sequence && start.passed != segment.sequence,
        None => is_inside,
    }
}

/// What is noted of a segment's flow.
#[inline(always)]
fn noted<'a>(segment: &Segment) -> Option<&'a mut Start> {
    // SAFETY: the entry stays in memory while the program runs; only this flow's segments change it.
    STARTS
        .get_ptr_mut(&segment.flow)
        .map(|start| unsafe { &mut *start })
}

/// What is known of a segment's flow when it comes.
pub(crate) struct Arrival {
    /// Whether the start of its request has not come: without that, nothing can be told of it.
    pub(crate) is_early: bool,
    /// Whether the gateway had all of it when it last answered: its TCP throws it away, whatever it is.
    pub(crate) is_late: bool,
    /// Whether the agent may have the flow.
    pub(crate) may_be_held: bool,
    /// Whether the flow is of another protocol by now.
    pub(crate) is_switched: bool,
}

/// Notes that a segment has come.
#[inline(always)]
pub(crate) fn arrived(segment: &Segment) -> Arrival {
    let Some(start) = noted(segment) else {
        return Arrival {
            is_early: false,
            is_late: false,
            may_be_held: true,
            is_switched: false,
        };
    };
    start.is_leaving = segment.is_leaving;
    let is_early = start.reached == start.next && is_before(start.next, segment.sequence);
    if !is_early {
        reach(start, segment);
    }
    Arrival {
        is_early,
        is_late: !is_before(start.next, end_of(segment)),
        may_be_held: start.may_be_held != 0,
        is_switched: start.is_switched != 0,
    }
}

/// Notes that the whole of a request passes with a segment, if one starts there.
#[inline(always)]
pub(crate) fn passed(segment: &Segment) {
    if let Some(start) = noted(segment)
        && (start.next == segment.sequence || start.passed == segment.sequence)
        && is_before(start.passed, end_of(segment))
    {
        start.passed = end_of(segment);
    }
}

/// Whether the client's stream has come to a sequence number, and no further.
#[inline(always)]
pub(crate) fn has_come_to(segment: &Segment, sequence: u32) -> bool {
    noted(segment).is_some_and(|start| start.reached == sequence)
}

/// Notes that the agent has a flow, once that can be found in `FLOWS`.
#[inline(always)]
pub(crate) fn given(segment: &Segment) {
    if let Some(start) = noted(segment) {
        start.may_be_held = 1;
    }
}

/// Notes that the gateway has changed a flow's protocol.
#[inline(always)]
pub(crate) fn switched(segment: &Segment) {
    if let Some(start) = noted(segment) {
        start.is_switched = 1;
    }
}

/// Takes it back that a segment has come for which there is no room: of the request that starts there the rest must not
/// come first.
#[inline(always)]
pub(crate) fn missed(segment: &Segment) {
    if let Some(start) = noted(segment)
        && start.next == segment.sequence
    {
        start.reached = start.next;
        start.waits = 0;
    }
}

/// Whether a segment whose request's start has not come waits for that still.
#[inline(always)]
pub(crate) fn waits(segment: &Segment) -> bool {
    let Some(start) = noted(segment) else {
        return false;
    };
    if start.waits == 0 {
        start.waits = now();
    }
    if now() - start.waits < PATIENCE {
        return true;
    }
    reach(start, segment);
    false
}

#[inline(always)]
fn reach(start: &mut Start, segment: &Segment) {
    let end = end_of(segment);
    if is_before(start.reached, end) {
        start.reached = end;
        start.waits = 0;
    }
}

/// The sequence number behind a segment's payload.
#[inline(always)]
fn end_of(segment: &Segment) -> u32 {
    segment.sequence.wrapping_add(segment.payload_length)
}

/// Whether a sequence number comes before another one; half of them do.
#[inline(always)]
pub(crate) fn is_before(sequence: u32, other: u32) -> bool {
    (sequence.wrapping_sub(other) as i32) < 0
}

/// Notes that the gateway accepts a connection, whose first request starts behind the client's SYN. Whether it is
/// another one than was known of: its SYN alone does not tell, since anybody can send that.
#[inline(always)]
pub(crate) fn opened(segment: &Segment) -> bool {
    let next = segment.acknowledged;
    // SAFETY: the entry is read at once; only this flow's segments change it.
    let is_known = unsafe { STARTS.get(&segment.flow) }.is_some_and(|start| start.next == next);
    // One that comes again must not undo what has come since.
    if !is_known {
        set(segment, next, next, false);
        // The agent may have an earlier one, or this one's first segment by now.
        if FLOWS.get_ptr(&segment.flow).is_some() {
            given(segment);
        }
    }
    !is_known
}

/// Knows nothing of a flow any more.
#[inline(always)]
pub(crate) fn forget(segment: &Segment) {
    // There may have been nothing.
    let _ = STARTS.remove(&segment.flow);
}

/// Whether a client's RST may be its own: it lies within what has come since the gateway last answered, or right behind
/// it and a FIN. TCP believes no other either (RFC 5961, section 3.2).
#[inline(always)]
pub(crate) fn ends(segment: &Segment) -> bool {
    // SAFETY: the entry is copied at once; only this flow's segments change it.
    match unsafe { STARTS.get(&segment.flow) } {
        Some(start) => {
            let come = start.reached.wrapping_sub(start.next);
            segment.sequence.wrapping_sub(start.next) <= come.wrapping_add(1)
        }
        None => true,
    }
}

/// Notes that the gateway has sent payload.
#[inline(always)]
pub(crate) fn answered(frame: &impl Frame, segment: &Segment) -> Answer {
    if let Some(start) = noted(segment) {
        // The answer goes on.
        if start.next == segment.acknowledged {
            return Answer::GoesOn;
        }
        let answer = Answer::of(frame, segment);
        if answer != Answer::Interim {
            start.next = segment.acknowledged;
            start.waits = 0;
            if is_before(start.reached, start.next) {
                start.reached = start.next;
            }
        }
        return answer;
    }
    let answer = Answer::of(frame, segment);
    if answer != Answer::Interim {
        // What has come of the next request was not seen: its start may be among it.
        let next = segment.acknowledged;
        set(segment, next, next.wrapping_add(1), true);
    }
    answer
}

/// Notes that a client opens a connection whose requests leave this host. The gateway has not accepted it yet, so that
/// it is another one than was known of.
#[inline(always)]
pub(crate) fn opens_leaving(segment: &Segment) {
    let next = segment.sequence;
    if noted(segment).is_some_and(|start| {
        // One that comes again must not undo what has come since.
        start.is_leaving != 0 && start.next.wrapping_sub(next) <= 1
    }) {
        return;
    }
    set(segment, next, next, true);
}

/// Whether a segment is of a connection whose requests leave this host, as far as is known: of one that is older than the
/// programs, from the first segment on that is held.
#[inline(always)]
pub(crate) fn is_leaving(segment: &Segment) -> bool {
    match noted(segment) {
        Some(start) => start.is_leaving != 0,
        // SAFETY: the entry stays in memory while the program runs.
        None => FLOWS
            .get_ptr(&segment.flow)
            .is_some_and(|flow| unsafe { (*flow).is_leaving != 0 }),
    }
}

#[inline(always)]
fn set(segment: &Segment, next: u32, reached: u32, may_be_held: bool) {
    let start = Start {
        next,
        reached,
        waits: 0,
        may_be_held: u32::from(may_be_held),
        is_switched: 0,
        passed: next,
        is_leaving: u32::from(segment.is_leaving != 0 || is_leaving(segment)),
    };
    // A full LRU map makes room by itself; where the insertion fails all the same, nothing is known of
    // the flow.
    let _ = STARTS.insert(&segment.flow, start, 0);
}
