//! The whole recording, after all other tests.
use std::{collections::HashSet, net::SocketAddr};

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

/// Whether sixteen bytes of a key in a row, in whichever letter case, are in what any gateway has read: every eighth
/// place of that is compared with every part of eight.
fn was_read(world: &World, function: &str) -> Outcome<Option<SocketAddr>> {
    let key = world.function(function)?.key.as_bytes();
    // Behind the prefix, which is no secret.
    let secret = &key[b"rsfaas1".len()..];
    let parts: HashSet<Vec<u8>> = secret.windows(PART).map(<[u8]>::to_vec).collect();
    let found = world.recording.everything().into_iter().find(|(_, bytes)| {
        let bytes = bytes.to_ascii_lowercase();
        bytes.chunks_exact(PART).any(|part| parts.contains(part))
    });
    Ok(found.map(|(peer, _)| peer))
}

fn no_part_of_a_key_ever_reached_a_gateway(world: &World) -> Outcome {
    for name in [functions::A, functions::B] {
        if let Some(peer) = was_read(world, name)? {
            return fail(format!("a part of {name}'s key in what {peer} sent"));
        }
    }
    // What would have been found.
    let _gateway = world.gateway_at(&world.scene.host, NOT_SPOTTED)?;
    let Route { from, mut to } = world.route()?;
    to.set_port(NOT_SPOTTED);
    let mut client = Client::open(Route { from, to })?;
    client.write(&Request::keyed(world.function(functions::EXPOSED)?).bytes())?;
    expect_status(423, &client.answer()?)?;
    let peer = was_read(world, functions::EXPOSED)?;
    check!(peer.is_some(), "a key that was read is not found");
    Ok(())
}
