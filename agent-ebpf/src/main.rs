//! The programs that the agent loads: `spot_*` on the ingress hook of every interface, TC's or XDP's,
//! `watch_*` on the egress hook, and `release` at the far end of the agent's veth pair. `spot_loopback` watches, too.
//! `null_*` do nothing: what the others cost is measured against them.
#![no_std]
#![no_main]

mod admit;
mod classify;
mod clock;
mod fate;
mod frame;
mod globals;
mod hold;
mod maps;
mod packet;
mod scan;
mod spot;
mod start;
mod turn;
mod watch;
mod wipe;
mod work;

use agent_ebpf::veth;
use aya_ebpf::{
    bindings::{BPF_F_INGRESS, TC_ACT_SHOT, TC_ACT_UNSPEC, xdp_action},
    helpers::bpf_redirect,
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};

use crate::{
    fate::Fate,
    maps::WATCH,
    packet::{Direction, Link, Segment, Wanted},
    spot::spot,
    watch::watch,
};

/// Ingress of interfaces with an Ethernet header.
#[classifier]
#[inline(always)]
pub(crate) fn spot_ethernet(ctx: TcContext) -> i32 {
    spot::parsed(&ctx, Link::Ethernet).at_tc()
}

/// Ingress of the loopback interface, by which everything comes that has gone out on it.
#[classifier]
#[inline(always)]
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
