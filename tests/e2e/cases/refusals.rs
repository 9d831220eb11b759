//! Requests that no unlocked container may answer.
use std::thread;

use super::{NIGHT, expect, hold_pydict, keyed};
use crate::{
    World,
    host::{Error, check, fail, joined, run},
    http::Request,
};

pub(super) fn a_wrong_key_is_refused_and_nothing_is_built(world: &World) -> Result<(), Error> {
    let unlocks = world.agent.unlocks("pydict")?;
    let refused = world.agent.counter("refused_key_wrong")?;
    let wrong = run(world.host.rsfaas().arg("keygen"))?;
    let answer = Request::call("pydict", NIGHT)
        .key(wrong.trim())
        .send(&world.host)?;
    expect(&answer, 403, "key-wrong")?;
    check!(
        world.agent.unlocks("pydict")? == unlocks,
        "a wrong key unlocked"
    );
    check!(
        world.agent.counter("refused_key_wrong")? == refused + 1,
        "it was not counted"
    );
    Ok(())
}

pub(super) fn a_malformed_key_is_told_from_a_wrong_one(world: &World) -> Result<(), Error> {
    let answer = Request::call("pydict", NIGHT)
        .key("rsfaas1notakey")
        .send(&world.host)?;
    expect(&answer, 401, "key-malformed")
}

pub(super) fn each_key_opens_only_its_own_function(world: &World) -> Result<(), Error> {
    let (pydict, echo) = thread::scope(|scope| {
        let pydict = scope.spawn(|| keyed(world, "pydict", NIGHT));
        let echo = scope.spawn(|| keyed(world, "echo-headers", "hello"));
        (pydict.join(), echo.join())
    });
    expect(&joined(pydict)?, 200, "noche")?;
    expect(&joined(echo)?, 200, "Host")?;
    let key = world.author.key("echo-headers")?;
    let crossed = Request::call("pydict", NIGHT).key(&key).send(&world.host)?;
    expect(&crossed, 403, "key-wrong")?;
    world.agent.wait_until_locked("pydict")?;
    world.agent.wait_until_locked("echo-headers")
}

pub(super) fn an_unlocked_container_cannot_be_called_by_its_name(
    world: &World,
) -> Result<(), Error> {
    let holder = hold_pydict(world)?;
    let function = world.agent.function("pydict")?;
    let Some(name) = function["unlocked"].as_str() else {
        return fail("the name of the unlocked container is not told");
    };
    let answer = Request::call(name, NIGHT).send(&world.host)?;
    check!(answer.status != 200, "it answered: {}", answer.body);
    check!(
        !answer.body.contains("noche"),
        "the secret result reached a keyless caller"
    );
    drop(holder);
    world.agent.wait_until_locked("pydict")
}

pub(super) fn an_asynchronous_call_with_a_key_is_refused(world: &World) -> Result<(), Error> {
    let key = world.author.key("pydict")?;
    let answer = Request::to("/async-function/pydict", NIGHT)
        .key(&key)
        .send(&world.host)?;
    expect(&answer, 501, "async-unsupported")
}
