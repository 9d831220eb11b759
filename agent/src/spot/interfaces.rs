//! Network interfaces: those that are up now, and every change after.
use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use futures_util::{
    FutureExt as _, StreamExt as _, TryStreamExt as _, future::BoxFuture, stream::BoxStream,
};
use rtnetlink::{
    Handle, MulticastGroup,
    packet_core::NetlinkPayload,
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage},
    },
};

use super::SpotError;

/// An interface, as far as the spotter cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Whether its packets start with an Ethernet header (else with the IP header).
    pub ethernet: bool,
    /// Whether this is the loopback interface.
    pub loopback: bool,
    /// Largest IP packet that it takes, in bytes.
    pub mtu: u32,
}

/// A change of the set of interfaces that are up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InterfaceChange {
    /// An interface is up, newly or still (its MTU may have changed).
    Up(Interface),
    /// The interface of that index is there and down. It keeps what it has: connections outlive that, and when it is up
    /// again their segments come at once.
    Down(u32),
    /// The interface of that index went away.
    Gone(u32),
}

/// A look at all the interfaces that there are.
type Listing = BoxFuture<'static, Result<Vec<InterfaceChange>, rtnetlink::Error>>;

/// Between two looks at the interfaces, where one has failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Changes of interfaces, the first of which are every interface that is up.
pub struct Interfaces {
    /// Those that have been up, and are there still.
    seen: HashSet<u32>,
    known: VecDeque<InterfaceChange>,
    messages: BoxStream<'static, NetlinkPayload<RouteNetlinkMessage>>,
    /// It keeps the connection alive.
    handle: Handle,
    /// Under way where the kernel could not tell of all changes.
    listing: Option<Listing>,
}

impl Interfaces {
    /// Subscribes to changes, then lists what there is: nothing falls in between.
    ///
    /// # Errors
    /// When netlink cannot be used.
    pub async fn follow() -> Result<Self, SpotError> {
        let (connection, handle, messages) =
            rtnetlink::new_multicast_connection(&[MulticastGroup::Link])
                .map_err(|error| SpotError::Netlink(error.to_string()))?;
        tokio::spawn(connection);
        let known = list(handle.clone(), Duration::ZERO)
            .await
            .map_err(|error| SpotError::Netlink(error.to_string()))?;
        Ok(Self {
            seen: HashSet::new(),
            known: known.into(),
            messages: messages.map(|(message, _)| message.payload).boxed(),
            handle,
            listing: None,
        })
    }

    /// The next change; waits for one once the interfaces that were there are told. `None` when
    /// netlink has ended. Safe to cancel.
    pub async fn next(&mut self) -> Option<InterfaceChange> {
        loop {
            if let Some(change) = self.known.pop_front() {
                match &change {
                    InterfaceChange::Up(interface) => self.seen.insert(interface.index),
                    InterfaceChange::Down(_) => false,
                    InterfaceChange::Gone(index) => self.seen.remove(index),
                };
                return Some(change);
            }
            if let Some(listing) = &mut self.listing {
                let listed = listing.await;
                self.listing = None;
                match listed {
                    Ok(there) => self.known = since(&self.seen, there).into(),
                    Err(error) => {
                        tracing::warn!(%error, "the interfaces cannot be listed; once more");
                        self.listing = Some(list(self.handle.clone(), PAUSE));
                    }
                }
                continue;
            }
            match self.messages.next().await? {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
                    self.known.extend(change(&link));
                }
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link)) => {
                    self.known.extend(gone(&link));
                }
                NetlinkPayload::Overrun(_) => {
                    tracing::warn!(
                        "more changes of interfaces than could be followed; all are listed again"
                    );
                    self.listing = Some(list(self.handle.clone(), Duration::ZERO));
                }
                _ => {}
            }
        }
    }
}

/// Lists the interfaces, after a while.
fn list(handle: Handle, pause: Duration) -> Listing {
    let list = async move {
        tokio::time::sleep(pause).await;
        let links = handle.link().get().execute();
        let changes = links.try_filter_map(|message| std::future::ready(Ok(change(&message))));
        changes.try_collect().await
    };
    list.boxed()
}

/// What has changed since these were seen: what there is, and those that are not among it.
fn since(seen: &HashSet<u32>, there: Vec<InterfaceChange>) -> Vec<InterfaceChange> {
    let is_there = |index: &u32| {
        there.iter().any(|change| match change {
            InterfaceChange::Up(interface) => interface.index == *index,
            InterfaceChange::Down(other) | InterfaceChange::Gone(other) => other == index,
        })
    };
    let gone = seen.iter().filter(|index| !is_there(index)).copied();
    let mut changes: Vec<_> = gone.map(InterfaceChange::Gone).collect();
    changes.extend(there);
    changes
}

/// What the end of a link says. That one leaves a bridge is told in the same way, by the bridge: it is still there then.
fn gone(message: &LinkMessage) -> Option<InterfaceChange> {
    let is_of_bridge = message.header.interface_family == AddressFamily::Bridge;
    (!is_of_bridge).then_some(InterfaceChange::Gone(message.header.index))
}

/// What a link message says; `None` for kinds of links whose packets the programs cannot read.
fn change(message: &LinkMessage) -> Option<InterfaceChange> {
    let index = message.header.index;
    if !message.header.flags.contains(LinkFlags::Up) {
        return Some(InterfaceChange::Down(index));
    }
    let loopback = message.header.link_layer_type == LinkLayerType::Loopback;
    let ethernet = match message.header.link_layer_type {
        LinkLayerType::Ether | LinkLayerType::Loopback => true,
        LinkLayerType::None
        | LinkLayerType::Ppp
        | LinkLayerType::Rawip
        | LinkLayerType::Tunnel
        | LinkLayerType::Tunnel6
        | LinkLayerType::Sit => false,
        other => {
            tracing::warn!(
                index,
                kind = ?other,
                "requests through this interface are not spotted: its packets are of a kind that is not known"
            );
            return None;
        }
    };
    let mut name = None;
    let mut mtu = 1500;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(value) => name = Some(value.clone()),
            LinkAttribute::Mtu(value) => mtu = *value,
            _ => {}
        }
    }
    Some(InterfaceChange::Up(Interface {
        index,
        name: name?,
        ethernet,
        loopback,
        mtu,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up(index: u32) -> InterfaceChange {
        InterfaceChange::Up(Interface {
            index,
            name: format!("eth{index}"),
            ethernet: true,
            loopback: false,
            mtu: 1500,
        })
    }

    #[test]
    fn an_interface_that_leaves_a_bridge_has_not_gone() {
        let mut message = LinkMessage::default();
        message.header.index = 7;
        assert_eq!(gone(&message), Some(InterfaceChange::Gone(7)));
        message.header.interface_family = AddressFamily::Bridge;
        assert_eq!(gone(&message), None);
    }

    #[test]
    fn an_interface_that_is_down_has_not_gone() {
        let mut message = LinkMessage::default();
        message.header.index = 7;
        assert_eq!(change(&message), Some(InterfaceChange::Down(7)));
    }

    #[test]
    fn what_is_no_longer_there_when_all_is_listed_again_has_gone() {
        let changes = since(
            &HashSet::from([1, 2, 3]),
            vec![up(1), InterfaceChange::Down(3), up(4)],
        );
        let (gone, down) = (InterfaceChange::Gone(2), InterfaceChange::Down(3));
        assert_eq!(changes, [gone, up(1), down, up(4)]);
    }
}
