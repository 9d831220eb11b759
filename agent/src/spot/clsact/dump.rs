//! The kernel's list of its qdiscs or filters, message by message: some have options that no library reads.
use std::io;

use rtnetlink::{
    packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage},
    packet_route::RouteNetlinkMessage,
    sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE},
};

/// Types of messages that end a list (netlink(7)).
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// Messages start at words (netlink(7), `NLMSG_ALIGN`).
const WORD: usize = 4;

/// Asks for a list, and hands over each message of it.
///
/// # Errors
/// When the kernel refuses, or its answer cannot be read.
pub(super) fn dump(
    question: RouteNetlinkMessage,
    mut take: impl FnMut(NetlinkBuffer<&[u8]>),
) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut question = NetlinkMessage::from(question);
    question.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    question.finalize();
    let mut bytes = vec![0; question.buffer_len()];
    question.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    loop {
        let (bytes, _) = socket.recv_from_full()?;
        if read(&bytes, &mut take)? {
            return Ok(());
        }
    }
}

/// Reads a datagram; whether the list ends with it.
fn read(mut bytes: &[u8], take: &mut impl FnMut(NetlinkBuffer<&[u8]>)) -> io::Result<bool> {
    while !bytes.is_empty() {
        let message = NetlinkBuffer::new_checked(bytes).map_err(io::Error::other)?;
        let length = message.length() as usize;
        match message.message_type() {
            DONE => return Ok(true),
            ERROR => return Err(refusal(message.payload())),
            _ => take(NetlinkBuffer::new(&bytes[..length])),
        }
        bytes = bytes.get(length.next_multiple_of(WORD)..).unwrap_or(&[]);
    }
    Ok(false)
}

/// What an error message says: a negative error number comes first.
fn refusal(payload: &[u8]) -> io::Error {
    match payload.first_chunk() {
        Some(code) => io::Error::from_raw_os_error(-i32::from_ne_bytes(*code)),
        None => io::ErrorKind::UnexpectedEof.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of a type, with a payload that ends at no word.
    fn message(of: u16, payload: &[u8]) -> Vec<u8> {
        let length = 16 + payload.len();
        let mut bytes = u32::try_from(length).unwrap().to_ne_bytes().to_vec();
        bytes.extend(of.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(payload);
        bytes.resize(length.next_multiple_of(WORD), 0);
        bytes
    }

    /// The payloads that are taken, and what is said of the end.
    fn taken(bytes: &[u8]) -> (Vec<Vec<u8>>, io::Result<bool>) {
        let mut payloads = Vec::new();
        let is_last = read(bytes, &mut |message: NetlinkBuffer<&[u8]>| {
            payloads.push(message.payload().to_vec());
        });
        (payloads, is_last)
    }

    #[test]
    fn messages_are_taken_until_the_last() {
        let list = [message(36, b"first"), message(44, b"second")].concat();
        let (payloads, is_last) = taken(&list);
        assert_eq!(payloads, [b"first".to_vec(), b"second".to_vec()]);
        assert!(!is_last.unwrap());
        let (payloads, is_last) = taken(&[list, message(DONE, &[0; 4])].concat());
        assert_eq!(payloads.len(), 2);
        assert!(is_last.unwrap());
    }

    #[test]
    fn what_the_kernel_refuses_is_its_error() {
        let (_, refused) = taken(&message(ERROR, &(-1_i32).to_ne_bytes()));
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn an_answer_that_ends_inside_a_message_is_an_error() {
        let bytes = message(36, b"word");
        assert!(taken(&bytes[..bytes.len() - 4]).1.is_err());
        assert!(taken(&bytes[..3]).1.is_err());
    }
}
