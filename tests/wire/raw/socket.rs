//! Whole frames on the client's end of the wire.
use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    time::Instant,
};

use nix::{
    libc,
    net::if_::if_nametoindex,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket,
        sockopt::RcvBuf,
    },
};

use crate::{
    check::{During as _, Outcome, check},
    scene::{CLIENT_LINK, Scene},
};

/// A packet socket (packet(7)).
pub(super) struct Socket(OwnedFd);

impl Socket {
    pub(super) fn open(scene: &Scene) -> Outcome<Self> {
        scene.client.enter(|| {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let every = SockProtocol::EthAll;
            let socket = socket(AddressFamily::Packet, SockType::Raw, flags, every)?;
            setsockopt(&socket, RcvBuf, &(4 << 20))?;
            bind(&socket)?;
            Ok(Self(socket))
        })
    }

    pub(super) fn send(&self, frame: &[u8]) -> Outcome {
        let sent = send(self.0.as_raw_fd(), frame, MsgFlags::empty()).during("sending a frame")?;
        check!(
            sent == frame.len(),
            "{sent} of {} bytes were sent",
            frame.len()
        );
        Ok(())
    }

    /// The next frame; `None` where none comes in time.
    pub(super) fn receive(&self, deadline: Instant) -> Outcome<Option<Vec<u8>>> {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut watched = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        if poll(&mut watched, PollTimeout::try_from(left)?)? == 0 {
            return Ok(None);
        }
        let mut frame = vec![0; 1 << 17];
        let length = recv(self.0.as_raw_fd(), &mut frame, MsgFlags::empty())?;
        frame.truncate(length);
        Ok(Some(frame))
    }
}

fn bind(socket: &OwnedFd) -> Outcome {
    // SAFETY: all zeros is a value of this plain C structure.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = i32::try_from(if_nametoindex(CLIENT_LINK)?)?;
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the pointer is to a structure of that length, which the kernel only reads.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error().into())
    }
}
