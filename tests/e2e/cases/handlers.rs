//! The handler itself does not start, crashes or never answers: its callers are told, and nothing of it is left.
use std::fs;

use rsfaas::seal::{FILE_NAME, folder::seal_built, key::Key};

use super::{
    NIGHT, expect,
    failures::{is_well, opens, request},
    hold_pydict, keyed, only_what_is_parked_runs,
};
use crate::{
    World,
    host::{Error, check},
};

const FUNCTION: &str = "pydict";

pub(super) fn a_handler_that_does_not_start_is_told_and_the_right_one_served_afterwards(
    world: &World,
) -> Result<(), Error> {
    with_handler(world, "raise RuntimeError('no')\n", || {
        expect(&keyed(world, FUNCTION, NIGHT)?, 503, "rebuild-failed")?;
        world.agent.wait_until_locked(FUNCTION)
    })?;
    expect(&keyed(world, FUNCTION, NIGHT)?, 200, "noche")?;
    world.agent.wait_until_locked(FUNCTION)
}

pub(super) fn a_function_that_crashes_is_delivered_again_while_its_lease_is_open(
    world: &World,
) -> Result<(), Error> {
    let handler = "import os\n\ndef handle(req):\n    if 'crash' in str(req):\n        os._exit(1)\n    \
                   return {'translation': 'noche'}\n";
    with_handler(world, handler, || {
        let unlocks = world.agent.unlocks(FUNCTION)?;
        let mut holder = hold_pydict(world)?;
        let crashed = keyed(world, FUNCTION, "crash")?;
        check!(crashed.status >= 500, "it answered {}", crashed.status);
        expect(&keyed(world, FUNCTION, NIGHT)?, 200, "noche")?;
        holder.write(&request(world)?.bytes())?;
        expect(&holder.answer()?, 200, "noche")?;
        check!(
            world.agent.unlocks(FUNCTION)? > unlocks + 1,
            "it was not delivered again"
        );
        drop(holder);
        world.agent.wait_until_locked(FUNCTION)
    })
}

pub(super) fn a_function_that_never_answers_is_locked_at_the_lease_limit_and_its_caller_told(
    world: &World,
) -> Result<(), Error> {
    world.agent.restart_with("lease_limit = 2")?;
    world.agent.wait_until_parked()?;
    let handler = "import time\n\ndef handle(req):\n    while True:\n        time.sleep(60)\n";
    with_handler(world, handler, || {
        let before = fs::read(world.author.sealed(FUNCTION))?;
        // By the gateway, whose call of the function has broken off.
        if let Some(answer) = request(world)?.try_send(&world.host)? {
            check!(answer.status >= 500, "it was told {}", answer.head);
        }
        world.agent.wait_until_locked(FUNCTION)?;
        check!(
            world
                .agent
                .log_text()
                .contains("the lease has reached its limit"),
            "the lease ended for another reason"
        );
        check!(
            fs::read(world.author.sealed(FUNCTION))? != before,
            "it was not encrypted afresh"
        );
        opens(world)?;
        only_what_is_parked_runs(world)
    })?;
    world.agent.stop()?;
    is_well(world)
}

/// Tries something while the function has another handler with its canary, sealed under its key.
fn with_handler(
    world: &World,
    handler: &str,
    tried: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    let right = fs::read(world.author.sealed(FUNCTION))?;
    let opened = world.author.open(&world.host, FUNCTION)?;
    let folder = opened.path().join("handler");
    let handler = world.canary.in_handler(handler);
    fs::write(folder.join("handler.py"), handler)?;
    let key = Key::parse(world.author.key(FUNCTION)?.as_bytes())?;
    seal_built(&folder, FUNCTION, &key, 1, None, &|_| false)?;
    fs::write(
        world.author.sealed(FUNCTION),
        fs::read(folder.join(FILE_NAME))?,
    )?;
    let result = tried();
    fs::write(world.author.sealed(FUNCTION), right)?;
    result
}
