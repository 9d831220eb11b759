//! How a lease ends: with its last connection, or a while later.
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::cases;
use crate::{
    check::{During as _, Outcome, check, eventually, fail},
    client::Client,
    functions,
    http::Request,
    raw::{Peer, Shape},
    world::{World, expect_status},
};

cases![
    a_lease_ends_with_its_last_connection_however_that_ends,
    who_calls_while_the_lease_lingers_shares_it_and_then_it_ends,
    a_stopped_agent_leaves_everything_locked,
];

/// A few tries, on a machine that may be busy.
const TRIES: usize = 5;

/// The shortest time from the end of a connection to that of its lease.
fn noticed(world: &World, end: impl Fn() -> Outcome<Instant>) -> Outcome<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..TRIES {
        let ended = end()?;
        eventually("the end to be noticed", || {
            Ok(world.agent.phase(functions::A)? != "unlocked")
        })?;
        best = best.min(ended.elapsed());
        world.lease_ends()?;
    }
    Ok(best)
}

fn a_lease_ends_with_its_last_connection_however_that_ends(world: &World) -> Outcome {
    world.with_setting("linger = 0\n", || {
        let request = Request::keyed(world.a()?);
        let bytes = request.bytes();
        let with_fin = noticed(world, || {
            let mut client = Client::open(world.route()?)?;
            client.write(&bytes)?;
            expect_status(200, &client.answer()?)?;
            check!(
                world.agent.phase(functions::A)? == "unlocked",
                "the lease has ended before"
            );
            drop(client);
            Ok(Instant::now())
        })?;
        let with_reset = noticed(world, || {
            let mut peer = Peer::open(&world.scene, Shape::default())?;
            peer.send(0, &bytes)?;
            expect_status(200, &peer.answer()?)?;
            check!(
                world.agent.phase(functions::A)? == "unlocked",
                "the lease has ended before"
            );
            peer.reset(bytes.len())?;
            Ok(Instant::now())
        })?;
        // A tenth of a second is what is wanted, of a host that has nothing else to do.
        println!("at the best, a FIN is noticed in {with_fin:?}, a RST in {with_reset:?}");
        Ok(())
    })
}

/// Calls once; the name of the container that has answered.
fn call(world: &World) -> Outcome<String> {
    Ok(world.holder()?.1)
}

const LINGER: Duration = Duration::from_secs(1);

fn who_calls_while_the_lease_lingers_shares_it_and_then_it_ends(world: &World) -> Outcome {
    world.with_setting("linger = 1\n", || {
        let mut shared = None;
        for _ in 0..TRIES {
            let first = call(world)?;
            let closed = Instant::now();
            std::thread::sleep(LINGER / 2);
            let second = call(world)?;
            let since = closed.elapsed();
            let ended = Instant::now();
            world.lease_ends()?;
            check!(
                ended.elapsed() >= LINGER / 2,
                "it ended after {:?}",
                ended.elapsed()
            );
            // On a machine that is slow it comes too late.
            if since < LINGER {
                shared = Some((first, second));
                break;
            }
        }
        let Some((first, second)) = shared else {
            return fail("no second call came in time");
        };
        check!(first == second, "{first} and {second} have answered");
        let third = call(world)?;
        check!(third != first, "{first} has never been taken away");
        Ok(())
    })
}

fn a_stopped_agent_leaves_everything_locked(world: &World) -> Outcome {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        is_locked_after(world, signal).during(format!("{signal}"))?;
    }
    Ok(())
}

fn is_locked_after(world: &World, signal: Signal) -> Outcome {
    let function = world.a()?;
    let mut holder = Client::open(world.route()?)?;
    holder.write(&Request::keyed(function).bytes())?;
    expect_status(200, &holder.answer()?)?;
    let sealed = std::fs::read(world.sealed(functions::A))?;
    let stopped = world.agent.stop_by(signal);
    let is_left = world.containers.any_runs();
    let answer = holder
        .write(&Request::to(function).bytes())
        .and_then(|()| holder.answer());
    let resealed = std::fs::read(world.sealed(functions::A))?;
    world.containers.clear()?;
    world.agent.start(&world.scene)?;
    stopped?;
    check!(!is_left?, "a container is left");
    expect_status(423, &answer?)?;
    check!(resealed != sealed, "the handler is not encrypted afresh");
    world.serves(world.route()?, &Request::keyed(function).body(b"again"))
}
