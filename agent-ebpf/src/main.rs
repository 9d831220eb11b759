//! The programs that the agent loads: `spot_*` on the ingress hook of every interface, `watch_*` on
//! the egress hook, and `release` at the far end of the agent's veth pair.
#![no_std]
#![no_main]

mod classify;
mod hold;
mod maps;
mod packet;
mod scan;

use agent_ebpf::{Counter, EventKind, Flow, FlowState};
use aya_ebpf::{
    bindings::{BPF_F_INGRESS, TC_ACT_SHOT, TC_ACT_UNSPEC},
    helpers::bpf_redirect,
    macros::classifier,
    programs::TcContext,
};

use crate::{
    classify::Verdict,
    maps::{FLOWS, count},
    packet::{Direction, Link, Segment},
};

/// Not ours: other programs on the hook run, and the packet goes on.
const PASS: i32 = TC_ACT_UNSPEC;
/// Held: the agent has a copy, the stack gets none.
const HOLD: i32 = TC_ACT_SHOT;

/// Ingress of interfaces with an Ethernet header, loopback included.
#[classifier]
pub(crate) fn spot_ethernet(ctx: TcContext) -> i32 {
    spot(&ctx, Link::Ethernet)
}

/// Ingress of interfaces whose packets start with the IP header (tun, WireGuard).
#[classifier]
pub(crate) fn spot_ip(ctx: TcContext) -> i32 {
    spot(&ctx, Link::Ip)
}

/// Egress of interfaces with an Ethernet header.
#[classifier]
pub(crate) fn watch_ethernet(ctx: TcContext) -> i32 {
    watch(&ctx, Link::Ethernet)
}

/// Egress of interfaces whose packets start with the IP header.
#[classifier]
pub(crate) fn watch_ip(ctx: TcContext) -> i32 {
    watch(&ctx, Link::Ip)
}

/// Far end of the agent's veth pair: the mark that the agent's socket set is the index of the
/// interface on which the packet was caught; it goes there again, marked as released.
#[classifier]
pub(crate) fn release(ctx: TcContext) -> i32 {
    let interface = packet::mark(&ctx);
    if interface == 0 {
        return HOLD;
    }
    ctx.set_mark(maps::release_mark());
    // SAFETY: the helper reads two numbers and touches no memory of ours.
    unsafe { bpf_redirect(interface, u64::from(BPF_F_INGRESS)) as i32 }
}

#[inline(always)]
fn spot(ctx: &TcContext, link: Link) -> i32 {
    let Some(segment) = Segment::parse(ctx, link, Direction::ToGateway) else {
        return PASS;
    };
    if packet::mark(ctx) == maps::release_mark() {
        // Nobody behind this program is to take it for a mark of theirs.
        ctx.set_mark(0);
        count(Counter::Released);
        return PASS;
    }
    if segment.payload_length == 0 {
        return notice_end(ctx, &segment);
    }
    // SAFETY: the entry is read at once; a concurrent change shows as the old or the new window,
    // and a segment judged by either is held or passed rightly.
    if let Some(flow) = unsafe { FLOWS.get(&segment.flow) } {
        return known(ctx, &segment, flow);
    }
    match classify::classify(ctx, &segment) {
        Verdict::Pass(counter) => {
            count(counter);
            PASS
        }
        Verdict::Hold(counter) => {
            if FLOWS.insert(&segment.flow, Flow::held(), 0).is_err() {
                let total = count(Counter::DroppedFlowsFull);
                maps::log_rarely(ctx, total, "the map of flows is full; segments are dropped");
                return HOLD;
            }
            hold::hold(ctx, &segment, counter, true);
            HOLD
        }
    }
}

/// A segment of a flow that the agent has.
#[inline(always)]
fn known(ctx: &TcContext, segment: &Segment, flow: &Flow) -> i32 {
    if flow.state == FlowState::Opaque as u32 {
        count(Counter::PassedOpaque);
        return notice_end(ctx, segment);
    }
    if flow.passes(segment.sequence, segment.payload_length) {
        count(Counter::PassedWindow);
        return notice_end(ctx, segment);
    }
    if flow.is_early(segment.sequence) {
        count(Counter::DroppedRingFull);
        return HOLD;
    }
    let first = flow.state == FlowState::Missed as u32;
    if first {
        // It is in the map: replacing it needs no room.
        let _ = FLOWS.insert(&segment.flow, Flow::held(), 0);
    }
    hold::hold(ctx, segment, Counter::HeldFlow, first);
    HOLD
}

/// Tells the agent of a client's FIN or RST on a flow that it has; notes where a new flow starts.
#[inline(always)]
fn notice_end(ctx: &TcContext, segment: &Segment) -> i32 {
    if segment.is_reset() {
        hold::notice(ctx, segment, EventKind::Reset);
    } else if segment.is_fin() {
        hold::notice(ctx, segment, EventKind::ClientFin);
    } else if segment.is_syn() {
        classify::note_start(segment);
    }
    PASS
}

/// Tells the agent of the first payload of an answer that it awaits.
#[inline(always)]
fn notice_answer(ctx: &TcContext, segment: &Segment) {
    let Some(flow) = FLOWS.get_ptr_mut(&segment.flow) else {
        return;
    };
    // SAFETY: the entry stays in memory while the program runs; a concurrent change of one number
    // shows as the old or the new one.
    let awaits = unsafe { &mut (*flow).awaits_answer };
    if *awaits != 0 {
        *awaits = 0;
        hold::notice(ctx, segment, EventKind::Answer);
    }
}

#[inline(always)]
fn watch(ctx: &TcContext, link: Link) -> i32 {
    let Some(segment) = Segment::parse(ctx, link, Direction::FromGateway) else {
        return PASS;
    };
    if segment.is_reset() {
        hold::notice(ctx, &segment, EventKind::Reset);
    } else if segment.is_fin() {
        hold::notice(ctx, &segment, EventKind::ServerFin);
    } else if segment.payload_length != 0 {
        notice_answer(ctx, &segment);
    }
    PASS
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
