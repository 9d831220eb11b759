//! The whole recording, after all other tests.
use std::{collections::HashMap, net::SocketAddr};

use super::cases;
use crate::{
    check::{Outcome, check, fail},
    client::Client,
    functions,
    http::Request,
    scene::Route,
    world::{World, expect_status},
};

cases![no_part_of_a_key_ever_reached_a_gateway];

/// Bytes of a part that is looked for.
const PART: usize = 8;

/// A port of which the agent has not been told: there a key passes by right.
const NOT_SPOTTED: u16 = 18_082;

/// Which functions' keys are in what any gateway has read, each with somebody who has sent it. Sixteen bytes in a row, in
/// whichever letter case, are found: every eighth place of what was read is compared with every part of eight.
fn read_keys(world: &World) -> HashMap<&str, SocketAddr> {
    let mut parts = HashMap::new();
    for function in &world.functions {
        // Behind the prefix, which is no secret.
        let secret = &function.key.as_bytes()[b"rsfaas1".len()..];
        parts.extend(secret.windows(PART).map(|part| (part, function.name)));
    }
    let mut found = HashMap::new();
    for (peer, mut bytes) in world.recording.everything() {
        bytes.make_ascii_lowercase();
        let names = bytes.chunks_exact(PART).filter_map(|part| parts.get(part));
        found.extend(names.map(|name| (*name, peer)));
    }
    found
}

fn no_part_of_a_key_ever_reached_a_gateway(world: &World) -> Outcome {
    // What must be found.
    let _gateway = world.gateway_at(&world.scene.host, NOT_SPOTTED)?;
    let Route { from, mut to } = world.route()?;
    to.set_port(NOT_SPOTTED);
    let mut client = Client::open(Route { from, to })?;
    client.write(&Request::keyed(world.function(functions::EXPOSED)?).bytes())?;
    expect_status(423, &client.answer()?)?;
    let found = read_keys(world);
    check!(
        found.contains_key(functions::EXPOSED),
        "a key that was read is not found"
    );
    for name in [functions::A, functions::B] {
        if let Some(peer) = found.get(name) {
            return fail(format!("a part of {name}'s key in what {peer} sent"));
        }
    }
    Ok(())
}
