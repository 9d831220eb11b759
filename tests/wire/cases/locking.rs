//! `rsfaas lock`.
use std::fs;

use super::cases;
use crate::{
    check::{Outcome, check},
    functions,
    http::Request,
    world::World,
};

/// `rsfaas lock` where not everything could be cleaned up.
const NOT_LOCKED: i32 = 14;

cases![a_lock_that_cannot_encrypt_the_handler_afresh_fails_and_says_so];

fn a_lock_that_cannot_encrypt_the_handler_afresh_fails_and_says_so(world: &World) -> Outcome {
    let request = Request::keyed(world.a()?).body(b"lock");
    world.serves(world.route()?, &request)?;
    let (sealed, away) = (
        world.sealed(functions::A),
        world.sealed(functions::A).with_extension("away"),
    );
    fs::rename(&sealed, &away)?;
    let locked = world.agent.lock(functions::A);
    fs::rename(&away, &sealed)?;
    let locked = locked?;
    let told = String::from_utf8_lossy(&locked.stderr).into_owned();
    check!(
        locked.status.code() == Some(NOT_LOCKED) && told.contains(functions::A),
        "{}: {told}",
        locked.status
    );
    world.serves(world.route()?, &request)?;
    let locked = world.agent.lock(functions::A)?;
    check!(locked.status.success(), "{locked:?}");
    Ok(())
}
