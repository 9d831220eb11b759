//! A gateway in a container, as engines of containers run one: behind a bridge and an address that is translated.
use super::{arrival::is_served_by, cases};
use crate::{
    check::{During as _, Outcome},
    gateway::Gateway,
    netns::Namespace,
    scene::{HOST, PORT, Route, Scene},
    world::World,
};

cases![
    a_gateway_in_a_container_is_served_at_its_published_port_and_from_another_container,
    a_gateway_in_a_container_is_served_from_its_own_host_at_its_published_port,
];

const BRIDGE: &str = "wire-dock";
const BRIDGES: &str = "198.18.217.1";
const GATEWAYS: &str = "198.18.217.2";
const CALLERS: &str = "198.18.217.3";
/// The host's, under which the port is published.
const PUBLISHED: &str = "198.18.212.78";

fn a_gateway_in_a_container_is_served_at_its_published_port_and_from_another_container(
    world: &World,
) -> Outcome {
    with_containers(world, |gateway, caller| {
        from_outside(world, gateway).during("from outside")?;
        is_served_by(world, gateway, Route::new(caller, GATEWAYS)?).during("from another container")
    })
}

/// Its address is translated as the packets leave: they come in nowhere on this host.
fn a_gateway_in_a_container_is_served_from_its_own_host_at_its_published_port(
    world: &World,
) -> Outcome {
    let host = &world.scene.host;
    let rule = format!("OUTPUT -d {HOST} -p tcp --dport {PORT} -j DNAT --to {GATEWAYS}:{PORT}");
    with_containers(world, |gateway, _| {
        with_rule(host, &rule, || {
            is_served_by(world, gateway, Route::new(host, HOST)?)
        })
    })
}

/// Does something with a gateway in one container, and another container beside it.
fn with_containers(world: &World, work: impl FnOnce(&Gateway, &Namespace) -> Outcome) -> Outcome {
    let host = &world.scene.host;
    let (container, caller) = (
        Namespace::new("rsfaas-wire-dock1")?,
        Namespace::new("rsfaas-wire-dock2")?,
    );
    host.ip(&format!("link add {BRIDGE} type bridge"))?;
    let done = bridge(world, [(&container, GATEWAYS), (&caller, CALLERS)]).and_then(|()| {
        let gateway = Gateway::start(&container, PORT, &world.containers)?;
        work(&gateway, &caller)
    });
    // The gateway keeps its namespace until the tests end.
    for link in ["wire-d1", "wire-d2", BRIDGE] {
        host.ip(&format!("link delete {link}"))?;
    }
    done
}

fn bridge(world: &World, containers: [(&Namespace, &str); 2]) -> Outcome {
    let host = &world.scene.host;
    host.ip(&format!("address add {BRIDGES}/24 dev {BRIDGE}"))?;
    host.ip(&format!("link set {BRIDGE} up"))?;
    for ((container, address), port) in containers.into_iter().zip(["wire-d1", "wire-d2"]) {
        let inside = container.name();
        host.ip(&format!(
            "link add {port} type veth peer name eth0 netns {inside}"
        ))?;
        host.ip(&format!("link set {port} master {BRIDGE} up"))?;
        container.ip(&format!("address add {address}/24 dev eth0"))?;
        container.ip("link set eth0 up")?;
        container.ip(&format!("route add default via {BRIDGES}"))?;
        world.agent.wait_until_covered(port)?;
    }
    world.agent.wait_until_covered(BRIDGE)
}

fn from_outside(world: &World, gateway: &Gateway) -> Outcome {
    let Scene { host, client } = &world.scene;
    let rule = format!(
        "PREROUTING -d {PUBLISHED} ! -i {BRIDGE} -p tcp --dport {PORT} -j DNAT --to {GATEWAYS}:{PORT}"
    );
    let forwards = host.sysctl("ipv4/ip_forward", "1")?;
    client.ip(&format!("route add {PUBLISHED} via {HOST}"))?;
    let done = with_rule(host, &rule, || {
        is_served_by(world, gateway, world.scene.wire_to(PUBLISHED)?)
    });
    client.ip(&format!("route delete {PUBLISHED}"))?;
    host.sysctl("ipv4/ip_forward", &forwards)?;
    done
}

/// Does something while addresses are translated by a rule.
fn with_rule(host: &Namespace, rule: &str, work: impl FnOnce() -> Outcome) -> Outcome {
    host.run(&format!("iptables -w -t nat -A {rule}"))?;
    let done = work();
    host.run(&format!("iptables -w -t nat -D {rule}"))?;
    done
}
