//! The whole recording, after all other tests.
use std::collections::HashSet;

use super::cases;
use crate::{
    check::{Outcome, check},
    functions,
    world::World,
};

cases![no_part_of_a_key_ever_reached_the_gateway];

/// Bytes of a part that is looked for.
const PART: usize = 8;

/// No sixteen bytes of a key in a row, in whichever letter case: every eighth place of what was read is
/// compared with every part of eight.
fn no_part_of_a_key_ever_reached_the_gateway(world: &World) -> Outcome {
    let mut parts: HashSet<Vec<u8>> = HashSet::new();
    for name in [functions::A, functions::B] {
        let key = world.function(name)?.key.as_bytes();
        // Behind the prefix, which is no secret.
        let secret = &key[b"rsfaas1".len()..];
        parts.extend(secret.windows(PART).map(<[u8]>::to_vec));
    }
    let mut total = 0;
    for (peer, mut bytes) in world.gateway.everything() {
        bytes.make_ascii_lowercase();
        total += bytes.len();
        check!(
            !bytes.chunks_exact(PART).any(|part| parts.contains(part)),
            "a part of a key in what {peer} sent"
        );
    }
    check!(total > 0, "nothing was recorded");
    Ok(())
}
