//! Others on the same hook, before and after the agent's program, still have their turn.
use super::cases;
use crate::{
    bpf::{PacketCounter, Place},
    check::{During as _, Outcome, check},
    client::Client,
    http::Request,
    scene::HOST_LINK,
    world::{World, expect_status},
};

cases![
    programs_before_and_after_on_the_hook_run,
    a_program_that_was_there_before_the_agent_runs,
    a_program_at_xdp_that_was_there_before_the_agent_keeps_its_place,
];

/// A request without the key and one with it, each over a connection of its own, come by these programs.
fn come_by(world: &World, programs: &[(&str, &PacketCounter)]) -> Outcome {
    let function = world.a()?;
    for (request, status) in [
        (Request::to(function), 423),
        (Request::keyed(function), 200),
    ] {
        let before = counted(programs)?;
        let mut client = Client::open(world.route()?)?;
        client.write(&request.bytes())?;
        expect_status(status, &client.answer()?)?;
        let after = counted(programs)?;
        for ((name, _), (before, after)) in programs.iter().zip(before.iter().zip(&after)) {
            // SYN, ACK and the request, at least.
            check!(after - before >= 3, "the {name} saw {before}, {after}");
        }
    }
    Ok(())
}

fn counted(programs: &[(&str, &PacketCounter)]) -> Outcome<Vec<u64>> {
    programs
        .iter()
        .map(|(_, program)| program.packets())
        .collect()
}

fn programs_before_and_after_on_the_hook_run(world: &World) -> Outcome {
    let host = &world.scene.host;
    let first = PacketCounter::attach(host, HOST_LINK, Place::First)?;
    let last = PacketCounter::attach(host, HOST_LINK, Place::Last)?;
    come_by(world, &[("first", &first), ("last", &last)])
}

/// Runs something under an agent that starts when this program is there already.
fn with_earlier(
    world: &World,
    place: Place,
    work: impl FnOnce(&PacketCounter) -> Outcome,
) -> Outcome {
    world.agent.stop()?;
    let earlier = PacketCounter::attach(&world.scene.host, HOST_LINK, place);
    world.agent.start(&world.scene)?;
    let done = earlier.and_then(|earlier| work(&earlier));
    // At XDP the agent finds the hook free again.
    world.agent.stop()?;
    world.agent.start(&world.scene)?;
    done
}

fn a_program_that_was_there_before_the_agent_runs(world: &World) -> Outcome {
    for place in [Place::First, Place::Last] {
        with_earlier(world, place, |earlier| {
            come_by(world, &[("earlier one", earlier)])
        })
        .during(format!("{place:?}"))?;
    }
    Ok(())
}

/// There is one place only; the agent takes TC then.
fn a_program_at_xdp_that_was_there_before_the_agent_keeps_its_place(world: &World) -> Outcome {
    with_earlier(world, Place::Xdp, |earlier| {
        let hook = world.agent.hook(HOST_LINK)?;
        check!(hook == "tc", "at {hook}");
        come_by(world, &[("earlier one", earlier)])
    })
}
