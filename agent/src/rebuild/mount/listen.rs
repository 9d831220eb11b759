//! Asks whether a TCP port has a listener in another network namespace.
//!
//! sock_diag(7) looks at listening sockets alone and answers in microseconds. `/proc/PID/net/tcp`, which
//! walks the host's whole table of connections for it (milliseconds), is for kernels without `tcp_diag`.
use std::{
    os::fd::{AsRawFd as _, OwnedFd},
    thread,
};

use nix::{
    errno::Errno,
    libc,
    sched::{CloneFlags, setns},
    sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, connect, recv,
        send, socket,
    },
};

use super::{MountError, process::Process};

/// The ways to ask.
pub(super) enum Listeners {
    /// A netlink socket that was opened inside the namespace and belongs to it since.
    Diag(OwnedFd),
    /// The process's own view.
    Proc,
}

/// `SOCK_DIAG_BY_FAMILY` of linux/sock_diag.h.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `TCP_LISTEN` of net/tcp_states.h.
const LISTEN: u8 = 10;
const HEADER: usize = 16;

impl Listeners {
    /// Prepares to ask about the network namespace of `process`.
    pub(super) fn of(process: &Process) -> Result<Self, MountError> {
        let namespace = process.network_handle()?;
        // A thread that has been in another namespace ends at once.
        let opened = thread::scope(|scope| {
            thread::Builder::new()
                .name("sock-diag".into())
                .spawn_scoped(scope, || open(&namespace))
                .map_err(MountError::kernel(
                    "clone (a thread to enter the container)",
                ))?
                .join()
                .map_err(|_| MountError::Stopped)
        })?;
        match opened {
            Ok(socket) => match diag(&socket, 0) {
                Ok(_) => Ok(Self::Diag(socket)),
                Err(_) => Ok(Self::Proc),
            },
            Err(Errno::EPROTONOSUPPORT) => Ok(Self::Proc),
            Err(errno) => Err(MountError::kernel("setns (the container's network)")(errno)),
        }
    }

    /// Tells whether something listens on `port`, by IPv4 or IPv6.
    pub(super) fn has(&self, process: &Process, port: u16) -> Result<bool, MountError> {
        match self {
            Self::Diag(socket) => {
                diag(socket, port).map_err(MountError::kernel("a sock_diag request"))
            }
            Self::Proc => Ok(["net/tcp", "net/tcp6"].iter().any(|table| {
                // A namespace without IPv6 has no second table; an ended process has none.
                process
                    .read(table)
                    .is_ok_and(|text| table_has(&String::from_utf8_lossy(&text), port))
            })),
        }
    }
}

fn open(namespace: &OwnedFd) -> Result<OwnedFd, Errno> {
    setns(namespace, CloneFlags::CLONE_NEWNET)?;
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkSockDiag,
    )?;
    connect(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    Ok(socket)
}

/// Asks for listeners on `port` by both families; the kernel answers before the request returns.
fn diag(socket: &OwnedFd, port: u16) -> Result<bool, Errno> {
    let mut listens = false;
    for family in [libc::AF_INET, libc::AF_INET6] {
        send(
            socket.as_raw_fd(),
            &request(family as u8, port),
            MsgFlags::empty(),
        )?;
        let mut buffer = vec![0; 32 * 1024];
        loop {
            let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT)?;
            match answer(&buffer[..length], port) {
                Answer::Some(found) => listens |= found,
                Answer::Last(found) => {
                    listens |= found;
                    break;
                }
                Answer::Refused(errno) => return Err(errno),
            }
        }
    }
    Ok(listens)
}

/// A dump request (linux/inet_diag.h, `inet_diag_req_v2`) for listeners of one family on one port.
fn request(family: u8, port: u16) -> [u8; 72] {
    let mut bytes = [0; 72];
    bytes[0..4].copy_from_slice(&72_u32.to_ne_bytes());
    bytes[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
    bytes[HEADER] = family;
    bytes[HEADER + 1] = libc::IPPROTO_TCP as u8;
    bytes[HEADER + 4..HEADER + 8].copy_from_slice(&(1_u32 << LISTEN).to_ne_bytes());
    bytes[HEADER + 8..HEADER + 10].copy_from_slice(&port.to_be_bytes());
    bytes
}

/// What one datagram of the kernel's answer says.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// Whether the port was among its sockets; more is to come.
    Some(bool),
    /// Whether the port was among its sockets; the answer ends here.
    Last(bool),
    /// The kernel cannot or will not answer.
    Refused(Errno),
}

fn answer(mut bytes: &[u8], port: u16) -> Answer {
    let mut found = false;
    while let Some((length, kind)) = message(bytes) {
        let payload = &bytes[HEADER..length];
        match i32::from(kind) {
            libc::NLMSG_DONE => return Answer::Last(found),
            libc::NLMSG_ERROR => {
                let code = payload
                    .first_chunk()
                    .map_or(0, |code| i32::from_ne_bytes(*code));
                return Answer::Refused(Errno::from_raw(-code));
            }
            // `inet_diag_msg`: family, state, timer, retransmissions, then the source port.
            _ => {
                found |= payload.get(1) == Some(&LISTEN)
                    && payload.get(4..6) == Some(&port.to_be_bytes());
            }
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Answer::Some(found)
}

/// Length and kind of the message at the start, if it is whole.
fn message(bytes: &[u8]) -> Option<(usize, u16)> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    (HEADER..=bytes.len())
        .contains(&length)
        .then_some((length, kind))
}

/// Tells whether a table in the form of `/proc/net/tcp` has a listener on `port`.
fn table_has(table: &str, port: u16) -> bool {
    table.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next().and_then(|address| address.rsplit_once(':'));
        let state = fields
            .nth(1)
            .and_then(|state| u8::from_str_radix(state, 16).ok());
        local.is_some_and(|(_, local)| u16::from_str_radix(local, 16) == Ok(port))
            && state == Some(LISTEN)
    })
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, SocketAddrV6};

    use nix::sys::socket::{Backlog, SockaddrIn, SockaddrIn6, bind, getsockname, listen};

    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue\n   \
        0: 0100007F:1388 00000000:0000 0A 00000000:00000000 00:00000000\n   \
        1: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000\n";

    #[test]
    fn a_listener_is_found_in_the_table() {
        assert!(table_has(TABLE, 5000));
        let six = "   0: 00000000000000000000000000000000:1388 00000000000000000000000000000000:0000 0A\n";
        assert!(table_has(six, 5000));
    }

    #[test]
    fn a_connection_or_a_remote_port_is_no_listener() {
        assert!(!table_has(TABLE, 8080));
        assert!(!table_has(TABLE, 40_000));
        assert!(!table_has("garbage\n\n0: x\n", 5000));
    }

    fn own() -> Process {
        Process::open(std::process::id().cast_signed()).unwrap()
    }

    /// A socket that has a port, which so nobody else has, but does not listen.
    fn bound(family: AddressFamily) -> (OwnedFd, u16) {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(family, SockType::Stream, flags, None).unwrap();
        let descriptor = socket.as_raw_fd();
        let port = if family == AddressFamily::Inet {
            bind(descriptor, &SockaddrIn::new(0, 0, 0, 0, 0)).unwrap();
            getsockname::<SockaddrIn>(descriptor).unwrap().port()
        } else {
            let any = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0);
            bind(descriptor, &SockaddrIn6::from(any)).unwrap();
            getsockname::<SockaddrIn6>(descriptor).unwrap().port()
        };
        (socket, port)
    }

    #[test]
    fn a_socket_is_found_both_ways_once_it_listens() {
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let (socket, port) = bound(family);
            let diag = Listeners::Diag(open(&own().network_handle().unwrap()).expect("needs root"));
            let ways = [Listeners::Proc, diag];
            for way in &ways {
                assert!(!way.has(&own(), port).unwrap(), "{family:?}");
            }
            listen(&socket, Backlog::new(1).unwrap()).unwrap();
            for way in &ways {
                assert!(way.has(&own(), port).unwrap(), "{family:?}");
            }
        }
    }

    fn reply(kind: i32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER + payload.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&u16::try_from(kind).unwrap().to_ne_bytes());
        bytes.extend_from_slice(&[0; 10]);
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn answers_are_read_to_their_end() {
        let socket = reply(
            i32::from(SOCK_DIAG_BY_FAMILY),
            &[2, LISTEN, 0, 0, 0x13, 0x88, 0],
        );
        let done = reply(libc::NLMSG_DONE, &[0; 4]);
        assert_eq!(answer(&socket, 5000), Answer::Some(true));
        assert_eq!(
            answer(&[socket.clone(), done.clone()].concat(), 5000),
            Answer::Last(true)
        );
        assert_eq!(answer(&[socket, done].concat(), 5001), Answer::Last(false));
    }

    #[test]
    fn a_refusal_keeps_its_reason() {
        let refusal = reply(libc::NLMSG_ERROR, &(-libc::ENOENT).to_ne_bytes());
        assert_eq!(answer(&refusal, 1), Answer::Refused(Errno::ENOENT));
    }

    #[test]
    fn cut_or_lying_messages_end_the_reading() {
        let whole = reply(
            i32::from(SOCK_DIAG_BY_FAMILY),
            &[2, LISTEN, 0, 0, 0x13, 0x88],
        );
        for cut in 0..HEADER {
            assert_eq!(
                answer(&whole[..cut], 5000),
                Answer::Some(false),
                "cut at {cut}"
            );
        }
        assert_eq!(answer(&[0; 64], 5000), Answer::Some(false));
        assert_eq!(answer(&[0xff; 64], 5000), Answer::Some(false));
    }
}
