//! What the author does: sealing, looking, unsealing.
use std::fs;

use super::{NIGHT, expect, hold_pydict, keyed, unlocked_functions};
use crate::{
    World,
    host::{Error, check, eventually, run},
    http::Request,
    images,
};

/// In the handler of `pydict`.
const CANARY: &str = "A dictionary: a word in, its translation out.";

pub(super) fn no_plaintext_is_in_any_layer_or_file_of_the_parked_container(
    world: &World,
) -> Result<(), Error> {
    images::check_without(&world.agent, "pydict", CANARY)
}

pub(super) fn sealing_again_changes_nothing(world: &World) -> Result<(), Error> {
    let before = fs::read(world.author.sealed("pydict"))?;
    let output = world
        .author
        .seal_command(&world.host, &world.agent, "pydict")
        .output()?;
    check!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    check!(said.contains("already sealed"), "it says: {said}");
    check!(
        before == fs::read(world.author.sealed("pydict"))?,
        "the sealed handler has changed"
    );
    Ok(())
}

pub(super) fn sealing_again_brings_a_locked_function_back_that_was_removed(
    world: &World,
) -> Result<(), Error> {
    world.author.remove(&world.host, "pydict")?;
    let answer = || Request::call("pydict", NIGHT).send(&world.host);
    eventually("the gateway to have let go of it", || {
        Ok(answer()?.status == 404)
    })?;
    world.author.seal(&world.host, &world.agent, "pydict")?;
    eventually("the locked function to answer", || {
        Ok(answer()?.status == 423)
    })
}

pub(super) fn an_interrupted_seal_can_be_finished(world: &World) -> Result<(), Error> {
    // Interrupted after the ciphertext was complete, and before the last plaintext was removed.
    let folder = world.author.path("pydict");
    let opened = tempfile::tempdir()?;
    run(world
        .host
        .rsfaas()
        .arg("open")
        .arg(world.author.sealed("pydict"))
        .arg("--key-file")
        .arg(world.author.key_file("pydict"))
        .arg("-o")
        .arg(opened.path().join("handler")))?;
    let handler = opened.path().join("handler/handler.py");
    fs::copy(&handler, folder.join("handler.py"))?;
    let mut command = world
        .author
        .seal_command(&world.host, &world.agent, "pydict");
    let sealing = world.author.sealing();
    run(&mut command)?;
    drop(sealing);
    check!(
        !folder.join("handler.py").exists(),
        "the plaintext is still there"
    );
    expect(&keyed(world, "pydict", NIGHT)?, 200, "noche")?;
    world.agent.wait_until_locked("pydict")
}

pub(super) fn the_sealed_handler_can_be_inspected_without_and_opened_with_the_key(
    world: &World,
) -> Result<(), Error> {
    let sealed = world.author.sealed("pydict");
    let text = run(world
        .host
        .rsfaas()
        .arg("inspect")
        .arg(&sealed)
        .arg("--json"))?;
    let header: serde_json::Value = serde_json::from_str(&text)?;
    check!(header["function"] == "pydict", "inspect says {header}");
    let folder = tempfile::tempdir()?;
    let target = folder.path().join("handler");
    let mut open = world.host.rsfaas();
    open.arg("open")
        .arg(&sealed)
        .arg("--key-file")
        .arg(world.author.key_file("pydict"));
    run(open.arg("-o").arg(&target))?;
    check!(
        fs::read_to_string(target.join("handler.py"))?.contains("noche"),
        "not the handler"
    );
    let other = world.author.key_file("packages");
    let refused = world
        .host
        .rsfaas()
        .arg("open")
        .arg(&sealed)
        .arg("--key-file")
        .arg(other)
        .arg("-o")
        .arg(folder.path().join("wrong"))
        .output()?;
    check!(!refused.status.success(), "a wrong key opened it");
    check!(
        !folder.path().join("wrong").exists(),
        "a failed open left something behind"
    );
    Ok(())
}

pub(super) fn unsealing_gives_the_plain_function_back(world: &World) -> Result<(), Error> {
    world.author.unseal(&world.host, &world.agent, "pydict")?;
    check!(
        !world.author.sealed("pydict").exists(),
        "the sealed handler is still there"
    );
    check!(
        world.author.path("pydict").join("handler.py").exists(),
        "the handler is not there"
    );
    eventually("the plain function to answer", || {
        let answer = Request::call("pydict", NIGHT).send(&world.host)?;
        Ok(answer.status == 200 && answer.body.contains("noche"))
    })?;
    world.author.seal(&world.host, &world.agent, "pydict")?;
    world.agent.wait_until_locked("pydict")?;
    expect(&keyed(world, "pydict", NIGHT)?, 200, "noche")?;
    world.agent.wait_until_locked("pydict")
}

pub(super) fn a_function_that_is_forgotten_while_it_is_served_is_locked_and_on_no_list_any_more(
    world: &World,
) -> Result<(), Error> {
    let (record, beside) = (
        world.agent.record_file("pydict"),
        world.author.path("pydict.record"),
    );
    let before = fs::read(world.author.sealed("pydict"))?;
    fs::copy(&record, &beside)?;
    let holder = hold_pydict(world)?;
    let let_go = world
        .agent
        .forget("pydict")
        .and_then(|()| is_let_go(world, &before));
    drop(holder);
    // Known again, without being sealed again.
    fs::rename(beside, record)?;
    eventually("the agent to know it again", || {
        Ok(world.agent.function("pydict").is_ok())
    })?;
    world.agent.wait_until_locked("pydict")?;
    let_go?;
    expect(&keyed(world, "pydict", NIGHT)?, 200, "noche")?;
    world.agent.wait_until_locked("pydict")
}

/// The agent does not know `pydict`, of which there is the locked function and what the key opens.
fn is_let_go(world: &World, sealed: &[u8]) -> Result<(), Error> {
    check!(
        world.agent.function("pydict").is_err(),
        "the agent has it on its list"
    );
    let left = unlocked_functions(world)?;
    check!(
        !left.iter().any(|name| name.starts_with("pydict-")),
        "containers are left: {left:?}"
    );
    check!(
        fs::read(world.author.sealed("pydict"))? != sealed,
        "it was not encrypted afresh"
    );
    world.author.open(&world.host, "pydict")?;
    let keyless = Request::call("pydict", NIGHT).send(&world.host)?;
    expect(&keyless, 423, "pydict")
}
