//! The programs that the agent loads: `spot_*` on the ingress hook of every interface, TC's or XDP's,
//! `watch_*` on the egress hook, and `release` at the far end of the agent's veth pair. `spot_loopback` watches, too.
//! `null_*` do nothing: what the others cost is measured against them.
#![no_std]
#![no_main]

mod admit;
mod classify;
mod clock;
mod frame;
mod globals;
mod hold;
mod maps;
mod packet;
mod scan;
mod start;
mod turn;
mod wipe;
mod work;

use agent_ebpf::{Awaited, Counter, EventKind, Flow, FlowState, veth};
use aya_ebpf::{
    bindings::{BPF_F_INGRESS, TC_ACT_SHOT, TC_ACT_UNSPEC, xdp_action},
    helpers::bpf_redirect,
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use aya_log_ebpf::warn;

use crate::{
    classify::Verdict,
    clock::now,
    frame::Frame,
    hold::Place,
    maps::{FLOWS, WATCH, count},
    packet::{Direction, Link, Segment, Wanted},
    turn::{Answer, Arrival, Turn},
    work::Scratch,
};

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Not ours: other programs on the hook run, and the packet goes on.
    Pass,
    /// Held: the agent has a copy, the stack gets none.
    Hold,
}

impl Fate {
    #[inline(always)]
    fn at_tc(self) -> i32 {
        match self {
            Self::Pass => TC_ACT_UNSPEC,
            Self::Hold => TC_ACT_SHOT,
        }
    }

    #[inline(always)]
    fn at_xdp(self) -> u32 {
        match self {
            Self::Pass => xdp_action::XDP_PASS,
            Self::Hold => xdp_action::XDP_DROP,
        }
    }
}

/// Ingress of interfaces with an Ethernet header.
#[classifier]
pub(crate) fn spot_ethernet(ctx: TcContext) -> i32 {
    parse_and_spot(&ctx, Link::Ethernet).at_tc()
}

/// Ingress of the loopback interface, by which everything comes that has gone out on it.
#[classifier]
pub(crate) fn spot_loopback(ctx: TcContext) -> i32 {
    let Some(segment) = Segment::parse(&ctx, Link::Ethernet, Wanted::Both) else {
        return Fate::Pass.at_tc();
    };
    match segment.direction {
        Direction::ToGateway => spot(&ctx, segment).at_tc(),
        Direction::FromGateway => {
            // Both in one would need more than a program's stack.
            // SAFETY: a program of the same type takes over, with the same packet, and does not come back.
            unsafe { WATCH.tail_call(&ctx, 0) };
            // The kernel takes it out where the agent has died and its programs have not. What is known of the flow would
            // not be right any more, and its next request be waited for in vain.
            turn::forget(&segment);
            Fate::Pass.at_tc()
        }
    }
}

/// Ingress of interfaces whose packets start with the IP header (tun, WireGuard).
#[classifier]
pub(crate) fn spot_ip(ctx: TcContext) -> i32 {
    parse_and_spot(&ctx, Link::Ip).at_tc()
}

/// Ingress of interfaces with an Ethernet header, before the stack. Packets may lie in several buffers.
#[xdp(frags)]
pub(crate) fn spot_xdp(ctx: XdpContext) -> u32 {
    parse_and_spot(&ctx, Link::Ethernet).at_xdp()
}

/// Egress of interfaces with an Ethernet header.
#[classifier]
pub(crate) fn watch_ethernet(ctx: TcContext) -> i32 {
    watch(&ctx, Link::Ethernet).at_tc()
}

/// Egress of interfaces whose packets start with the IP header.
#[classifier]
pub(crate) fn watch_ip(ctx: TcContext) -> i32 {
    watch(&ctx, Link::Ip).at_tc()
}

/// Far end of the agent's veth pair: the mark that the agent's socket set is the index of the
/// interface on which the packet was caught; it goes there again, marked as released unless its source
/// address says so already. What the agent itself tells a client goes out there.
#[classifier]
pub(crate) fn release(ctx: TcContext) -> i32 {
    let mark = frame::mark(&ctx);
    let interface = mark & !veth::TO_CLIENT;
    if interface == 0 {
        return TC_ACT_SHOT;
    }
    if mark != interface {
        ctx.set_mark(0);
        // SAFETY: as below.
        return unsafe { bpf_redirect(interface, 0) as i32 };
    }
    let by_source = frame::source(&ctx) == Some(globals::release_source());
    ctx.set_mark(if by_source {
        0
    } else {
        globals::release_mark()
    });
    // SAFETY: the helper reads two numbers and touches no memory of ours.
    unsafe { bpf_redirect(interface, u64::from(BPF_F_INGRESS)) as i32 }
}

/// Overwrites a part of the ring buffer: run by the agent, attached nowhere. One where it was full.
#[classifier]
pub(crate) fn wipe(_: TcContext) -> i32 {
    i32::from(!wipe::step())
}

/// Tells the agent, after all that is being told: run by the agent, attached nowhere. One where there was no room.
#[classifier]
pub(crate) fn barrier(_: TcContext) -> i32 {
    i32::from(!hold::barrier())
}

/// What the hook costs by itself.
#[classifier]
pub(crate) fn null_tc(_: TcContext) -> i32 {
    TC_ACT_UNSPEC
}

/// What XDP's hook costs by itself.
#[xdp(frags)]
pub(crate) fn null_xdp(_: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

#[inline(always)]
fn parse_and_spot(frame: &impl Frame, link: Link) -> Fate {
    match Segment::parse(frame, link, Wanted::One(Direction::ToGateway)) {
        Some(segment) => spot(frame, segment),
        None => Fate::Pass,
    }
}

#[inline(always)]
fn spot(frame: &impl Frame, segment: Segment) -> Fate {
    if frame.take_release() {
        count(Counter::Released);
        return Fate::Pass;
    }
    // Every CPU has its own; without one, nothing could be told.
    let Some((segment, scratch)) = work::keep(segment) else {
        return Fate::Hold;
    };
    let (counter, place, is_head) = match judge(frame, segment, scratch) {
        Judged::Pass => return notice_end(frame, segment),
        Judged::Early => return Fate::Hold,
        Judged::Further { is_head } => (Counter::HeldFlow, Place::Further, is_head),
        Judged::First(counter) => match take(frame, segment, counter) {
            Some(place) => (counter, place, counter == Counter::HeldKeyed),
            None => return Fate::Hold,
        },
    };
    scratch.manner.set(counter, place);
    if is_head && admit::admit(frame, segment, scratch) {
        return notice_end(frame, segment);
    }
    if segment.is_fin() {
        notice_fin(segment);
    }
    hold::hold(frame, segment, &scratch.manner);
    Fate::Hold
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
        Verdict::Pass(counter) => {
            count(counter);
            Judged::Pass
        }
        Verdict::Hold(counter) => Judged::First(counter),
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
fn take(frame: &impl Frame, segment: &Segment, counter: Counter) -> Option<Place> {
    // Nothing but a request names an unlocked container, whose name nobody is told.
    let doubtful = counter != Counter::HeldDirect && turn::of(segment) == Turn::Gateway;
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
    if doubtful && turn::of(segment) == Turn::Gateway {
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
fn notice_end(frame: &impl Frame, segment: &Segment) -> Fate {
    if segment.is_reset() {
        if turn::ends(segment) {
            hold::notice(frame, segment, EventKind::Reset);
        } else {
            count(Counter::ForgedReset);
        }
    } else if segment.is_fin() {
        notice_fin(segment);
        hold::notice(frame, segment, EventKind::ClientFin);
    }
    Fate::Pass
}

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
    if flow.awaited == Awaited::Answer as u32 {
        flow.awaited = Awaited::Nothing as u32;
        hold::notice(frame, segment, EventKind::Answer);
    }
    // Of the agent's flows only, where it has seen a request for that: text of a function's answer may look the same.
    if answer == Answer::Switches && flow.state == FlowState::Opaque as u32 {
        turn::switched(segment);
    }
    if answer == Answer::Failure {
        admit::failed();
        hold::notice(frame, segment, EventKind::Failure);
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
fn watch(frame: &impl Frame, link: Link) -> Fate {
    let Some(segment) = Segment::parse(frame, link, Wanted::One(Direction::FromGateway)) else {
        return Fate::Pass;
    };
    let segment = &segment;
    if segment.is_reset() {
        notice_break(segment);
        hold::notice(frame, segment, EventKind::Reset);
    } else if segment.is_acceptance() {
        // What the agent has is an earlier one between the same ports, whose end was not seen.
        if turn::opened(segment) {
            hold::notice(frame, segment, EventKind::Reset);
        }
    } else {
        if segment.payload_length != 0 {
            notice_answer(frame, segment);
        }
        // The last of an answer may bring it.
        if segment.is_fin() {
            notice_break(segment);
            hold::notice(frame, segment, EventKind::ServerFin);
        }
    }
    Fate::Pass
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier refuses a program that could get here: it would loop forever.
    loop {}
}

/// The kernel gives some helpers to programs under the GPL only; the dual licence keeps them open.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
