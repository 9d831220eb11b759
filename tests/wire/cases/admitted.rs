//! Requests of an open lease that the programs let go on by themselves. At XDP they do not: there the same holds, by
//! way of the agent.
use rsfaas_shim::Refusal;

use super::cases;
use crate::{
    check::{Outcome, check},
    client::Client,
    functions,
    http::Request,
    world::{World, expect_refused, expect_status, is_rewritten},
};

cases![
    a_request_that_comes_again_goes_on_by_itself,
    requests_on_a_kept_connection_go_on_by_themselves,
    the_body_of_such_a_request_may_come_in_pieces,
    what_comes_behind_such_a_request_is_judged,
    the_same_request_with_another_key_is_refused,
    after_the_lease_the_same_request_unlocks_again,
    callers_who_come_and_go_are_served_all_the_while,
];

/// Calls that may be needed until the programs know a head: the door opens once the first answer was seen.
const CALLS: usize = 50;

/// Runs something while a connection holds the lease, and the programs let a request go on by itself where they can.
fn while_known(world: &World, request: &Request, work: impl FnOnce() -> Outcome) -> Outcome {
    let bytes = request.bytes();
    // In an ordinary segment of its own.
    let pieces = bytes.split_at(bytes.len().min(request.head().len() + 20));
    let mut holder = Client::open(world.route()?)?;
    holder.write(&request.bytes())?;
    expect_status(200, &holder.answer()?)?;
    let known = admitted(world)?;
    for _ in 0..CALLS {
        world.is_served(world.route()?, world.a()?, request, [pieces.0, pieces.1])?;
        if admitted(world)? > known {
            break;
        }
    }
    check!(
        (admitted(world)? > known) == (world.agent.attach() == "tc"),
        "{} requests have gone on by themselves",
        admitted(world)? - known
    );
    work()?;
    // The lease has lasted until here.
    holder.write(&request.bytes())?;
    expect_status(200, &holder.answer()?)
}

fn admitted(world: &World) -> Outcome<u64> {
    world.agent.counter("admitted")
}

fn a_request_that_comes_again_goes_on_by_itself(world: &World) -> Outcome {
    let request = Request::keyed(world.a()?).body(b"once more");
    while_known(world, &request, || {
        (0..20).try_for_each(|_| world.serves(world.route()?, &request))
    })?;
    world.lease_ends()
}

fn requests_on_a_kept_connection_go_on_by_themselves(world: &World) -> Outcome {
    let function = world.a()?;
    let request = Request::keyed(function).body(b"kept");
    let keyless = Request::to(function).body(b"kept");
    while_known(world, &request, || {
        let mut client = Client::open(world.route()?)?;
        let known = admitted(world)?;
        for _ in 0..20 {
            client.write(&request.bytes())?;
            expect_status(200, &client.answer()?)?;
        }
        check!(
            world.agent.attach() != "tc" || admitted(world)? == known + 20,
            "{} of 20 have gone on by themselves",
            admitted(world)? - known
        );
        for round in 0..3 {
            client.write(&keyless.bytes())?;
            expect_status(423, &client.answer()?)?;
            client.write(&request.bytes())?;
            expect_status(200, &client.answer()?)?;
            let seen = world.gateway.seen(client.address()?)?;
            check!(seen.len() == 22 + 2 * round, "{} requests", seen.len());
            is_rewritten(function, &request, &seen[seen.len() - 1])?;
        }
        Ok(())
    })?;
    world.lease_ends()
}

fn the_body_of_such_a_request_may_come_in_pieces(world: &World) -> Outcome {
    let request = Request::keyed(world.a()?).body(&[b'b'; 50_000]);
    let bytes = request.bytes();
    let head = request.head().len();
    while_known(world, &request, || {
        for cuts in [[head, head + 1], [head + 100, 40_000], [head - 1, head + 1]] {
            let (first, rest) = bytes.split_at(cuts[0]);
            let (second, third) = rest.split_at(cuts[1] - cuts[0]);
            world.is_served(world.route()?, world.a()?, &request, [first, second, third])?;
        }
        Ok(())
    })?;
    world.lease_ends()
}

fn what_comes_behind_such_a_request_is_judged(world: &World) -> Outcome {
    let function = world.a()?;
    let request = Request::keyed(function).body(b"first");
    let other = Request::keyed(function).body(b"another one");
    while_known(world, &request, || {
        let mut client = Client::open(world.route()?)?;
        client.write(&[request.bytes(), other.bytes()].concat())?;
        expect_status(200, &client.answer()?)?;
        expect_status(200, &client.answer()?)?;
        // And one that waits for its turn.
        client.write(&request.bytes())?;
        expect_status(200, &client.answer()?)?;
        let seen = world.gateway.seen(client.address()?)?;
        check!(seen.len() == 3, "{} requests", seen.len());
        for (request, seen) in [&request, &other, &request].into_iter().zip(&seen) {
            is_rewritten(function, request, seen)?;
        }
        Ok(())
    })?;
    world.lease_ends()
}

fn the_same_request_with_another_key_is_refused(world: &World) -> Outcome {
    let request = Request::keyed(world.a()?).body(b"mine");
    let stranger = world.function(functions::B)?;
    let line = format!("POST /function/{} HTTP/1.1", world.a()?.name);
    let wrong = Request::line(&line)
        .header("Host: gateway")
        .header(&format!("X-RsFaaS-Key: {}", stranger.key))
        .body(b"mine");
    while_known(world, &request, || {
        let mut client = Client::open(world.route()?)?;
        client.write(&wrong.bytes())?;
        // The locked function's.
        expect_status(423, &client.answer()?)?;
        expect_refused(Refusal::KeyWrong, &world.gateway.only(client.address()?)?)
    })?;
    world.lease_ends()
}

fn after_the_lease_the_same_request_unlocks_again(world: &World) -> Outcome {
    let request = Request::keyed(world.a()?).body(b"again");
    for _ in 0..3 {
        while_known(world, &request, || Ok(()))?;
        world.lease_ends()?;
    }
    Ok(())
}

fn callers_who_come_and_go_are_served_all_the_while(world: &World) -> Outcome {
    let request = Request::keyed(world.a()?).body(b"hello and goodbye");
    let call = || (0..100).try_for_each(|_| world.serves(world.route()?, &request));
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4).map(|_| scope.spawn(call)).collect();
        callers.into_iter().try_for_each(|caller| {
            caller
                .join()
                .unwrap_or_else(|_| crate::check::fail("a caller panicked"))
        })
    })?;
    world.lease_ends()
}
