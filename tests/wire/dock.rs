//! A gateway in a container, as engines of containers run one: behind a bridge, with another container beside it.
use crate::{
    check::Outcome,
    gateway::Gateway,
    netns::Namespace,
    scene::{PORT, Scene},
    world::World,
};

const BRIDGE: &str = "wire-dock";
const BRIDGES: [&str; 2] = ["198.18.217.1", "fd00:5afa:217::1"];
const CALLERS: [&str; 2] = ["198.18.217.3", "fd00:5afa:217::3"];
/// The gateway's own addresses, IPv4 and IPv6.
pub(crate) const GATEWAYS: [&str; 2] = ["198.18.217.2", "fd00:5afa:217::2"];
const PORTS: [&str; 2] = ["wire-d1", "wire-d2"];

/// Gone when dropped, but for the gateway's namespace, which that keeps until the tests end.
pub(crate) struct Dock<'a> {
    scene: &'a Scene,
    pub(crate) gateway: Gateway,
    /// The container beside it.
    pub(crate) caller: Namespace,
    container: Namespace,
}

impl<'a> Dock<'a> {
    pub(crate) fn new(world: &'a World) -> Outcome<Self> {
        let scene = &world.scene;
        let container = Namespace::new("rsfaas-wire-dock1")?;
        let dock = Self {
            gateway: world.gateway_at(&container, PORT)?,
            caller: Namespace::new("rsfaas-wire-dock2")?,
            container,
            scene,
        };
        let host = &scene.host;
        for namespace in [host, &dock.container, &dock.caller] {
            // Nobody else has these addresses: they are good at once.
            namespace.sysctl("ipv6/conf/default/accept_dad", "0")?;
        }
        host.ip(&format!("link add {BRIDGE} type bridge"))?;
        for address in BRIDGES {
            add(host, address, BRIDGE)?;
        }
        host.ip(&format!("link set {BRIDGE} up"))?;
        let [near, far] = PORTS;
        dock.connect(near, &dock.container, GATEWAYS)?;
        dock.connect(far, &dock.caller, CALLERS)?;
        for link in [near, far, BRIDGE] {
            world.agent.wait_until_covered(link)?;
        }
        Ok(dock)
    }

    fn connect(&self, port: &str, container: &Namespace, addresses: [&str; 2]) -> Outcome {
        let (host, inside) = (&self.scene.host, container.name());
        host.ip(&format!(
            "link add {port} type veth peer name eth0 netns {inside}"
        ))?;
        host.ip(&format!("link set {port} master {BRIDGE} up"))?;
        for address in addresses {
            add(container, address, "eth0")?;
        }
        container.ip("link set eth0 up")?;
        for address in BRIDGES {
            container.ip(&format!("route add default via {address}"))?;
        }
        Ok(())
    }
}

fn add(namespace: &Namespace, address: &str, link: &str) -> Outcome {
    let address = match address.contains(':') {
        true => format!("{address}/64 dev {link} nodad"),
        false => format!("{address}/24 dev {link}"),
    };
    namespace.ip(&format!("address add {address}")).map(drop)
}

impl Drop for Dock<'_> {
    fn drop(&mut self) {
        for link in PORTS.into_iter().chain([BRIDGE]) {
            // Where it could not be made.
            let _ = self.scene.host.ip(&format!("link delete {link}"));
        }
    }
}

/// Does something while addresses are translated by a rule of this program's.
pub(crate) fn with_rule(
    host: &Namespace,
    iptables: &str,
    rule: &str,
    work: impl FnOnce() -> Outcome,
) -> Outcome {
    host.run(&format!("{iptables} -w -t nat -A {rule}"))?;
    let done = work();
    host.run(&format!("{iptables} -w -t nat -D {rule}"))?;
    done
}
