//! By whichever interface a request arrives.
use std::time::{Duration, Instant};

use super::cases;
use crate::{
    check::{Outcome, check, eventually},
    client::Client,
    gateway::Gateway,
    http::Request,
    scene::{HOST, HOST_LINK, PORT, Route},
    world::{World, expect_status, is_rewritten},
};

cases![
    the_wire_and_loopback_are_served_alike,
    a_bridge_is_served,
    an_address_that_is_translated_is_served,
    the_programs_are_at_the_hook_that_was_asked_for,
    each_interface_has_the_programs_at_the_hook_that_was_asked_for_it,
    an_interface_that_appears_is_covered,
    an_interface_that_goes_does_no_harm,
];

/// Another wire between the two hosts, gone when dropped.
pub(super) struct Wire<'a> {
    world: &'a World,
    link: &'static str,
}

impl<'a> Wire<'a> {
    /// Its ends are `LINK` here and `LINK-c` there, addresses `198.18.NETWORK.1` and `.2`; this host's
    /// address is at `holder`, the link itself or a bridge.
    pub(super) fn new(
        world: &'a World,
        link: &'static str,
        holder: &str,
        network: u8,
    ) -> Outcome<Self> {
        let (host, client) = (&world.scene.host, &world.scene.client);
        let there = format!("{link}-c");
        host.ip(&format!(
            "link add {link} type veth peer name {there} netns {}",
            client.name()
        ))?;
        let wire = Self { world, link };
        if holder != link {
            host.ip(&format!("link set {link} master {holder}"))?;
        }
        host.ip(&format!("address add 198.18.{network}.1/24 dev {holder}"))?;
        host.ip(&format!("link set {link} up"))?;
        client.ip(&format!("address add 198.18.{network}.2/24 dev {there}"))?;
        client.ip(&format!("link set {there} up"))?;
        world.agent.wait_until_covered(link)?;
        world.agent.wait_until_covered(holder)?;
        Ok(wire)
    }
}

impl Drop for Wire<'_> {
    fn drop(&mut self) {
        // It may have been removed by the test.
        let _ = self
            .world
            .scene
            .host
            .ip(&format!("link delete {}", self.link));
    }
}

/// Two requests on one connection, the first cut, with bodies of several segments.
pub(super) fn is_served(world: &World, route: Route<'_>) -> Outcome {
    is_served_by(world, &world.gateway, route)
}

/// The same where another gateway answers.
pub(super) fn is_served_by(world: &World, gateway: &Gateway, route: Route<'_>) -> Outcome {
    let function = world.a()?;
    let request = Request::keyed(function).body(&[b'x'; 50_000]);
    let bytes = request.bytes();
    let mut client = Client::open(route)?;
    client.write(&bytes[..60])?;
    client.write(&bytes[60..])?;
    expect_status(200, &client.answer()?)?;
    client.write(&bytes)?;
    expect_status(200, &client.answer()?)?;
    let seen = gateway.seen(client.address()?)?;
    check!(seen.len() == 2, "{} requests", seen.len());
    seen.iter()
        .try_for_each(|seen| is_rewritten(function, &request, seen))
}

/// The same short request, ten times on one connection.
pub(super) fn is_served_again(world: &World, gateway: &Gateway, route: Route<'_>) -> Outcome {
    let function = world.a()?;
    let request = Request::keyed(function).body(b"once more");
    let mut client = Client::open(route)?;
    for _ in 0..10 {
        client.write(&request.bytes())?;
        expect_status(200, &client.answer()?)?;
    }
    let seen = gateway.seen(client.address()?)?;
    check!(seen.len() == 10, "{} requests", seen.len());
    seen.iter()
        .try_for_each(|seen| is_rewritten(function, &request, seen))
}

fn the_wire_and_loopback_are_served_alike(world: &World) -> Outcome {
    is_served(world, world.route()?)?;
    for address in ["127.0.0.1", "::1", HOST] {
        is_served(world, world.scene.loopback(address)?)?;
    }
    Ok(())
}

/// Caught at the bridge's port already, and again at the bridge itself.
fn a_bridge_is_served(world: &World) -> Outcome {
    let host = &world.scene.host;
    host.ip("link add wire-br type bridge")?;
    host.ip("link set wire-br up")?;
    let done = Wire::new(world, "wire-p", "wire-br", 214)
        .and_then(|_wire| is_served(world, world.scene.wire_to("198.18.214.1")?));
    host.ip("link delete wire-br")?;
    done
}

/// Within one host: the gateway's own address is another one.
fn an_address_that_is_translated_is_served(world: &World) -> Outcome {
    const PUBLISHED: &str = "198.18.212.77";
    let host = &world.scene.host;
    host.ip(&format!("address add {PUBLISHED}/32 dev {HOST_LINK}"))?;
    host.run(&format!(
        "iptables -w -t nat -A PREROUTING -d {PUBLISHED} -p tcp --dport {PORT} -j DNAT --to \
         {HOST}:{PORT}"
    ))?;
    let served = is_served(world, world.scene.wire_to(PUBLISHED)?);
    host.run("iptables -w -t nat -F PREROUTING")?;
    host.ip(&format!("address delete {PUBLISHED}/32 dev {HOST_LINK}"))?;
    served
}

fn the_programs_are_at_the_hook_that_was_asked_for(world: &World) -> Outcome {
    let hook = world.agent.hook(HOST_LINK)?;
    check!(hook.starts_with(world.agent.attach()), "at {hook}");
    Ok(())
}

fn each_interface_has_the_programs_at_the_hook_that_was_asked_for_it(world: &World) -> Outcome {
    let asked = [
        ("wire-t", "tc", "198.18.218.1"),
        ("wire-u", "xdp", "198.18.219.1"),
    ];
    let _wires = (
        Wire::new(world, "wire-t", "wire-t", 218)?,
        Wire::new(world, "wire-u", "wire-u", 219)?,
    );
    let lines: String = asked
        .iter()
        .map(|(link, hook, _)| format!("{link} = {hook:?}\n"))
        .collect();
    world.with_setting(&format!("[attach_interfaces]\n{lines}"), || {
        for (link, hook, address) in asked {
            world.agent.wait_until_covered(link)?;
            let told = world.agent.hook(link)?;
            check!(told.starts_with(hook), "{link}: {told} instead of {hook}");
            is_served(world, world.scene.wire_to(address)?)?;
        }
        the_programs_are_at_the_hook_that_was_asked_for(world)
    })
}

fn an_interface_that_appears_is_covered(world: &World) -> Outcome {
    let host = &world.scene.host;
    let mut best = Duration::MAX;
    for _ in 0..3 {
        host.ip("link add wire-q type veth peer name wire-q-c")?;
        host.ip("link set wire-q-c up")?;
        let started = Instant::now();
        host.ip("link set wire-q up")?;
        let covered = world.agent.wait_until_covered("wire-q");
        best = best.min(started.elapsed());
        host.ip("link delete wire-q")?;
        covered?;
    }
    // A second is what is wanted, of a host that has nothing else to do.
    println!("at the best, an interface is covered {best:?} after it is up");
    let _wire = Wire::new(world, "wire-n", "wire-n", 215)?;
    is_served(world, world.scene.wire_to("198.18.215.1")?)
}

fn an_interface_that_goes_does_no_harm(world: &World) -> Outcome {
    let wire = Wire::new(world, "wire-g", "wire-g", 216)?;
    let request = Request::keyed(world.a()?);
    let mut client = Client::open(world.scene.wire_to("198.18.216.1")?)?;
    client.write(&request.head()[..50])?;
    drop(wire);
    eventually("the agent to let the interface go", || {
        Ok(!world.agent.covers("wire-g")?)
    })?;
    is_served(world, world.route()?)?;
    // Another one of that name.
    let _wire = Wire::new(world, "wire-g", "wire-g", 216)?;
    is_served(world, world.scene.wire_to("198.18.216.1")?)
}
