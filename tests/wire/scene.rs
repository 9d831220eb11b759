//! Two hosts and a wire: the namespace `rsfaas-wire-host` with the gateway and the agent, the namespace
//! `rsfaas-wire-client`, and a veth pair `wire-h` - `wire-c` between them.
use std::net::SocketAddr;

use crate::{check::Outcome, netns::Namespace};

/// Addresses are from networks that are set aside for tests (RFC 2544) and private use (RFC 4193).
pub(crate) const HOST: &str = "198.18.212.1";
pub(crate) const CLIENT: &str = "198.18.212.2";
/// Nobody's: frames from there are made by hand, and no kernel answers for it.
pub(crate) const RAW: &str = "198.18.212.66";
pub(crate) const HOST6: &str = "fd00:5afa:212::1";
pub(crate) const CLIENT6: &str = "fd00:5afa:212::2";
pub(crate) const RAW6: &str = "fd00:5afa:212::66";

pub(crate) const HOST_MAC: [u8; 6] = [2, 0, 0, 0xfa, 0xa5, 1];
pub(crate) const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0xfa, 0xa5, 2];
/// The client's end of the pair.
pub(crate) const CLIENT_LINK: &str = "wire-c";
/// The host's end.
pub(crate) const HOST_LINK: &str = "wire-h";

/// The gateway's port.
pub(crate) const PORT: u16 = 8080;

/// Gone when dropped.
pub(crate) struct Scene {
    pub(crate) host: Namespace,
    pub(crate) client: Namespace,
}

impl Scene {
    pub(crate) fn new() -> Outcome<Self> {
        let scene = Self {
            host: Namespace::new("rsfaas-wire-host")?,
            client: Namespace::new("rsfaas-wire-client")?,
        };
        scene.wire()?;
        Ok(scene)
    }

    fn wire(&self) -> Outcome {
        let Self { host, client } = self;
        host.ip(&format!(
            "link add {HOST_LINK} address {} type veth peer name {CLIENT_LINK} address {} netns {}",
            text(HOST_MAC),
            text(CLIENT_MAC),
            client.name()
        ))?;
        for (namespace, link, v4, v6) in [
            (host, HOST_LINK, HOST, HOST6),
            (client, CLIENT_LINK, CLIENT, CLIENT6),
        ] {
            namespace.ip(&format!("address add {v4}/24 dev {link}"))?;
            namespace.ip(&format!("address add {v6}/64 dev {link} nodad"))?;
            namespace.ip(&format!("link set {link} up"))?;
        }
        for address in [RAW, RAW6] {
            let mac = text(CLIENT_MAC);
            host.ip(&format!(
                "neighbour add {address} lladdr {mac} dev {HOST_LINK} nud permanent"
            ))?;
        }
        Ok(())
    }

    /// Removes both hosts, and so the wire.
    pub(crate) fn remove(&self) {
        self.host.delete();
        self.client.delete();
    }

    /// From the client's host to the gateway.
    pub(crate) fn wire_to(&self, address: &str) -> Outcome<Route<'_>> {
        Route::new(&self.client, address)
    }

    /// From the gateway's host to itself.
    pub(crate) fn loopback(&self, address: &str) -> Outcome<Route<'_>> {
        Route::new(&self.host, address)
    }
}

/// From where a client calls which address.
#[derive(Clone, Copy)]
pub(crate) struct Route<'a> {
    pub(crate) from: &'a Namespace,
    pub(crate) to: SocketAddr,
}

impl<'a> Route<'a> {
    pub(crate) fn new(from: &'a Namespace, address: &str) -> Outcome<Self> {
        let to = SocketAddr::new(address.parse()?, PORT);
        Ok(Self { from, to })
    }
}

fn text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
