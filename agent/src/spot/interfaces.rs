//! Network interfaces: those that are up now, and every change after.
use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use rtnetlink::{
    MulticastGroup,
    packet_core::NetlinkPayload,
    packet_route::{
        RouteNetlinkMessage,
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
    /// Whether it is the loopback interface.
    pub loopback: bool,
    /// Largest IP packet that it takes, in bytes.
    pub mtu: u32,
}

/// A change of the set of interfaces that are up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InterfaceChange {
    /// An interface is up, newly or still (its MTU may have changed).
    Up(Interface),
    /// The interface of that index went down or away.
    Gone(u32),
}

/// A stream of changes, which starts with every interface that is up.
pub struct Interfaces {
    known: std::vec::IntoIter<InterfaceChange>,
    changes: BoxStream<'static, InterfaceChange>,
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
        let known: Vec<InterfaceChange> = handle
            .link()
            .get()
            .execute()
            .try_filter_map(|message| std::future::ready(Ok(change(&message))))
            .try_collect()
            .await
            .map_err(|error| SpotError::Netlink(error.to_string()))?;
        let changes = messages.filter_map(move |(message, _)| {
            // The handle keeps the connection alive as long as the stream is.
            let _alive = &handle;
            std::future::ready(match message.payload {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => change(&link),
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link)) => {
                    Some(InterfaceChange::Gone(link.header.index))
                }
                _ => None,
            })
        });
        Ok(Self {
            known: known.into_iter(),
            changes: changes.boxed(),
        })
    }

    /// The next change; waits for one once the interfaces that were there are told. `None` when
    /// netlink has ended.
    pub async fn next(&mut self) -> Option<InterfaceChange> {
        match self.known.next() {
            Some(change) => Some(change),
            None => self.changes.next().await,
        }
    }
}

/// What a link message says; `None` for kinds of links whose packets the programs cannot read.
fn change(message: &LinkMessage) -> Option<InterfaceChange> {
    let index = message.header.index;
    if !message.header.flags.contains(LinkFlags::Up) {
        return Some(InterfaceChange::Gone(index));
    }
    let loopback = message.header.link_layer_type == LinkLayerType::Loopback;
    let ethernet = match message.header.link_layer_type {
        LinkLayerType::Ether | LinkLayerType::Loopback => true,
        LinkLayerType::None
        | LinkLayerType::Ppp
        | LinkLayerType::Rawip
        | LinkLayerType::Tunnel
        | LinkLayerType::Tunnel6
        | LinkLayerType::Sit
        | LinkLayerType::Ipgre
        | LinkLayerType::Ip6gre => false,
        other => {
            tracing::info!(
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
