//! Where released frames enter the host again: the near end of the veth pair, where the packet's mark
//! names the interface, and loopback.
use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
};

use agent_ebpf::veth;
use nix::{
    libc,
    net::if_::if_nametoindex,
    sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockType, send, setsockopt, socket, sockopt::Mark,
    },
};
use rtnetlink::{LinkUnspec, LinkVeth};

use super::{
    claim::Claim,
    loopback::{self, Loopback},
    template::Frame,
};
use crate::spot::{self, Caught, Hook, ReleaseSign, SpotError, Spotter};

const NEAR: &str = Port::PAIR[0];
const FAR: &str = Port::PAIR[1];
/// Largest MTU of a veth device, so that any interface's frames fit.
const MTU: u32 = 65_535;

/// The way back could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// Another agent is at work.
    #[error("an agent runs already in this network namespace: {by}; one host has one agent")]
    Claimed {
        /// Who, in words.
        by: String,
    },
    /// It cannot be told whether another agent is at work.
    #[error("cannot take the network namespace: {0}")]
    Claim(io::Error),
    /// The pair could not be made, or removed.
    #[error(
        "cannot make, or remove, the pair of interfaces {NEAR} and {FAR}: {0}; is the veth module there?"
    )]
    Pair(String),
    /// The socket could not be opened.
    #[error("cannot send on interface {NEAR}: {0}")]
    Socket(io::Error),
    /// The sockets for loopback could not be opened.
    #[error("cannot send over loopback: {0}")]
    Loopback(io::Error),
    /// The program at the far end could not be attached.
    #[error(transparent)]
    Spot(#[from] SpotError),
}

/// The open way back. It is closed with [`Port::close`].
pub struct Port {
    socket: OwnedFd,
    /// The mark that the socket has at present.
    mark: Option<u32>,
    loopback: Loopback,
    /// Source address of frames for XDP.
    source: [u8; 6],
    handle: rtnetlink::Handle,
    /// The kernel's indices of the pair.
    pair: [u32; 2],
    _claim: Claim,
}

impl Port {
    /// Names of the pair: by the first one frames are sent, the program that sends them on is at the second.
    pub const PAIR: [&str; 2] = ["rsfaas0", "rsfaas1"];

    /// Makes the pair, also where an agent that was killed left one behind, and attaches the program.
    /// The signs of released packets are those that the spotter knows.
    ///
    /// # Errors
    /// When another agent has the network namespace, or the kernel refuses.
    pub async fn open(spotter: &mut Spotter, sign: &ReleaseSign) -> Result<Self, ReleaseError> {
        let claim = Claim::take()?;
        let handle = clear().await?;
        let pair = |error: rtnetlink::Error| ReleaseError::Pair(error.to_string());
        handle
            .link()
            .add(LinkVeth::new(NEAR, FAR).build())
            .execute()
            .await
            .map_err(pair)?;
        for name in [NEAR, FAR] {
            without_ipv6(name);
            let up = LinkUnspec::new_with_name(name).mtu(MTU).up().build();
            handle.link().set(up).execute().await.map_err(pair)?;
        }
        let socket = open_socket().map_err(ReleaseError::Socket)?;
        let loopback = Loopback::open(sign.mark).map_err(ReleaseError::Loopback)?;
        spotter.attach_release(FAR)?;
        Ok(Self {
            socket,
            mark: None,
            loopback,
            source: sign.source,
            handle,
            pair: [index(NEAR)?, index(FAR)?],
            _claim: claim,
        })
    }

    /// Whether an interface is one of the pair.
    #[must_use]
    pub fn owns(interface: &str) -> bool {
        Self::PAIR.contains(&interface)
    }

    /// Whether the interface of an index is one of the pair.
    #[must_use]
    pub fn has(&self, index: u32) -> bool {
        self.pair.contains(&index)
    }

    /// Sends a frame to the gateway from where its connection's are caught, with the sign that the program at that
    /// hook knows.
    ///
    /// # Errors
    /// When the kernel refuses; the client then sends its segment again.
    pub fn send(&mut self, mut frame: Frame, caught: Caught, hook: Hook) -> io::Result<()> {
        if hook.is_xdp() {
            frame.set_source(self.source);
        }
        let way = if caught.leaving { veth::OUT } else { 0 };
        self.send_to(&frame, caught.interface, way)
    }

    /// Sends a frame to the client from where its connection's are caught.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn reply(&mut self, frame: &Frame, caught: Caught) -> io::Result<()> {
        let way = if caught.leaving { 0 } else { veth::OUT };
        self.send_to(frame, caught.interface, way | veth::TO_CLIENT)
    }

    /// Sends a frame over loopback, or through the pair, whose far end goes by the mark: the interface, and the bits of
    /// [`veth`].
    fn send_to(&mut self, frame: &Frame, interface: u32, way: u32) -> io::Result<()> {
        if interface == loopback::INTERFACE {
            let sent = self.loopback.send(frame)?;
            return whole(sent, frame.packet());
        }
        let mark = interface | way;
        if self.mark != Some(mark) {
            setsockopt(&self.socket.as_fd(), Mark, &mark)?;
            self.mark = Some(mark);
        }
        let sent = send(
            self.socket.as_raw_fd(),
            frame.bytes(),
            MsgFlags::MSG_DONTWAIT,
        )?;
        whole(sent, frame.bytes())
    }

    /// Removes the pair.
    pub async fn close(self) {
        if let Err(error) = remove_pair(&self.handle).await {
            tracing::warn!(%error, "interface {NEAR} is left behind");
        }
    }
}

/// Removes what an agent that was killed has left in the network namespace: the pair of interfaces, and before Linux 6.6
/// the programs, which hold requests still. Where another agent is at work, they are that one's, and stay.
///
/// # Errors
/// When the kernel refuses.
pub async fn remove_left() -> Result<(), ReleaseError> {
    let _claim = match Claim::take() {
        Err(ReleaseError::Claimed { .. }) => return Ok(()),
        claim => claim?,
    };
    clear().await.map(drop)
}

/// Removes it, where no other agent is at work. Gives a connection to the kernel, for as long as it is used.
async fn clear() -> Result<rtnetlink::Handle, ReleaseError> {
    spot::detach_left()?;
    let (connection, handle, _) =
        rtnetlink::new_connection().map_err(|error| ReleaseError::Pair(error.to_string()))?;
    tokio::spawn(connection);
    remove_pair(&handle)
        .await
        .map_err(|error| ReleaseError::Pair(error.to_string()))?;
    Ok(handle)
}

/// Removes the pair, if it is there.
async fn remove_pair(handle: &rtnetlink::Handle) -> Result<(), rtnetlink::Error> {
    match if_nametoindex(NEAR) {
        Ok(index) => handle.link().del(index).execute().await,
        Err(_) => Ok(()),
    }
}

fn whole(sent: usize, bytes: &[u8]) -> io::Result<()> {
    if sent == bytes.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::WriteZero.into())
    }
}

/// Keeps the kernel from sending its own packets there; a kernel without IPv6 sends none.
fn without_ipv6(name: &str) {
    let path = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
    if let Err(error) = std::fs::write(&path, "1") {
        tracing::debug!(path, %error, "IPv6 stays as it is");
    }
}

/// The kernel's index of one of the pair.
fn index(name: &str) -> Result<u32, ReleaseError> {
    if_nametoindex(name).map_err(|error| ReleaseError::Socket(error.into()))
}

/// A packet socket that sends whole frames and receives nothing.
fn open_socket() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    // Without a protocol nothing is received (packet(7)).
    let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
    let near = i32::try_from(if_nametoindex(NEAR)?).map_err(io::Error::other)?;
    bind(&socket, near)?;
    Ok(socket)
}

fn bind(socket: &OwnedFd, index: i32) -> io::Result<()> {
    // SAFETY: all zeros is a value of this plain C structure.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_ifindex = index;
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the pointer is to a structure of that length, which the kernel only reads.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
