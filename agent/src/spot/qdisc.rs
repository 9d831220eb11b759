//! Which qdisc an interface has at its hooks: `clsact` has ingress and egress, `ingress`, in the same place and under the
//! same handle, has one of them, and takes programs for both.
use std::io;

use rtnetlink::{
    packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage, NetlinkPayload},
    packet_route::{
        RouteNetlinkMessage,
        tc::{TcAttribute, TcHandle, TcMessage},
    },
    sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE},
};

/// Messages start at words (netlink(7), `NLMSG_ALIGN`).
const WORD: usize = 4;

/// The kind of the qdisc at the hooks of the interface with an index; `None` where there is none.
///
/// # Errors
/// When the kernel refuses.
pub fn qdisc_at_hooks(interface: u32) -> io::Result<Option<String>> {
    let index = i32::try_from(interface).map_err(io::Error::other)?;
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let question = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::with_index(index));
    let mut question = NetlinkMessage::from(question);
    question.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    question.finalize();
    let mut bytes = vec![0; question.buffer_len()];
    question.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let mut kind = None;
    loop {
        let (bytes, _) = socket.recv_from_full()?;
        let part = Part::read(&bytes, index)?;
        kind = kind.or(part.kind);
        if part.is_last {
            return Ok(kind);
        }
    }
}

/// What a part of the kernel's answer says, which is of all interfaces.
#[derive(Debug, Default, PartialEq, Eq)]
struct Part {
    kind: Option<String>,
    is_last: bool,
}

impl Part {
    fn read(mut bytes: &[u8], index: i32) -> io::Result<Self> {
        let mut part = Self::default();
        while !bytes.is_empty() {
            let length = NetlinkBuffer::new_checked(bytes)
                .map_err(io::Error::other)?
                .length() as usize;
            // Other interfaces' may have options that cannot be read.
            if let Ok(message) = NetlinkMessage::deserialize(&bytes[..length]) {
                match message.payload {
                    NetlinkPayload::Done(_) => part.is_last = true,
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewQueueDiscipline(
                        qdisc,
                    )) if qdisc.header.index == index
                        && qdisc.header.parent == TcHandle::CLSACT =>
                    {
                        part.kind = kind(qdisc);
                    }
                    _ => {}
                }
            }
            bytes = bytes.get(length.next_multiple_of(WORD)..).unwrap_or(&[]);
        }
        Ok(part)
    }
}

fn kind(qdisc: TcMessage) -> Option<String> {
    let mut attributes = qdisc.attributes.into_iter();
    attributes.find_map(|attribute| match attribute {
        TcAttribute::Kind(kind) => Some(kind),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of the kernel's answer.
    fn message(index: i32, parent: TcHandle, kind: &str) -> Vec<u8> {
        let mut qdisc = TcMessage::with_index(index);
        qdisc.header.parent = parent;
        qdisc.attributes.push(TcAttribute::Kind(kind.to_owned()));
        let mut message = NetlinkMessage::from(RouteNetlinkMessage::NewQueueDiscipline(qdisc));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes.resize(bytes.len().next_multiple_of(WORD), 0);
        bytes
    }

    /// `NLMSG_DONE`, with its word.
    fn done() -> Vec<u8> {
        [20_u32.to_ne_bytes(), [3, 0, 2, 0]]
            .concat()
            .into_iter()
            .chain([0; 12])
            .collect()
    }

    #[test]
    fn the_kind_is_that_at_the_interfaces_own_hooks() {
        let bytes = [
            message(7, TcHandle::ROOT, "fq_codel"),
            message(6, TcHandle::CLSACT, "clsact"),
            message(7, TcHandle::CLSACT, "ingress"),
        ]
        .concat();
        let expected = |kind: Option<&str>, is_last| Part {
            kind: kind.map(str::to_owned),
            is_last,
        };
        let read = |bytes: &[u8], index| Part::read(bytes, index).unwrap();
        assert_eq!(read(&bytes, 7), expected(Some("ingress"), false));
        assert_eq!(read(&bytes, 6), expected(Some("clsact"), false));
        assert_eq!(read(&[bytes, done()].concat(), 5), expected(None, true));
    }

    #[test]
    fn an_answer_that_ends_inside_a_message_is_an_error() {
        let bytes = message(7, TcHandle::CLSACT, "clsact");
        assert!(Part::read(&bytes[..bytes.len() - 4], 7).is_err());
        assert!(Part::read(&bytes[..3], 7).is_err());
    }
}
