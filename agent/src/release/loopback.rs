//! The way back over loopback: raw sockets, whose packets take the ordinary way out and in again.
//!
//! What is redirected to loopback's ingress has no route of its own, and the kernel drops packets from or
//! to the host's own addresses that come in without one, unless the receiving socket happens to have
//! a valid route at hand (`ip_route_input_slow`, martian addresses). Packets that are sent have one.
use std::{
    io,
    net::{IpAddr, SocketAddrV4, SocketAddrV6},
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, sendto,
    setsockopt, socket, sockopt::Mark,
};

use super::template::Frame;

/// The interface whose packets go this way.
pub(super) const INTERFACE: u32 = super::LOOPBACK;

/// Raw sockets for packets with their own IP header (raw(7), `IPPROTO_RAW`).
pub(super) struct Loopback {
    v4: OwnedFd,
    /// None where the kernel has no IPv6, and so no packets of it.
    v6: Option<OwnedFd>,
}

impl Loopback {
    /// Opens the sockets; their packets carry the mark that the spotter lets pass.
    pub(super) fn open(mark: u32) -> io::Result<Self> {
        let v4 = raw(AddressFamily::Inet, mark)?;
        let v6 = match raw(AddressFamily::Inet6, mark) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::info!(%error, "no IPv6 over loopback");
                None
            }
        };
        Ok(Self { v4, v6 })
    }

    /// Sends a frame's packet; how many bytes of it went out.
    pub(super) fn send(&self, frame: &Frame) -> io::Result<usize> {
        let packet = frame.packet();
        let flags = MsgFlags::MSG_DONTWAIT;
        Ok(match frame.destination() {
            IpAddr::V4(address) => {
                let address = SockaddrIn::from(SocketAddrV4::new(address, 0));
                sendto(self.v4.as_raw_fd(), packet, &address, flags)?
            }
            IpAddr::V6(address) => {
                let socket = self.v6.as_ref().ok_or(io::ErrorKind::Unsupported)?;
                let address = SockaddrIn6::from(SocketAddrV6::new(address, 0, 0, 0));
                sendto(socket.as_raw_fd(), packet, &address, flags)?
            }
        })
    }
}

fn raw(family: AddressFamily, mark: u32) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(family, SockType::Raw, flags, SockProtocol::Raw)?;
    setsockopt(&socket.as_fd(), Mark, &mark)?;
    Ok(socket)
}
