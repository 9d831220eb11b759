//! The agent stops, or is killed.
use std::fs;

use super::{NIGHT, expect, keyed, unlocked_functions};
use crate::{
    World,
    host::{Error, check},
    http::{Connection, Request},
};

pub(super) fn a_stopped_agent_leaves_nothing_unlocked(world: &World) -> Result<(), Error> {
    let before = fs::read(world.author.sealed("pydict"))?;
    let mut holder = Connection::open(&world.host)?;
    holder.write(
        &Request::call("pydict", NIGHT)
            .key(&world.author.key("pydict")?)
            .bytes(),
    )?;
    expect(&holder.answer()?, 200, "noche")?;
    world.agent.stop()?;
    check!(
        before != fs::read(world.author.sealed("pydict"))?,
        "it was not encrypted afresh"
    );
    check!(
        unlocked_functions(world)?.is_empty(),
        "containers are left behind"
    );
    expect(
        &Request::call("pydict", NIGHT).send(&world.host)?,
        423,
        "pydict",
    )?;
    world.agent.restart()?;
    world.agent.wait_until_parked()?;
    expect(&keyed(world, "pydict", NIGHT)?, 200, "noche")?;
    world.agent.wait_until_locked("pydict")
}

pub(super) fn a_killed_agent_leaves_a_locked_function_and_its_successor_sweeps(
    world: &World,
) -> Result<(), Error> {
    world.agent.kill()?;
    let answer = keyed(world, "pydict", NIGHT)?;
    expect(&answer, 423, "pydict")?;
    check!(
        !unlocked_functions(world)?.is_empty(),
        "nothing was left to be swept"
    );
    world.agent.restart()?;
    world.agent.wait_until_parked()?;
    expect(&keyed(world, "pydict", NIGHT)?, 200, "noche")?;
    world.agent.wait_until_locked("pydict")
}
