//! The programs that the agent loads: `spot_*` on the ingress hook of every interface, TC's or XDP's,
//! `watch_*` on the egress hook, and `release` at the far end of the agent's veth pair. `spot_loopback` watches, too,
//! and the others hand what leaves this host, and the answers to that, to each other (`leaving`).
//! `null_*` do nothing: what the others cost is measured against them.
#![no_std]
#![no_main]

mod admit;
mod answer;
mod classify;
mod clock;
mod frame;
mod globals;
mod hold;
mod leaving;
mod maps;
mod packet;
mod scan;
mod spot;
mod start;
mod target;
mod turn;
mod verdict;
mod watch;
mod wipe;
mod work;

use agent_ebpf::{tail_call, veth};
use aya_ebpf::{
    bindings::{BPF_F_INGRESS, TC_ACT_SHOT, TC_ACT_UNSPEC, xdp_action},
    helpers::bpf_redirect,
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};

use crate::{
    maps::TAIL_CALLS,
    packet::{Direction, Link, Parsed, Segment},
    spot::{is_released, spot},
    verdict::Verdict,
};

/// Ingress of interfaces with an Ethernet header.
#[classifier]
#[inline(always)]
pub(crate) fn spot_ethernet(ctx: TcContext) -> i32 {
    match packet::parse(&ctx, Link::Ethernet, Direction::ToGateway) {
        Parsed::Segment(segment) => spot(&ctx, segment).at_tc(),
        // All other answers are watched as they leave.
        Parsed::OtherWay => watch_instead(&ctx, turn::is_leaving),
        Parsed::NotOurs => Verdict::Pass.at_tc(),
    }
}

/// Ingress of the loopback interface, by which everything comes that has gone out on it.
#[classifier]
#[inline(always)]
pub(crate) fn spot_loopback(ctx: TcContext) -> i32 {
    match packet::parse(&ctx, Link::Ethernet, Direction::ToGateway) {
        Parsed::Segment(segment) => spot(&ctx, segment).at_tc(),
        Parsed::OtherWay => watch_instead(&ctx, |_| true),
        Parsed::NotOurs => Verdict::Pass.at_tc(),
    }
}

/// TC ingress of interfaces where XDP spots.
#[classifier]
pub(crate) fn answer_ethernet(ctx: TcContext) -> i32 {
    watch_instead(&ctx, turn::is_leaving)
}

/// Hands over what comes from the gateway, if it is to be watched where it comes in: both in one would need more than a
/// program's stack.
#[inline(always)]
fn watch_instead(ctx: &TcContext, is_watched: impl FnOnce(&Segment) -> bool) -> i32 {
    if let Some(segment) = Segment::parse(ctx, Link::Ethernet, Direction::FromGateway)
        && !segment.is_bare()
        && is_watched(&segment)
    {
        // SAFETY: a program of the same type takes over, with the same packet, and does not come back.
        unsafe { TAIL_CALLS.tail_call(ctx, tail_call::WATCH) };
        // The kernel takes it out where the agent has died and its programs have not. What is known of the flow would
        // not be right any more, and its next request be waited for in vain.
        turn::forget(&segment);
    }
    Verdict::Pass.at_tc()
}

/// Ingress of interfaces whose packets start with the IP header (tun, WireGuard).
#[classifier]
#[inline(always)]
pub(crate) fn spot_ip(ctx: TcContext) -> i32 {
    spot::parsed(&ctx, Link::Ip).at_tc()
}

/// Ingress of interfaces with an Ethernet header, before the stack. Packets may lie in several buffers.
#[xdp(frags)]
#[inline(always)]
pub(crate) fn spot_xdp(ctx: XdpContext) -> u32 {
    spot::parsed(&ctx, Link::Ethernet).at_xdp()
}

/// Egress of interfaces with an Ethernet header.
#[classifier]
pub(crate) fn watch_ethernet(ctx: TcContext) -> i32 {
    match packet::parse(&ctx, Link::Ethernet, Direction::FromGateway) {
        Parsed::Segment(segment) => watch::watch(&ctx, &segment).at_tc(),
        Parsed::OtherWay => spot_if_translated(&ctx),
        Parsed::NotOurs => Verdict::Pass.at_tc(),
    }
}

/// Hands over what leaves to the gateway under another address than it was sent to.
#[inline(always)]
fn spot_if_translated(ctx: &TcContext) -> i32 {
    if !is_released(ctx)
        && leaving::is_of_this_host(ctx)
        && let Some(segment) = Segment::parse(ctx, Link::Ethernet, Direction::ToGateway)
        // What TCP says in a connection's name where there is none any more has no socket with a peer.
        && (leaving::is_translated(ctx, &segment)
            || segment.is_reset() && turn::is_leaving(&segment))
    {
        // SAFETY: a program of the same type takes over, with the same packet, and does not come back. Where the kernel has
        // taken it out, nobody would answer for what is held.
        unsafe { TAIL_CALLS.tail_call(ctx, tail_call::LEAVING) };
    }
    Verdict::Pass.at_tc()
}

/// What leaves to the gateway, as `watch_ethernet` hands it over.
#[classifier]
#[inline(always)]
pub(crate) fn spot_leaving(ctx: TcContext) -> i32 {
    match packet::parse(&ctx, Link::Ethernet, Direction::ToGateway) {
        Parsed::Segment(segment) => spot(&ctx, segment.leaving()).at_egress(),
        Parsed::OtherWay | Parsed::NotOurs => Verdict::Pass.at_egress(),
    }
}

/// Egress of interfaces whose packets start with the IP header.
#[classifier]
pub(crate) fn watch_ip(ctx: TcContext) -> i32 {
    watch::parsed(&ctx, Link::Ip).at_tc()
}

/// Far end of the agent's veth pair: the mark that the agent's socket set is the index of the
/// interface on which the packet was caught; it goes there again, the same way, marked as released unless its source
/// address says so already. What the agent itself tells a client goes the other way.
#[classifier]
pub(crate) fn release(ctx: TcContext) -> i32 {
    let mark = frame::mark(&ctx);
    let interface = mark & !(veth::TO_CLIENT | veth::OUT);
    if interface == 0 {
        return TC_ACT_SHOT;
    }
    let by_source = frame::source(&ctx) == Some(globals::release_source());
    ctx.set_mark(if by_source || mark & veth::TO_CLIENT != 0 {
        0
    } else {
        globals::release_mark()
    });
    let way = if mark & veth::OUT != 0 {
        0
    } else {
        u64::from(BPF_F_INGRESS)
    };
    // SAFETY: the helper reads two numbers and touches no memory of ours.
    unsafe { bpf_redirect(interface, way) as i32 }
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
