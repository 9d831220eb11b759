//! Several requests on one connection.
use std::thread;

use rsfaas_shim::Refusal;

use super::cases;
use crate::{
    check::{During as _, Outcome, check},
    client::{Client, SENT_AGAIN},
    functions,
    http::Request,
    world::{World, expect_refused, expect_status, is_rewritten, is_untouched},
};

cases![
    keyless_and_keyed_requests_take_turns_on_a_connection,
    two_functions_are_served_over_one_connection,
    a_connection_of_http_1_0_ends_with_its_answer,
    a_kept_connection_of_http_1_0_serves_on,
    a_wrong_key_is_refused_and_the_connection_goes_on,
    a_request_line_that_is_cut_on_a_kept_connection_is_held,
    line_ends_behind_a_body_keep_no_later_request,
    requests_behind_bodies_that_are_not_followed_are_served,
];

fn keyless_and_keyed_requests_take_turns_on_a_connection(world: &World) -> Outcome {
    let function = world.a()?;
    let keyless = Request::to(function).body(b"keyless");
    let keyed = Request::keyed(function).body(b"keyed");
    let mut client = Client::open(world.route()?)?;
    for _ in 0..3 {
        client.write(&keyless.bytes())?;
        expect_status(423, &client.answer()?)?;
        client.write(&keyed.bytes())?;
        expect_status(200, &client.answer()?)?;
    }
    for pair in world.gateway.seen(client.address()?)?.chunks(2) {
        is_untouched(&keyless, &pair[0])?;
        is_rewritten(function, &keyed, &pair[1])?;
    }
    Ok(())
}

fn two_functions_are_served_over_one_connection(world: &World) -> Outcome {
    let pair = [world.function(functions::A)?, world.function(functions::B)?];
    let mut client = Client::open(world.route()?)?;
    for round in 0..6 {
        let function = pair[round % 2];
        let request = Request::keyed(function).body(b"for you");
        client.write(&request.bytes())?;
        expect_status(200, &client.answer()?)?;
        let seen = world.gateway.seen(client.address()?)?;
        check!(seen.len() == round + 1, "{} requests", seen.len());
        is_rewritten(function, &request, &seen[round])?;
    }
    Ok(())
}

fn http_1_0(world: &World) -> Outcome<Request> {
    let function = world.a()?;
    let line = format!("POST /function/{} HTTP/1.0", function.name);
    let key = format!("X-RsFaaS-Key: {}", function.key);
    Ok(Request::line(&line).header(&key))
}

fn a_connection_of_http_1_0_ends_with_its_answer(world: &World) -> Outcome {
    let request = http_1_0(world)?.body(b"old");
    let mut client = Client::open(world.route()?)?;
    client.write(&request.bytes())?;
    expect_status(200, &client.answer()?)?;
    check!(client.is_ended()?, "the connection goes on");
    is_rewritten(
        world.a()?,
        &request,
        &world.gateway.only(client.address()?)?,
    )
}

fn a_kept_connection_of_http_1_0_serves_on(world: &World) -> Outcome {
    let request = http_1_0(world)?
        .header("Connection: keep-alive")
        .body(b"old");
    let mut client = Client::open(world.route()?)?;
    for _ in 0..3 {
        client.write(&request.bytes())?;
        expect_status(200, &client.answer()?)?;
    }
    for seen in world.gateway.seen(client.address()?)? {
        is_rewritten(world.a()?, &request, &seen)?;
    }
    Ok(())
}

fn a_wrong_key_is_refused_and_the_connection_goes_on(world: &World) -> Outcome {
    let (a, b) = (world.function(functions::A)?, world.function(functions::B)?);
    // The other function's key.
    let wrong = Request::to(a).header(&format!("X-RsFaaS-Key: {}", b.key));
    let right = Request::keyed(a);
    let mut client = Client::open(world.route()?)?;
    client.write(&wrong.bytes())?;
    expect_status(423, &client.answer()?)?;
    client.write(&right.bytes())?;
    expect_status(200, &client.answer()?)?;
    let seen = world.gateway.seen(client.address()?)?;
    expect_refused(Refusal::KeyWrong, &seen[0])?;
    is_rewritten(a, &right, &seen[1])
}

fn a_request_line_that_is_cut_on_a_kept_connection_is_held(world: &World) -> Outcome {
    let function = world.a()?;
    let (keyless, keyed) = (Request::to(function), Request::keyed(function));
    let bytes = keyed.bytes();
    for cut in [1, 6, 20] {
        let mut client = Client::open(world.route()?)?;
        client.write(&keyless.bytes())?;
        expect_status(423, &client.answer()?)?;
        client.write(&bytes[..cut])?;
        client.write(&bytes[cut..])?;
        expect_status(200, &client.answer()?).during(format!("cut at {cut}"))?;
        is_rewritten(function, &keyed, &world.gateway.seen(client.address()?)?[1])?;
    }
    Ok(())
}

/// Some clients send them, and the gateway skips them: with the body, and behind the answer.
fn line_ends_behind_a_body_keep_no_later_request(world: &World) -> Outcome {
    let function = world.a()?;
    let (keyless, keyed) = (Request::to(function), Request::keyed(function));
    for (request, status) in [(keyless, 423), (keyed, 200)] {
        let request = request.body(b"body");
        for at_once in [true, false] {
            let mut client = Client::open(world.route()?)?;
            for _ in 0..2 {
                let mut bytes = request.bytes();
                if at_once {
                    bytes.extend_from_slice(b"\r\n");
                }
                client.write(&bytes)?;
                expect_status(status, &client.answer()?)?;
                if !at_once {
                    client.write(b"\r\n")?;
                }
                thread::sleep(SENT_AGAIN);
            }
            let last = Request::keyed(function).body(b"last");
            client.write(&last.bytes())?;
            expect_status(200, &client.answer()?)
                .during(format!("behind {status}, at once: {at_once}"))?;
            let seen = world.gateway.seen(client.address()?)?;
            check!(seen.len() == 3, "{} requests", seen.len());
        }
    }
    Ok(())
}

/// Some clients offer a change of protocol with every request. What follows such a head is not looked at, and most of
/// its segments are on their way to the agent when that is decided.
fn requests_behind_bodies_that_are_not_followed_are_served(world: &World) -> Outcome {
    let function = world.a()?;
    let mut holder = Client::open(world.route()?)?;
    holder.write(&Request::keyed(function).bytes())?;
    expect_status(200, &holder.answer()?)?;
    let body = b"{\"word\": \"night\"},\n".repeat(20_000);
    let mut client = Client::open(world.route()?)?;
    for _ in 0..4 {
        for request in [
            Request::keyed(function)
                .header("Upgrade: h2c")
                .header("Connection: Upgrade, HTTP2-Settings")
                .body(&body),
            Request::keyed(function).body(b"plain"),
        ] {
            client.write(&request.bytes())?;
            expect_status(200, &client.answer()?)?;
            let seen = world.gateway.seen(client.address()?)?;
            is_rewritten(function, &request, &seen[seen.len() - 1])?;
        }
    }
    Ok(())
}
