//! A head that comes in parts, with pauses in which a client's TCP waits for an acknowledgement.
use std::{thread, time::Duration};

use super::cases;
use crate::{
    check::{During as _, Outcome},
    client::{Client, SENT_AGAIN},
    http::Request,
    world::{World, expect_status, is_rewritten, is_untouched},
};

cases![
    a_head_written_byte_by_byte_is_served,
    a_head_that_pauses_anywhere_is_served,
    a_client_that_joins_small_writes_is_served,
    a_keyless_request_that_pauses_anywhere_is_answered,
    the_end_of_a_paused_head_may_come_in_parts_too,
    half_a_request_behind_a_whole_one_comes_to_its_end,
];

fn a_head_written_byte_by_byte_is_served(world: &World) -> Outcome {
    let function = world.a()?;
    let request = Request::keyed(function).body(b"slow");
    let bytes = request.bytes();
    let pieces = bytes
        .chunks(1)
        .inspect(|_| thread::sleep(Duration::from_millis(5)));
    world.is_served(world.route()?, function, &request, pieces)
}

/// Sends a request once for each place, with a pause there.
fn paused(world: &World, request: &Request, status: u16, places: &[usize]) -> Outcome<Vec<Client>> {
    let bytes = request.bytes();
    let mut clients = Vec::new();
    for place in places {
        let mut client = Client::open(world.route()?)?;
        client.write(&bytes[..*place])?;
        clients.push(client);
    }
    thread::sleep(SENT_AGAIN);
    for (client, place) in clients.iter_mut().zip(places) {
        client.write(&bytes[*place..])?;
    }
    for (client, place) in clients.iter_mut().zip(places) {
        expect_status(status, &client.answer()?).during(format!("a pause after {place} bytes"))?;
    }
    Ok(clients)
}

fn a_head_that_pauses_anywhere_is_served(world: &World) -> Outcome {
    let function = world.a()?;
    let request = Request::keyed(function)
        .header("Accept: */*")
        .body(b"later");
    let end = request.head().len();
    // In the method, the prefix, the name, behind the line, in the key's line, before the last byte, and in the body.
    let places = [1, 3, 8, 17, 40, 60, 90, end - 30, end - 1, end, end + 2];
    for client in paused(world, &request, 200, &places)? {
        is_rewritten(function, &request, &world.gateway.only(client.address()?)?)?;
    }
    Ok(())
}

fn a_keyless_request_that_pauses_anywhere_is_answered(world: &World) -> Outcome {
    let request = Request::to(world.a()?).header("Accept: */*");
    let places = [1, 3, 8, 17, 40, request.head().len() - 1];
    for client in paused(world, &request, 423, &places)? {
        is_untouched(&request, &world.gateway.only(client.address()?)?)?;
    }
    Ok(())
}

/// Nagle's algorithm: the second write goes out once the first is acknowledged.
fn a_client_that_joins_small_writes_is_served(world: &World) -> Outcome {
    let function = world.a()?;
    let request = Request::keyed(function).body(b"joined");
    let mut client = Client::open(world.route()?)?;
    client.join_small_writes()?;
    for line in request.bytes().split_inclusive(|byte| *byte == b'\n') {
        client.write(line)?;
    }
    expect_status(200, &client.answer()?)?;
    is_rewritten(function, &request, &world.gateway.only(client.address()?)?)
}

/// What was acknowledged is not sent again: nothing of it may be lost.
fn the_end_of_a_paused_head_may_come_in_parts_too(world: &World) -> Outcome {
    let function = world.a()?;
    let request = Request::keyed(function).body(b"at last");
    let mut client = Client::open(world.route()?)?;
    let bytes = request.bytes();
    let (first, rest) = bytes.split_at(40);
    let write = || client.write(first);
    world.agent.until_counted("heads_acknowledged", write)?;
    for part in rest.chunks(40) {
        client.write(part)?;
        thread::sleep(SENT_AGAIN / 6);
    }
    expect_status(200, &client.answer()?)?;
    is_rewritten(function, &request, &world.gateway.only(client.address()?)?)
}

fn half_a_request_behind_a_whole_one_comes_to_its_end(world: &World) -> Outcome {
    let function = world.a()?;
    let request = Request::keyed(function).body(b"twice");
    let bytes = request.bytes();
    let mut client = Client::open(world.route()?)?;
    client.write(&[&bytes, &bytes[..30]].concat())?;
    expect_status(200, &client.answer()?)?;
    thread::sleep(SENT_AGAIN);
    client.write(&bytes[30..])?;
    expect_status(200, &client.answer()?)?;
    for seen in world.gateway.seen(client.address()?)? {
        is_rewritten(function, &request, &seen)?;
    }
    Ok(())
}
