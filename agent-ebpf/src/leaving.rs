//! What a process of this host sends to a gateway in one of its containers, under an address that the firewall
//! translates as the packets leave (`OUTPUT` of the `nat` table, as engines of containers have it for published ports):
//! it comes in nowhere on this host, so it is spotted where it goes out.

use aya_ebpf::{bindings::bpf_sock, programs::TcContext};

use crate::packet::Segment;

/// Address families (`include/linux/socket.h`).
const INET: u32 = 2;
const INET6: u32 = 10;
/// What IPv4 addresses start with where they are written as those of IPv6 (RFC 4291, section 2.5.5.2).
const MAPPED: [u32; 3] = [0, 0, 0xffff_u32.to_be()];

/// Whether a packet was made by this host's own stack. What came in here may still belong to a socket, of a container that
/// is connected by a veth pair.
#[inline(always)]
pub(crate) fn is_of_this_host(ctx: &TcContext) -> bool {
    // SAFETY: the kernel hands a valid context, and rewrites this access to the packet's field.
    unsafe { (*ctx.skb.skb).ingress_ifindex == 0 }
}

/// Whether a packet of this host's was sent to another address, or port, than it bears. What goes on by way of a proxy
/// of this host's bears the one to which it was sent: it was spotted on its way to that.
#[inline(always)]
pub(crate) fn is_translated(ctx: &TcContext, segment: &Segment) -> bool {
    // SAFETY: the kernel hands a valid context, and rewrites this access to the packet's field.
    let socket = unsafe { (*ctx.skb.skb).__bindgen_anon_2.sk };
    if socket.is_null() {
        return false;
    }
    // SAFETY: a socket that the packet holds: it is not null.
    let (family, port) = unsafe { (word(&raw const (*socket).family), port(socket)) };
    // Neither has a peer: packet sockets and raw ones.
    if family != INET && family != INET6 || port == 0 {
        return false;
    }
    // SAFETY: a socket that the packet holds: it is not null.
    port != segment.flow.destination_port || unsafe { is_elsewhere(socket, segment) }
}

/// Whether a socket's peer has another address than a segment's destination.
///
/// # Safety
/// There must be a socket.
#[inline(always)]
unsafe fn is_elsewhere(socket: *const bpf_sock, segment: &Segment) -> bool {
    // SAFETY: both are plain bytes, as many of them.
    let [a, b, c, d] =
        unsafe { core::mem::transmute::<[u8; 16], [u32; 4]>(segment.flow.destination) };
    if [a, b, c] == MAPPED {
        // SAFETY: the caller vouches for the socket. Those of IPv6 have it there, too, when they are connected by IPv4.
        return unsafe { word(&raw const (*socket).dst_ip4) } != d;
    }
    // SAFETY: the caller vouches for the socket.
    let [e, f, g, h] = [0, 1, 2, 3].map(|i| unsafe { word(&raw const (*socket).dst_ip6[i]) });
    [a, b, c, d] != [e, f, g, h]
}

/// The peer's port, host byte order.
///
/// # Safety
/// There must be a socket.
#[inline(always)]
unsafe fn port(socket: *const bpf_sock) -> u16 {
    // SAFETY: the caller vouches for it; volatile as below.
    u16::from_be(unsafe { (&raw const (*socket).dst_port).read_volatile() })
}

/// A word of a socket; volatile, since the kernel lets nobody read two at once.
///
/// # Safety
/// It must be of one.
#[inline(always)]
unsafe fn word(at: *const u32) -> u32 {
    // SAFETY: the caller vouches for it.
    unsafe { at.read_volatile() }
}
