//! More than there is room for: nothing is lost but time, and what was dropped is counted.
use nix::sys::signal::Signal;

use super::cases;
use crate::{
    check::{Outcome, check},
    client::Client,
    http::Request,
    scene::Route,
    world::{World, expect_status, is_rewritten},
};

cases![
    a_thousand_connections_held_at_once_are_served,
    a_full_ring_buffer_costs_time_only,
];

/// Sends a request over so many connections while the agent is halted; each is served once it goes on.
fn held_at_once(world: &World, route: Route<'_>, count: usize, request: &Request) -> Outcome {
    let bytes = request.bytes();
    let mut clients = (0..count)
        .map(|_| Client::open(route))
        .collect::<Outcome<Vec<_>>>()?;
    world.agent.signal(Signal::SIGSTOP)?;
    let sent = clients
        .iter_mut()
        .try_for_each(|client| client.write(&bytes));
    world.agent.signal(Signal::SIGCONT)?;
    sent?;
    for client in &mut clients {
        expect_status(200, &client.answer()?)?;
        let seen = world.gateway.only(client.address()?)?;
        is_rewritten(world.a()?, request, &seen)?;
    }
    Ok(())
}

fn a_thousand_connections_held_at_once_are_served(world: &World) -> Outcome {
    let request = Request::keyed(world.a()?).body(b"one of many");
    held_at_once(world, world.route()?, 1000, &request)
}

/// A segment of loopback takes a record of 66 KiB: the ring buffer has room for fewer than 250.
fn a_full_ring_buffer_costs_time_only(world: &World) -> Outcome {
    let request = Request::keyed(world.a()?).body(&[b'x'; 60_000]);
    let before = world.agent.counter("dropped_ring_full")?;
    held_at_once(world, world.scene.loopback("127.0.0.1")?, 400, &request)?;
    let dropped = world.agent.counter("dropped_ring_full")? - before;
    check!(
        dropped >= 150,
        "only {dropped} dropped segments were counted"
    );
    Ok(())
}
