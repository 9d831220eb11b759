//! One-time keys: a caller sends along the key that opens the function from the end of the lease on.
use super::{NIGHT, expect, hold};
use crate::{
    World,
    host::{Error, check, run},
    http::{Answer, Request},
};

const HEADER: &str = "X-RsFaaS-Next-Key";

pub(super) fn the_next_key_opens_after_the_lease_and_the_old_one_nothing_any_more(
    world: &World,
) -> Result<(), Error> {
    let (old, next) = (world.author.key("pydict")?, keygen(world)?);
    let before = key_id(world)?;
    let holder = hold(world, &pydict(&old).header(HEADER, &next), "noche")?;
    let lease = world.agent.function("pydict")?["leases"][0].clone();
    let Some(after) = lease["next_key_id"].as_str() else {
        return crate::host::fail(format!("no next key in the lease's status: {lease}"));
    };
    check!(key_id(world)? == before, "the key has changed too early");
    for key in [&old, &next] {
        expect(&call(world, key)?, 200, "noche")?;
    }
    drop(holder);
    world.agent.wait_until_locked("pydict")?;
    check!(
        key_id(world)? == after && inspected_key_id(world)? == after,
        "{after} was announced, status says {} and inspect {}",
        key_id(world)?,
        inspected_key_id(world)?
    );
    check!(
        world.agent.log_text().contains(after),
        "the log does not say which key is valid"
    );
    expect(&call(world, &old)?, 403, "key-wrong")?;
    expect(&call(world, &next)?, 200, "noche")?;
    world.agent.wait_until_locked("pydict")?;
    world.author.replace_key("pydict", &next)
}

pub(super) fn neither_function_nor_gateway_sees_the_next_key(world: &World) -> Result<(), Error> {
    let key = world.author.key("echo-headers")?;
    // The key that it has: nothing changes.
    let request = Request::call("echo-headers", "hello").header(HEADER, &key);
    let held = world.agent.counter("held_keyed")?;
    expect(&request.send(&world.host)?, 423, "echo-headers")?;
    check!(
        world.agent.counter("held_keyed")? == held + 1,
        "a next key alone passed the agent"
    );
    let answer = Request::call("echo-headers", "hello")
        .header(&HEADER.to_ascii_uppercase(), &key)
        .header("X-Before", "kept")
        .key(&key)
        .send(&world.host)?;
    expect(&answer, 200, "X-Before")?;
    let lower = answer.body.to_ascii_lowercase();
    check!(
        !lower.contains("rsfaas1") && !lower.contains("next-key"),
        "the function saw the next key: {}",
        answer.body
    );
    world.agent.wait_until_locked("echo-headers")?;
    check!(
        call_echo(world, &key)?.status == 200,
        "the key has changed, although the next one was the same"
    );
    world.agent.wait_until_locked("echo-headers")
}

pub(super) fn a_malformed_next_key_is_refused_before_anything_is_unlocked(
    world: &World,
) -> Result<(), Error> {
    let unlocks = world.agent.unlocks("pydict")?;
    let key = world.author.key("pydict")?;
    for next in ["", "rsfaas1notakey"] {
        let answer = pydict(&key).header(HEADER, next).send(&world.host)?;
        expect(&answer, 401, "next-key-malformed")?;
    }
    check!(
        world.agent.unlocks("pydict")? == unlocks,
        "a malformed next key unlocked"
    );
    Ok(())
}

pub(super) fn of_two_next_keys_in_a_lease_the_first_has_its_way(
    world: &World,
) -> Result<(), Error> {
    let (old, next) = (world.author.key("pydict")?, keygen(world)?);
    let holder = hold(world, &pydict(&old).header(HEADER, &next), "noche")?;
    for other in [keygen(world)?, old.clone()] {
        let answer = pydict(&old).header(HEADER, &other).send(&world.host)?;
        expect(&answer, 409, "next-key-conflict")?;
    }
    let same = pydict(&old).header(HEADER, &next).send(&world.host)?;
    expect(&same, 200, "noche")?;
    drop(holder);
    world.agent.wait_until_locked("pydict")?;
    expect(&call(world, &next)?, 200, "noche")?;
    world.agent.wait_until_locked("pydict")?;
    world.author.replace_key("pydict", &next)
}

pub(super) fn each_call_may_have_a_key_of_its_own(world: &World) -> Result<(), Error> {
    let mut keys = vec![world.author.key("pydict")?];
    // One after the other at once, whether the lease before is over by then or not.
    for _ in 0..3 {
        let next = keygen(world)?;
        let key = &keys[keys.len() - 1];
        let answer = pydict(key).header(HEADER, &next).send(&world.host)?;
        expect(&answer, 200, "noche")?;
        keys.push(next);
    }
    world.agent.wait_until_locked("pydict")?;
    let last = keys.pop().unwrap_or_default();
    for key in &keys {
        expect(&call(world, key)?, 403, "key-wrong")?;
    }
    expect(&call(world, &last)?, 200, "noche")?;
    world.agent.wait_until_locked("pydict")?;
    world.author.replace_key("pydict", &last)
}

pub(super) fn an_agent_killed_before_the_close_leaves_the_old_key_valid(
    world: &World,
) -> Result<(), Error> {
    let (old, next) = (world.author.key("pydict")?, keygen(world)?);
    let before = inspected_key_id(world)?;
    let holder = hold(world, &pydict(&old).header(HEADER, &next), "noche")?;
    world.agent.kill()?;
    drop(holder);
    check!(
        inspected_key_id(world)? == before,
        "the key has changed without a close"
    );
    world.agent.restart()?;
    world.agent.wait_until_parked()?;
    expect(&call(world, &next)?, 403, "key-wrong")?;
    expect(&call(world, &old)?, 200, "noche")?;
    world.agent.wait_until_locked("pydict")
}

/// A call that brings a next key along, whatever it is answered.
pub(super) fn call_with_next(world: &World, old: &str, next: &str) -> Result<Answer, Error> {
    pydict(old).header(HEADER, next).send(&world.host)
}

/// An agent that was killed while it had a next key leaves one of both valid, and `inspect` says which: one that is
/// started knows that one alone. It is the author's from then on.
pub(super) fn one_of_them_is_valid(
    world: &World,
    id_before: &str,
    old: &str,
    next: &str,
) -> Result<(), Error> {
    let (valid, other) = if inspected_key_id(world)? == id_before {
        (old, next)
    } else {
        (next, old)
    };
    world.agent.restart()?;
    world.agent.wait_until_parked()?;
    expect(&call(world, other)?, 403, "key-wrong")?;
    expect(&call(world, valid)?, 200, "noche")?;
    world.agent.wait_until_locked("pydict")?;
    world.author.replace_key("pydict", valid)
}

pub(super) fn keygen(world: &World) -> Result<String, Error> {
    let text = run(world.host.rsfaas().arg("keygen"))?;
    Ok(text.trim().to_owned())
}

fn pydict(key: &str) -> Request {
    Request::call("pydict", NIGHT).key(key)
}

fn call(world: &World, key: &str) -> Result<Answer, Error> {
    pydict(key).send(&world.host)
}

fn call_echo(world: &World, key: &str) -> Result<Answer, Error> {
    Request::call("echo-headers", "hello")
        .key(key)
        .send(&world.host)
}

/// The key's ID, as `rsfaas status` tells it.
fn key_id(world: &World) -> Result<String, Error> {
    let function = world.agent.function("pydict")?;
    Ok(function["key_id"].as_str().unwrap_or_default().to_owned())
}

/// The same as `rsfaas inspect` tells it, which needs no agent.
pub(super) fn inspected_key_id(world: &World) -> Result<String, Error> {
    let mut inspect = world.host.rsfaas();
    inspect.arg("inspect").arg(world.author.sealed("pydict"));
    let header: serde_json::Value = serde_json::from_str(&run(inspect.arg("--json"))?)?;
    Ok(header["key_id"].as_str().unwrap_or_default().to_owned())
}
