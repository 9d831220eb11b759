//! The filters at a hook: whether the agent's is among them, and what runs before it.
use std::io;

use aya::programs::TcAttachType;
use rtnetlink::packet_route::{
    RouteNetlinkMessage,
    tc::{TcAttribute, TcHandle, TcMessage},
};

use super::{HANDLE, dump::dump};

/// A filter, as the kernel lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Filter {
    /// Filters of lower numbers run first.
    priority: u16,
    /// What tells those of a priority apart; zero in a message of all of them.
    handle: u32,
}

/// Whether the agent's filter is at a hook of the interface with an index, and no other one of its priority runs before
/// it. Those of a lower number were there before it came, and had to be left.
///
/// # Errors
/// When the kernel refuses.
pub(in crate::spot) fn is_in_place(interface: u32, hook: TcAttachType) -> io::Result<bool> {
    Ok(is_first(&list(interface, hook)?))
}

/// The filters at a hook, in the order in which they run.
fn list(interface: u32, hook: TcAttachType) -> io::Result<Vec<Filter>> {
    let mut question = TcMessage::with_index(i32::try_from(interface).map_err(io::Error::other)?);
    question.header.parent = TcHandle {
        minor: match hook {
            TcAttachType::Egress => TcHandle::MIN_EGRESS,
            _ => TcHandle::MIN_INGRESS,
        },
        ..TcHandle::CLSACT
    };
    // In others are the filters to which some of it lead.
    question.attributes.push(TcAttribute::Chain(0));
    let mut filters = Vec::new();
    dump(RouteNetlinkMessage::GetTrafficFilter(question), |message| {
        filters.extend(Filter::read(message.payload()));
    })?;
    Ok(filters)
}

impl Filter {
    /// Reads what a message starts with (`struct tcmsg` in rtnetlink(7)): family, index, handle, parent and, as one
    /// number, priority and protocol.
    fn read(message: &[u8]) -> Option<Self> {
        let word = |at: usize| {
            message
                .get(at..)?
                .first_chunk()
                .map(|word| u32::from_ne_bytes(*word))
        };
        let [handle, priority] = [word(8)?, word(16)? >> 16];
        Some(Self {
            priority: u16::try_from(priority).ok()?,
            handle,
        })
    }
}

fn is_first(filters: &[Filter]) -> bool {
    let own = u32::from(HANDLE);
    let mut before = filters.iter().take_while(|filter| filter.handle != own);
    match filters.iter().find(|filter| filter.handle == own) {
        Some(found) => before.all(|filter| filter.priority < found.priority || filter.handle == 0),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(priority: u16, handle: u32) -> Filter {
        Filter { priority, handle }
    }

    #[test]
    fn the_agents_filter_is_in_place_where_no_other_of_its_priority_runs_before_it() {
        let own = u32::from(HANDLE);
        assert!(is_first(&[
            at(1, 0),
            at(1, own),
            at(1, 1),
            at(2, 0),
            at(2, 1)
        ]));
        assert!(!is_first(&[at(1, 0), at(1, 1), at(1, own)]));
        assert!(is_first(&[at(1, 0), at(1, 1), at(2, 0), at(2, own)]));
    }

    #[test]
    fn an_agents_filter_that_is_not_there_is_not_in_place() {
        assert!(!is_first(&[]));
        assert!(!is_first(&[at(1, 0), at(1, 1)]));
    }

    #[test]
    fn a_message_that_is_cut_short_is_no_filter() {
        let mut message = [0; 20];
        message[8..12].copy_from_slice(&u32::from(HANDLE).to_ne_bytes());
        message[16..].copy_from_slice(&(3_u32 << 16 | 3).to_ne_bytes());
        assert_eq!(Filter::read(&message), Some(at(3, HANDLE.into())));
        assert_eq!(Filter::read(&message[..19]), None);
    }
}
