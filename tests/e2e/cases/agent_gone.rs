//! The agent stops, or is killed.
use std::{fs, process::Command, thread, time::Instant};

use rsfaas_tests::unit;

use super::{
    NIGHT, containers_with_processes, expect, hold_pydict, is_locked_until_an_agent_starts, keyed,
    only_what_is_parked_runs, unlocked_functions,
};
use crate::{
    World,
    host::{Error, check, eventually, joined, run},
};

pub(super) fn a_stopped_agent_leaves_nothing_unlocked(world: &World) -> Result<(), Error> {
    let before = fs::read(world.author.sealed("pydict"))?;
    let _holder = hold_pydict(world)?;
    world.agent.stop()?;
    check!(
        before != fs::read(world.author.sealed("pydict"))?,
        "it was not encrypted afresh"
    );
    check!(
        unlocked_functions(world)?.is_empty(),
        "containers are left behind"
    );
    is_locked_until_an_agent_starts(world)
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

pub(super) fn what_the_unit_runs_after_an_agent_that_died_unlocked_leaves_no_container_and_no_process(
    world: &World,
) -> Result<(), Error> {
    let holder = hold_pydict(world)?;
    let unlocked = world.agent.function("pydict")?["unlocked"].clone();
    // A deployment that the gateway has taken goes on without the agent, and would come after the sweep.
    world.agent.wait_until_next_is_parked("pydict")?;
    world.agent.kill()?;
    let start = Instant::now();
    check!(
        !containers_with_processes(world)?.is_empty(),
        "nothing was left running"
    );
    let mut sweep = stop_post(world)?;
    let (told, processes) = thread::scope(|scope| {
        let told = scope.spawn(|| run(&mut sweep));
        let ended = eventually("the processes to end", || {
            Ok(containers_with_processes(world)?.is_empty())
        });
        let processes = start.elapsed();
        let told = joined(told.join());
        ended.and(told.map(|told| (told, processes)))
    })?;
    check!(
        containers_with_processes(world)?.is_empty() && unlocked_functions(world)?.is_empty(),
        "left: processes in {:?}, containers {:?}",
        containers_with_processes(world)?,
        unlocked_functions(world)?
    );
    let containers = start.elapsed();
    // Two seconds is what is wanted, of a host that has nothing else to do.
    println!(
        "after a kill the processes are gone in {processes:?}, the containers in {containers:?}"
    );
    check!(
        told.contains(unlocked.as_str().unwrap_or("no container")),
        "{unlocked} is not among what it says: {told}"
    );
    check!(
        run(&mut stop_post(world)?)?.contains("nothing"),
        "it found something more"
    );
    drop(holder);
    is_locked_until_an_agent_starts(world)
}

pub(super) fn the_rights_that_the_unit_gives_are_enough_to_unlock_serve_and_lock(
    world: &World,
) -> Result<(), Error> {
    world.agent.stop()?;
    world.agent.restart_by(&unit::setpriv()?)?;
    world.agent.wait_until_parked()?;
    let before = fs::read(world.author.sealed("pydict"))?;
    expect(&keyed(world, "pydict", NIGHT)?, 200, "noche")?;
    world.agent.wait_until_locked("pydict")?;
    check!(
        before != fs::read(world.author.sealed("pydict"))?,
        "it was not encrypted afresh"
    );
    let error = world.agent.function("pydict")?["last_error"].clone();
    check!(error.is_null(), "{error}");
    only_what_is_parked_runs(world)?;
    world.agent.stop()?;
    world.agent.restart()?;
    world.agent.wait_until_parked()
}

pub(super) fn where_an_agent_runs_a_sweep_is_refused(world: &World) -> Result<(), Error> {
    let refused = stop_post(world)?.output()?;
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    check!(
        !refused.status.success() && told.contains("an agent runs"),
        "it ended with {}: {told}",
        refused.status
    );
    expect(&keyed(world, "pydict", NIGHT)?, 200, "noche")?;
    world.agent.wait_until_locked("pydict")
}

/// The unit's `ExecStopPost=`, of the program and the configuration under test.
fn stop_post(world: &World) -> Result<Command, Error> {
    let line = unit::set("ExecStopPost")?;
    let mut command = world.host.rsfaas();
    for word in line.split_whitespace().skip(1) {
        match word {
            "/etc/rsfaas/agent.toml" => command.arg(world.agent.config()),
            word => command.arg(word),
        };
    }
    Ok(command)
}
