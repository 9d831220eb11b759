//! A gateway in a container, behind an address of its host's that is translated.
use super::{arrival::is_served_by, cases};
use crate::{
    check::Outcome,
    dock::{BRIDGE, Dock, GATEWAYS, with_rule},
    scene::{HOST, PORT, Route},
    world::World,
};

cases![
    a_gateway_in_a_container_is_served_at_its_published_port,
    a_gateway_in_a_container_is_served_from_another_container,
];

/// The host's, under which the port is published.
const PUBLISHED: &str = "198.18.212.78";

fn a_gateway_in_a_container_is_served_at_its_published_port(world: &World) -> Outcome {
    let dock = Dock::new(world)?;
    let (host, client) = (&world.scene.host, &world.scene.client);
    let gateway = GATEWAYS[0];
    let rule = format!(
        "PREROUTING -d {PUBLISHED} ! -i {BRIDGE} -p tcp --dport {PORT} -j DNAT --to {gateway}:{PORT}"
    );
    let forwards = host.sysctl("ipv4/ip_forward", "1")?;
    client.ip(&format!("route add {PUBLISHED} via {HOST}"))?;
    let done = with_rule(host, "iptables", &rule, || {
        is_served_by(world, &dock.gateway, world.scene.wire_to(PUBLISHED)?)
    });
    client.ip(&format!("route delete {PUBLISHED}"))?;
    host.sysctl("ipv4/ip_forward", &forwards)?;
    done
}

fn a_gateway_in_a_container_is_served_from_another_container(world: &World) -> Outcome {
    let dock = Dock::new(world)?;
    GATEWAYS.into_iter().try_for_each(|address| {
        is_served_by(world, &dock.gateway, Route::new(&dock.caller, address)?)
    })
}
