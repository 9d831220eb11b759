//! Requests that outlast the hard limit of their lease, which ends it whoever still holds it; and clients
//! that vanish, which the idle limit is for.
use std::{thread, time::Duration};

use super::cases;
use crate::{
    check::{Outcome, check, eventually, steadily},
    client::Client,
    functions,
    http::Request,
    world::{World, expect_status, is_rewritten},
};

cases![
    an_upload_that_outlasts_the_lease_is_told_so_and_the_next_request_is_served,
    an_answer_that_outlasts_the_lease_is_broken_off,
    a_client_that_vanishes_while_it_is_answered_loses_the_lease,
    a_caller_who_waits_for_longer_than_the_idle_limit_keeps_the_lease,
    an_answer_that_flows_for_longer_than_the_idle_limit_is_whole,
    an_upload_that_flows_for_longer_than_the_idle_limit_is_served,
];

/// Runs something under an agent whose leases last a second.
fn with_short_leases(world: &World, work: impl Fn() -> Outcome) -> Outcome {
    steadily(|| world.with_setting("lease_limit = 1\n", &work))
}

/// A keyed request to a path of the function.
pub(super) fn keyed(world: &World, path: &str) -> Outcome<Request> {
    let function = world.a()?;
    let line = format!("GET /function/{}/{path} HTTP/1.1", function.name);
    let key = format!("X-RsFaaS-Key: {}", function.key);
    Ok(Request::line(&line).header(&key))
}

/// The gateway finds nobody to give the upload to.
fn an_upload_that_outlasts_the_lease_is_told_so_and_the_next_request_is_served(
    world: &World,
) -> Outcome {
    with_short_leases(world, || {
        let function = world.a()?;
        let request = Request::keyed(function).body(&[b'u'; 20_000]);
        let bytes = request.bytes();
        let mut client = Client::open(world.route()?)?;
        client.write(&bytes[..10_000])?;
        eventually("the lease to begin", || {
            Ok(world.agent.function(functions::A)?["unlocks"] == 1)
        })?;
        world.lease_ends()?;
        client.write(&bytes[10_000..])?;
        expect_status(502, &client.answer()?)?;
        client.write(&bytes)?;
        expect_status(200, &client.answer()?)?;
        let seen = world.gateway.seen(client.address()?)?;
        check!(seen.len() == 2, "{} requests", seen.len());
        seen.iter()
            .try_for_each(|seen| is_rewritten(function, &request, seen))
    })
}

fn an_answer_that_outlasts_the_lease_is_broken_off(world: &World) -> Outcome {
    with_short_leases(world, || {
        let request = keyed(world, "stream")?;
        let mut client = Client::open(world.route()?)?;
        client.write(&request.bytes())?;
        check!(
            client.answer().is_err(),
            "the answer is whole, although its container is gone"
        );
        world.lease_ends()
    })
}

/// The gateway goes on sending, and sends again what nobody acknowledges.
fn a_client_that_vanishes_while_it_is_answered_loses_the_lease(world: &World) -> Outcome {
    world.with_setting("idle_limit = 1\n", || {
        let request = keyed(world, "stream")?;
        let mut client = Client::open(world.route()?)?;
        client.write(&request.bytes())?;
        client.some_answer()?;
        let host = &world.scene.client;
        host.run("iptables -w -A INPUT -p tcp -j DROP")?;
        let ended = world.lease_ends();
        host.run("iptables -w -F INPUT")?;
        ended?;
        check!(
            world.agent.counter("leases_idle")? > 0,
            "the lease ended in another way"
        );
        Ok(())
    })
}

fn a_caller_who_waits_for_longer_than_the_idle_limit_keeps_the_lease(world: &World) -> Outcome {
    world.with_setting("idle_limit = 1\n", || {
        let slow = keyed(world, "slow")?.bytes();
        let mut client = Client::open(world.route()?)?;
        // The first request of a lease, the second, and one of another connection.
        for _ in 0..2 {
            client.write(&slow)?;
            expect_status(200, &client.answer()?)?;
        }
        let mut other = Client::open(world.route()?)?;
        other.write(&slow)?;
        expect_status(200, &other.answer()?)?;
        // The second may have been there before the driver knew of the first answer.
        let by_door = world.agent.counter("served_by_door")?;
        check!(by_door > 0, "none of the later two came in by the door");
        world.lease_ends()
    })
}

/// Runs something that takes longer than a second under an agent whose connections may be idle for one.
fn is_not_idle(world: &World, work: impl Fn() -> Outcome) -> Outcome {
    steadily(|| {
        world.with_setting("idle_limit = 1\n", || {
            work()?;
            let idle = world.agent.counter("leases_idle")?;
            check!(idle == 0, "{idle} connections were taken for idle");
            Ok(())
        })
    })
}

/// For three seconds; nothing is sent but acknowledgements.
fn an_answer_that_flows_for_longer_than_the_idle_limit_is_whole(world: &World) -> Outcome {
    is_not_idle(world, || {
        let mut client = Client::open(world.route()?)?;
        client.write(&keyed(world, "stream")?.bytes())?;
        expect_status(200, &client.answer()?)?;
        // It was the lease that let it be whole, and it is the same one still.
        let phase = world.agent.phase(functions::A)?;
        check!(phase == "unlocked", "{phase}");
        Ok(())
    })
}

fn an_upload_that_flows_for_longer_than_the_idle_limit_is_served(world: &World) -> Outcome {
    is_not_idle(world, || {
        let function = world.a()?;
        let request = Request::keyed(function).body(&[b'u'; 30_000]);
        let bytes = request.bytes();
        let mut client = Client::open(world.route()?)?;
        for piece in bytes.chunks(1000) {
            client.write(piece)?;
            thread::sleep(Duration::from_millis(100));
        }
        expect_status(200, &client.answer()?)?;
        is_rewritten(function, &request, &world.gateway.only(client.address()?)?)
    })
}
