//! A gateway in a container, behind an address of its host's that is translated.
use super::{
    arrival::{is_served_again, is_served_by},
    cases,
};
use crate::{
    check::Outcome,
    dock::{Dock, GATEWAYS, with_rule},
    scene::{HOST, PORT, Route},
    world::World,
};

cases![
    a_gateway_in_a_container_is_served_at_its_published_port,
    a_gateway_in_a_container_is_served_from_another_container,
    a_gateway_in_a_container_is_served_from_another_container_at_its_published_port,
];

/// The host's, under which the port is published.
const PUBLISHED: &str = "198.18.212.78";

fn a_gateway_in_a_container_is_served_at_its_published_port(world: &World) -> Outcome {
    let client = &world.scene.client;
    with_published(world, |dock| {
        client.ip(&format!("route add {PUBLISHED} via {HOST}"))?;
        let done = is_served_by(world, &dock.gateway, world.scene.wire_to(PUBLISHED)?);
        client.ip(&format!("route delete {PUBLISHED}"))?;
        done
    })
}

/// Where a bridge has the firewall look at what it carries, packets leave it under another address than they came.
fn a_gateway_in_a_container_is_served_from_another_container_at_its_published_port(
    world: &World,
) -> Outcome {
    with_published(world, |dock| {
        let route = Route::new(&dock.caller, PUBLISHED)?;
        is_served_by(world, &dock.gateway, route)?;
        is_served_again(world, &dock.gateway, route)
    })
}

/// Does something with a gateway in a container whose port is published.
fn with_published(world: &World, work: impl FnOnce(&Dock<'_>) -> Outcome) -> Outcome {
    let dock = Dock::new(world)?;
    let host = &world.scene.host;
    let gateway = GATEWAYS[0];
    let rule =
        format!("PREROUTING -d {PUBLISHED} -p tcp --dport {PORT} -j DNAT --to {gateway}:{PORT}");
    let forwards = host.sysctl("ipv4/ip_forward", "1")?;
    let done = with_rule(host, "iptables", &rule, || work(&dock));
    host.sysctl("ipv4/ip_forward", &forwards)?;
    done
}

fn a_gateway_in_a_container_is_served_from_another_container(world: &World) -> Outcome {
    let dock = Dock::new(world)?;
    GATEWAYS.into_iter().try_for_each(|address| {
        is_served_by(world, &dock.gateway, Route::new(&dock.caller, address)?)
    })
}
