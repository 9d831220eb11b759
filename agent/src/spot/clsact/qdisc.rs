//! Which qdisc an interface has at its hooks: `clsact` has ingress and egress, `ingress`, in the same place and under the
//! same handle, has one of them, and takes programs for both.
use std::io;

use rtnetlink::{
    packet_core::{NetlinkBuffer, NetlinkMessage, NetlinkPayload},
    packet_route::{
        RouteNetlinkMessage,
        tc::{TcAttribute, TcHandle, TcMessage},
    },
};

use super::dump::dump;

/// The kind of the qdisc at the hooks of the interface with an index; `None` where there is none.
///
/// # Errors
/// When the kernel refuses.
pub fn qdisc_at_hooks(interface: u32) -> io::Result<Option<String>> {
    let index = i32::try_from(interface).map_err(io::Error::other)?;
    let question = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::with_index(index));
    let mut kind = None;
    // The answer is of all interfaces.
    dump(question, |message| {
        if let Some(found) = kind_at(message, index) {
            kind = Some(found);
        }
    })?;
    Ok(kind)
}

/// The kind of the qdisc that a message is of, where it is the one at an interface's hooks.
fn kind_at(message: NetlinkBuffer<&[u8]>, index: i32) -> Option<String> {
    // Other interfaces' may have options that cannot be read.
    let message = NetlinkMessage::deserialize(message.into_inner()).ok()?;
    let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewQueueDiscipline(qdisc)) =
        message.payload
    else {
        return None;
    };
    if qdisc.header.index != index || qdisc.header.parent != TcHandle::CLSACT {
        return None;
    }
    let mut attributes = qdisc.attributes.into_iter();
    attributes.find_map(|attribute| match attribute {
        TcAttribute::Kind(kind) => Some(kind),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_that_at_the_interfaces_own_hooks() {
        let told = |parent, of| {
            let mut qdisc = TcMessage::with_index(7);
            qdisc.header.parent = parent;
            qdisc
                .attributes
                .push(TcAttribute::Kind("clsact".to_owned()));
            let mut message = NetlinkMessage::from(RouteNetlinkMessage::NewQueueDiscipline(qdisc));
            message.finalize();
            let mut bytes = vec![0; message.buffer_len()];
            message.serialize(&mut bytes);
            kind_at(NetlinkBuffer::new(&bytes), of)
        };
        assert_eq!(told(TcHandle::CLSACT, 7).as_deref(), Some("clsact"));
        assert_eq!(told(TcHandle::CLSACT, 6), None);
        assert_eq!(told(TcHandle::ROOT, 7), None);
    }
}
