//! Connections that another protocol takes over: the head is judged, what follows is carried as it is.
use std::{thread, time::Duration};

use super::{bodies::noise, cases, lookalikes::inner};
use crate::{
    check::{During as _, Outcome, check, steadily},
    client::Client,
    functions,
    http::Request,
    world::{World, expect_status, is_rewritten},
};

cases![
    what_follows_a_change_of_protocol_is_carried_both_ways_as_it_is,
    a_connection_in_another_protocol_on_which_bytes_flow_is_not_idle,
];

/// A keyed request for a WebSocket, answered.
fn switched(world: &World) -> Outcome<Client> {
    let function = world.a()?;
    let request = Request::keyed(function)
        .header("Connection: Upgrade")
        .header("Upgrade: websocket")
        .header("Sec-WebSocket-Version: 13")
        .header("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==");
    let mut client = Client::open(world.route()?)?;
    client.write(&request.bytes())?;
    expect_status(101, &client.answer()?)?;
    is_rewritten(function, &request, &world.gateway.only(client.address()?)?)?;
    Ok(client)
}

/// What is sent comes back.
fn is_carried(client: &mut Client, bytes: &[u8]) -> Outcome {
    client.write(bytes)?;
    let back = client.bytes(bytes.len())?;
    check!(
        back == bytes,
        "{} bytes came back as others:\n{}",
        bytes.len(),
        String::from_utf8_lossy(&back[..back.len().min(300)])
    );
    Ok(())
}

fn what_follows_a_change_of_protocol_is_carried_both_ways_as_it_is(world: &World) -> Outcome {
    let mut client = switched(world)?;
    let request = inner(world)?;
    let (start, end) = request.split_at(40);
    for (what, bytes) in [
        ("a byte", b"x".as_slice()),
        ("a keyed request's text", &request),
        ("the start of one", start),
        ("its end", end),
        ("some of them at once", &request.repeat(3)),
        ("noise", &noise(300_000)),
        ("a keyed request's text behind noise", &request),
    ] {
        is_carried(&mut client, bytes).during(what)?;
    }
    let seen = world.gateway.seen(client.address()?)?;
    check!(seen.len() == 1, "{} requests", seen.len());
    drop(client);
    world.lease_ends()
}

fn a_connection_in_another_protocol_on_which_bytes_flow_is_not_idle(world: &World) -> Outcome {
    let work = || {
        let mut client = switched(world)?;
        for _ in 0..30 {
            // What could be the start of a request line, too.
            is_carried(&mut client, b"tick")?;
            thread::sleep(Duration::from_millis(100));
        }
        let phase = world.agent.phase(functions::A)?;
        check!(phase == "unlocked", "{phase}");
        let idle = world.agent.counter("leases_idle")?;
        check!(idle == 0, "it was taken for idle");
        // With the last of them it is.
        world.lease_ends()
    };
    steadily(|| world.with_setting("idle_limit = 1\n", work))
}
