//! The agent halts, dies and comes back while requests are held: clients get an answer all the same.
use nix::sys::signal::Signal;
use rsfaas_shim::Refusal;

use super::cases;
use crate::{
    check::{Outcome, check, eventually, fail},
    client::Client,
    functions,
    http::Request,
    raw::{Peer, Shape},
    world::{World, expect_refused, expect_status, is_rewritten, is_untouched},
};

/// The exit code for what the kernel lacks (docs/exit-codes.md).
const KERNEL: i32 = 12;
/// Bytes of a head that are no whole line.
const HALF: usize = 10;

cases![
    a_halted_agent_delays_the_answer_only,
    a_killed_agents_callers_get_the_locked_answer,
    a_killed_agents_successor_serves_what_was_held,
    a_connection_outlives_the_agent_that_served_it,
    a_keyed_request_behind_a_body_that_began_before_the_agent_did_is_served,
    a_stopping_agents_callers_get_an_answer,
    a_stopping_agent_ends_the_connection_of_half_a_head,
    a_killed_agents_successor_ends_the_connection_of_half_a_head,
    the_sweep_after_a_killed_agent_ends_the_connection_of_half_a_head,
    the_sweep_after_a_killed_agent_removes_its_interfaces,
    a_connection_of_whose_head_the_rest_has_come_outlives_the_agent,
    an_agent_whose_interfaces_another_program_removes_ends_and_says_so,
    an_agent_whose_terminal_is_gone_stops_as_if_told_to,
    a_stopping_agent_tells_so_whoever_asks_it_for_something,
];

fn a_halted_agent_delays_the_answer_only(world: &World) -> Outcome {
    let request = Request::keyed(world.a()?).body(b"patience");
    let mut client = Client::open(world.route()?)?;
    eventually("the gateway to accept the connection", || {
        // An earlier one from the same port has asked for something.
        let seen = world.gateway.seen(client.address()?);
        Ok(seen.is_ok_and(|seen| seen.is_empty()))
    })?;
    world.agent.signal(Signal::SIGSTOP)?;
    let written = client.write(&request.bytes());
    let seen = world.gateway.seen(client.address()?);
    world.agent.signal(Signal::SIGCONT)?;
    written?;
    check!(seen?.is_empty(), "the request went on without the agent");
    expect_status(200, &client.answer()?)?;
    is_rewritten(
        world.a()?,
        &request,
        &world.gateway.only(client.address()?)?,
    )
}

/// Runs something while the agent is halted, then ends it without a chance to clean up.
fn killed_after(world: &World, work: impl FnOnce() -> Outcome) -> Outcome {
    world.agent.signal(Signal::SIGSTOP)?;
    let done = work();
    world.agent.kill()?;
    done
}

fn restart(world: &World) -> Outcome {
    world.containers.clear()?;
    world.agent.start(&world.scene)
}

/// The client's own retransmission, which nobody holds any more, brings the key to the gateway: the one
/// case in which that happens.
fn a_killed_agents_callers_get_the_locked_answer(world: &World) -> Outcome {
    let request = Request::keyed(world.function(functions::EXPOSED)?);
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(Client::open(world.route()?)?);
    }
    killed_after(world, || {
        clients
            .iter_mut()
            .try_for_each(|client| client.write(&request.bytes()))
    })?;
    let answered = clients
        .iter_mut()
        .try_for_each(|client| expect_status(423, &client.answer()?));
    restart(world)?;
    answered
}

fn a_killed_agents_successor_serves_what_was_held(world: &World) -> Outcome {
    let request = Request::keyed(world.a()?).body(b"again");
    let bytes = request.bytes();
    let mut peer = Peer::open(&world.scene, Shape::default())?;
    killed_after(world, || peer.send(0, &bytes))?;
    restart(world)?;
    peer.send(0, &bytes)?;
    expect_status(200, &peer.answer()?)?;
    peer.reset(bytes.len())?;
    is_rewritten(world.a()?, &request, &world.gateway.only(peer.address())?)
}

fn a_connection_outlives_the_agent_that_served_it(world: &World) -> Outcome {
    let request = Request::keyed(world.a()?);
    let mut client = Client::open(world.route()?)?;
    for _ in 0..2 {
        client.write(&request.bytes())?;
        expect_status(200, &client.answer()?)?;
        world.agent.kill()?;
        restart(world)?;
    }
    client.write(&request.bytes())?;
    expect_status(200, &client.answer()?)?;
    world
        .gateway
        .seen(client.address()?)?
        .iter()
        .try_for_each(|seen| is_rewritten(world.a()?, &request, seen))
}

fn a_keyed_request_behind_a_body_that_began_before_the_agent_did_is_served(
    world: &World,
) -> Outcome {
    let first = Request::line("POST /function/other HTTP/1.1")
        .header("Host: gateway")
        .body(b"[1, 2, 3, 4]");
    let second = Request::keyed(world.a()?).body(b"word");
    let bytes = [first.bytes(), second.bytes()].concat();
    let (begun, rest) = bytes.split_at(first.bytes().len() - 6);
    let mut client = Client::open(world.route()?)?;
    client.write(begun)?;
    world.agent.kill()?;
    restart(world)?;
    client.write(rest)?;
    expect_status(404, &client.answer()?)?;
    expect_status(200, &client.answer()?)?;
    let seen = world.gateway.seen(client.address()?)?;
    is_untouched(&first, &seen[0])?;
    is_rewritten(world.a()?, &second, &seen[1])
}

fn a_stopping_agents_callers_get_an_answer(world: &World) -> Outcome {
    let function = world.function(functions::EXPOSED)?;
    let request = Request::keyed(function);
    let mut client = Client::open(world.route()?)?;
    world.agent.signal(Signal::SIGSTOP)?;
    client.write(&request.bytes())?;
    world.agent.signal(Signal::SIGTERM)?;
    world.agent.signal(Signal::SIGCONT)?;
    let answer = client.answer();
    world.agent.stop()?;
    world.agent.start(&world.scene)?;
    let (status, seen) = (answer?.status, world.gateway.only(client.address()?)?);
    match status {
        // It was served, or its container went before the gateway came to it.
        200 | 502 => is_rewritten(function, &request, &seen),
        // Refused by the agent, or sent again when that was gone.
        423 => {
            is_untouched(&request, &seen).or_else(|_| expect_refused(Refusal::RebuildFailed, &seen))
        }
        other => fail(format!("the answer is {other}")),
    }
}

/// A client of whose head a part has come, and that was told so: it does not send it again.
fn told_of_half_a_head(world: &World) -> Outcome<Client> {
    let bytes = Request::keyed(world.a()?).bytes();
    let mut client = Client::open(world.route()?)?;
    // Not even a line, of which nothing can be judged.
    let write = || client.write(&bytes[..HALF]);
    world.agent.until_counted("heads_acknowledged", write)?;
    Ok(client)
}

fn a_stopping_agent_ends_the_connection_of_half_a_head(world: &World) -> Outcome {
    let mut client = told_of_half_a_head(world)?;
    world.agent.stop()?;
    let ended = client.is_broken_off();
    world.agent.start(&world.scene)?;
    check!(ended?, "the connection goes on");
    Ok(())
}

fn a_killed_agents_successor_ends_the_connection_of_half_a_head(world: &World) -> Outcome {
    let mut client = told_of_half_a_head(world)?;
    world.agent.kill()?;
    restart(world)?;
    check!(client.is_broken_off()?, "the connection goes on");
    Ok(())
}

fn the_sweep_after_a_killed_agent_ends_the_connection_of_half_a_head(world: &World) -> Outcome {
    let mut client = told_of_half_a_head(world)?;
    world.agent.kill()?;
    let said = world.agent.sweep(&world.scene);
    let ended = client.is_broken_off();
    restart(world)?;
    let said = said?;
    check!(ended?, "the connection goes on; the sweep says {said}");
    Ok(())
}

fn the_sweep_after_a_killed_agent_removes_its_interfaces(world: &World) -> Outcome {
    let left = || world.scene.host.ip("-brief link show type veth");
    world.agent.kill()?;
    let (before, swept) = (left(), world.agent.sweep(&world.scene));
    let after = left();
    restart(world)?;
    swept?;
    let (before, after) = (before?, after?);
    check!(before.contains("rsfaas0"), "none was left: {before}");
    check!(!after.contains("rsfaas"), "left: {after}");
    Ok(())
}

fn a_connection_of_whose_head_the_rest_has_come_outlives_the_agent(world: &World) -> Outcome {
    let mut client = told_of_half_a_head(world)?;
    let bytes = Request::keyed(world.a()?).bytes();
    client.write(&bytes[HALF..])?;
    expect_status(200, &client.answer()?)?;
    world.agent.kill()?;
    restart(world)?;
    client.write(&bytes)?;
    expect_status(200, &client.answer()?)
}

/// Without them it could release nothing of what it holds.
fn an_agent_whose_interfaces_another_program_removes_ends_and_says_so(world: &World) -> Outcome {
    world.scene.host.ip("link del rsfaas0")?;
    let ended = world.agent.reap();
    let log = world.agent.log_end();
    restart(world)?;
    check!(ended?.code() == Some(KERNEL), "it ended otherwise: {log}");
    check!(log.contains("rsfaas0"), "it does not say why: {log}");
    Ok(())
}

fn an_agent_whose_terminal_is_gone_stops_as_if_told_to(world: &World) -> Outcome {
    world.serves(world.route()?, &Request::keyed(world.a()?).body(b"hang up"))?;
    let stopped = world.agent.stop_by(Signal::SIGHUP);
    let is_left = world.containers.any_runs();
    world.containers.clear()?;
    world.agent.start(&world.scene)?;
    stopped?;
    check!(!is_left?, "a container is left");
    Ok(())
}

fn a_stopping_agent_tells_so_whoever_asks_it_for_something(world: &World) -> Outcome {
    let asked = world.containers.while_removals_hang(|| {
        world.agent.signal(Signal::SIGTERM)?;
        eventually("the agent to be stopping", || {
            Ok(world
                .agent
                .log_end()
                .ends_with("parked containers are removed"))
        })?;
        let asked = world.agent.lock(functions::A)?;
        check!(world.agent.runs()?, "it has stopped already");
        Ok(asked)
    });
    world.agent.stop()?;
    world.agent.start(&world.scene)?;
    let told = String::from_utf8_lossy(&asked?.stderr).into_owned();
    check!(told.contains("is stopping"), "{told}");
    Ok(())
}
