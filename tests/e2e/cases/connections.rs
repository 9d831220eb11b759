//! Connections: cut, kept, shared, from other hosts, behind a proxy.
use std::thread;

use super::{NIGHT, expect, keyed};
use crate::{
    World,
    container::{self, Relay},
    host::{Error, check},
    http::{Connection, Request},
    netns::ClientHost,
    proxy::Proxy,
};

pub(super) fn a_head_that_comes_in_pieces_is_held_until_it_is_whole(
    world: &World,
) -> Result<(), Error> {
    let key = world.author.key("pydict")?;
    let request = Request::call("pydict", NIGHT).key(&key).bytes();
    for cut in [
        1,
        10,
        24,
        40,
        60,
        request.len() - NIGHT.len() - 2,
        request.len() - 3,
    ] {
        let mut connection = Connection::open(&world.host)?;
        connection.write(&request[..cut])?;
        thread::sleep(std::time::Duration::from_millis(30));
        connection.write(&request[cut..])?;
        let answer = connection.answer()?;
        expect(&answer, 200, "noche").map_err(|error| Error(format!("cut at {cut}: {error}")))?;
    }
    world.agent.wait_until_locked("pydict")
}

pub(super) fn each_request_on_a_kept_connection_is_judged_by_itself(
    world: &World,
) -> Result<(), Error> {
    let mut connection = Connection::open(&world.host)?;
    let keyless = Request::call("pydict", NIGHT).bytes();
    let keyed = Request::call("pydict", NIGHT)
        .key(&world.author.key("pydict")?)
        .bytes();
    for round in 0..2 {
        for (request, status, part) in [(&keyless, 423, "pydict"), (&keyed, 200, "noche")] {
            connection.write(request)?;
            expect(&connection.answer()?, status, part)
                .map_err(|error| Error(format!("round {round}: {error}")))?;
        }
    }
    drop(connection);
    world.agent.wait_until_locked("pydict")
}

pub(super) fn a_client_on_another_host_is_served(world: &World) -> Result<(), Error> {
    let client = ClientHost::new()?;
    let (status, body) = client.call(world.host.port, "pydict", None, NIGHT)?;
    check!(status == 423, "without the key: {status} {body}");
    let key = world.author.key("pydict")?;
    let (status, body) = client.call(world.host.port, "pydict", Some(&key), NIGHT)?;
    check!(
        status == 200 && body.contains("noche"),
        "with the key: {status} {body}"
    );
    world.agent.wait_until_locked("pydict")
}

pub(super) fn a_client_over_ipv6_is_served(world: &World) -> Result<(), Error> {
    let mut connection = Connection::open_at(("::1", world.host.port))?;
    connection.write(
        &Request::call("pydict", NIGHT)
            .key(&world.author.key("pydict")?)
            .bytes(),
    )?;
    expect(&connection.answer()?, 200, "noche")?;
    drop(connection);
    world.agent.wait_until_locked("pydict")
}

pub(super) fn a_client_inside_a_container_is_served(world: &World) -> Result<(), Error> {
    let text = container::call(world, "pydict", None, NIGHT)?;
    check!(text.starts_with("423 "), "without the key: {text}");
    let key = world.author.key("pydict")?;
    let text = container::call(world, "pydict", Some(&key), NIGHT)?;
    check!(
        text.starts_with("200 ") && text.contains("noche"),
        "with the key: {text}"
    );
    world.agent.wait_until_locked("pydict")
}

pub(super) fn a_client_that_comes_through_a_published_port_is_served(
    world: &World,
) -> Result<(), Error> {
    let relay = Relay::start(world)?;
    let request = Request::call("pydict", NIGHT);
    expect(&request.send_to(relay.address())?, 423, "pydict")?;
    let request = request.key(&world.author.key("pydict")?);
    expect(&request.send_to(relay.address())?, 200, "noche")?;
    drop(relay);
    world.agent.wait_until_locked("pydict")
}

pub(super) fn clients_are_served_while_addresses_of_the_host_change(
    world: &World,
) -> Result<(), Error> {
    let [came, sent] = ["released", "frames_released"];
    let counted = |name| world.agent.counter(name);
    let before = (counted(came)?, counted(sent)?);
    // A new address makes routes stale that sockets have at hand.
    let mut connection = Connection::open(&world.host)?;
    let _other = ClientHost::new()?;
    connection.write(
        &Request::call("pydict", NIGHT)
            .key(&world.author.key("pydict")?)
            .bytes(),
    )?;
    expect(&connection.answer()?, 200, "noche")?;
    let (came, sent) = (counted(came)? - before.0, counted(sent)? - before.1);
    check!(
        came == sent,
        "{sent} frames were released and {came} came in"
    );
    drop(connection);
    world.agent.wait_until_locked("pydict")
}

pub(super) fn two_keyed_requests_on_one_connection_share_the_lease(
    world: &World,
) -> Result<(), Error> {
    let unlocks = world.agent.unlocks("pydict")?;
    let request = Request::call("pydict", NIGHT)
        .key(&world.author.key("pydict")?)
        .bytes();
    let mut connection = Connection::open(&world.host)?;
    for _ in 0..5 {
        connection.write(&request)?;
        expect(&connection.answer()?, 200, "noche")?;
    }
    drop(connection);
    check!(
        world.agent.unlocks("pydict")? == unlocks + 1,
        "more than one unlock"
    );
    world.agent.wait_until_locked("pydict")
}

pub(super) fn callers_behind_a_reverse_proxy_are_told_apart_and_the_lease_ends_when_they_are_gone(
    world: &World,
) -> Result<(), Error> {
    world.agent.restart_with("idle_limit = 1")?;
    world.agent.wait_until_parked()?;
    let proxy = Proxy::start(&world.host)?;
    let keyless = Request::call("pydict", NIGHT);
    let keyed = Request::call("pydict", NIGHT).key(&world.author.key("pydict")?);
    for _ in 0..3 {
        expect(&keyed.send_to(proxy.address())?, 200, "noche")?;
        expect(&keyless.send_to(proxy.address())?, 423, "pydict")?;
    }
    // The proxy keeps its connection to the gateway open, so that no close ends the lease.
    world.agent.wait_until_locked("pydict")?;
    check!(
        world.agent.counter("leases_idle")? > 0,
        "the lease did not end because nobody used it"
    );
    expect(&keyed.send_to(proxy.address())?, 200, "noche")?;
    drop(proxy);
    world.agent.stop()?;
    world.agent.restart()?;
    world.agent.wait_until_parked()
}

pub(super) fn a_large_body_arrives_whole(world: &World) -> Result<(), Error> {
    let padding = "x".repeat(1_000_000);
    let body = format!(r#"{{"padding": "{padding}", "word": "night"}}"#);
    expect(&keyed(world, "pydict", &body)?, 200, "noche")?;
    world.agent.wait_until_locked("pydict")
}
