//! Functions each of whose connections has a container of its own.
use std::collections::BTreeSet;

use serde_json::Value;

use super::{NIGHT, expect, seal_with, unlocked_functions};
use crate::{
    World,
    host::{Error, check, eventually, fail},
    http::{Connection, Request},
};

/// Tells who has answered.
const FUNCTION: &str = "echo-headers";
const SMALL: &str = "pydict";

pub(super) fn two_connections_have_two_containers_which_end_with_them(
    world: &World,
) -> Result<(), Error> {
    isolate(world, FUNCTION, true)?;
    let (mut one, mut other) = (
        Connection::open(&world.host)?,
        Connection::open(&world.host)?,
    );
    let request = request(world)?;
    for connection in [&mut one, &mut other] {
        connection.write(&request)?;
    }
    let hosts = [hostname(&mut one)?, hostname(&mut other)?];
    check!(hosts[0] != hosts[1], "both are served by {}", hosts[0]);
    one.write(&request)?;
    check!(
        hostname(&mut one)? == hosts[0],
        "a connection has changed its container"
    );
    let leases = leases(world, FUNCTION)?;
    let clients: BTreeSet<&str> = leases
        .iter()
        .filter_map(|it| it["client"].as_str())
        .collect();
    check!(clients.len() == 2, "not two clients: {leases:?}");
    let containers = containers(&leases);
    check!(containers.len() == 2, "not two containers: {leases:?}");
    drop(one);
    eventually("one lease to end", || {
        Ok(self::leases(world, FUNCTION)?.len() == 1)
    })?;
    other.write(&request)?;
    check!(
        hostname(&mut other)? == hosts[1],
        "the other connection's container has gone too"
    );
    drop(other);
    world.agent.wait_until_locked(FUNCTION)?;
    eventually("both containers to be gone", || {
        let left = unlocked_functions(world)?;
        Ok(!left.iter().any(|name| containers.contains(name)))
    })?;
    isolate(world, FUNCTION, false)
}

pub(super) fn a_connection_beyond_the_bound_is_served_when_another_has_ended(
    world: &World,
) -> Result<(), Error> {
    isolate(world, SMALL, true)?;
    world.agent.restart_with("standby = 0\nisolated = 1")?;
    let bound = 1;
    let request = Request::call(SMALL, NIGHT)
        .key(&world.author.key(SMALL)?)
        .bytes();
    let mut connections = Vec::new();
    for _ in 0..=bound {
        let mut connection = Connection::open(&world.host)?;
        connection.write(&request)?;
        connections.push(connection);
    }
    eventually("as many as may to be served", || {
        Ok(containers(&leases(world, SMALL)?).len() == bound)
    })?;
    let served = leases(world, SMALL)?;
    let Some(waiting) = served.iter().find(|lease| lease["container"].is_null()) else {
        return fail(format!("nobody waits: {served:?}"));
    };
    let waiting = waiting["client"].as_str().unwrap_or_default();
    let place = connections
        .iter()
        .position(|connection| connection.address().is_ok_and(|own| own == waiting));
    let Some(place) = place else {
        return fail(format!("{waiting} is none of the connections"));
    };
    let mut last = connections.swap_remove(place);
    for connection in &mut connections {
        expect(&connection.answer()?, 200, "noche")?;
    }
    drop(connections);
    expect(&last.answer()?, 200, "noche")?;
    drop(last);
    world.agent.wait_until_ciphertext(SMALL)?;
    world.agent.stop()?;
    world.agent.restart()?;
    world.agent.wait_until_parked()?;
    isolate(world, SMALL, false)
}

/// Seals the sealed function again for the other isolation, and waits until the agent has it.
fn isolate(world: &World, function: &str, each: bool) -> Result<(), Error> {
    let isolation = if each { "connection" } else { "shared" };
    seal_with(world, function, "isolation", isolation)?;
    world.agent.wait_until_locked(function)
}

fn request(world: &World) -> Result<Vec<u8>, Error> {
    let key = world.author.key(FUNCTION)?;
    Ok(Request::call(FUNCTION, "").key(&key).bytes())
}

/// Where the answer comes from.
fn hostname(connection: &mut Connection) -> Result<String, Error> {
    let answer = connection.answer()?;
    expect(&answer, 200, "Hostname")?;
    let headers: Value = serde_json::from_str(&answer.body)?;
    Ok(headers["Hostname"].as_str().unwrap_or_default().to_owned())
}

fn leases(world: &World, function: &str) -> Result<Vec<Value>, Error> {
    let function = world.agent.function(function)?;
    Ok(function["leases"].as_array().cloned().unwrap_or_default())
}

fn containers(leases: &[Value]) -> BTreeSet<String> {
    leases
        .iter()
        .filter_map(|lease| Some(lease["container"].as_str()?.to_owned()))
        .collect()
}
