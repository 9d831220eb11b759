//! Others on the same hook, before and after the agent's program, still have their turn.
use super::cases;
use crate::{
    bpf::{PacketCounter, Place},
    check::{Outcome, check},
    client::Client,
    http::Request,
    scene::HOST_LINK,
    world::World,
};

cases![programs_before_and_after_on_the_hook_run];

fn programs_before_and_after_on_the_hook_run(world: &World) -> Outcome {
    let host = &world.scene.host;
    let first = PacketCounter::attach(host, HOST_LINK, Place::First)?;
    let last = PacketCounter::attach(host, HOST_LINK, Place::Last)?;
    for request in [Request::to(world.a()?), Request::keyed(world.a()?)] {
        let before = (first.packets()?, last.packets()?);
        let mut client = Client::open(world.route()?)?;
        client.write(&request.bytes())?;
        client.answer()?;
        let after = (first.packets()?, last.packets()?);
        // SYN, ACK and the request, at least; what was held comes by the first one twice.
        check!(
            after.0 - before.0 >= 3,
            "the first saw {before:?}, {after:?}"
        );
        check!(
            after.1 - before.1 >= 3,
            "the last saw {before:?}, {after:?}"
        );
    }
    Ok(())
}
