//! What the service manager lets the agent do.
use std::fs;

use rsfaas_tests::unit;

use super::cases;
use crate::{
    check::{Outcome, check},
    functions,
    http::Request,
    world::World,
};

cases![the_rights_that_the_unit_gives_are_enough_to_unlock_serve_and_lock];

fn the_rights_that_the_unit_gives_are_enough_to_unlock_serve_and_lock(world: &World) -> Outcome {
    let setpriv = unit::setpriv()?;
    world.agent.stop()?;
    world.agent.start_by(&world.scene, &setpriv)?;
    let worked = works(world);
    world.agent.stop()?;
    world.agent.start(&world.scene)?;
    worked
}

fn works(world: &World) -> Outcome {
    let status = world.agent.status()?;
    let process = fs::read_to_string(format!("/proc/{}/status", status["pid"]))?;
    let effective = process
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .unwrap_or_default();
    let count = u64::from_str_radix(effective.trim(), 16)?.count_ones();
    // Whoever runs the tests may lack some of them.
    check!(
        usize::try_from(count)? <= unit::capabilities()?.len(),
        "it has {count} capabilities: {effective}"
    );
    let sealed = fs::read(world.sealed(functions::A))?;
    world.serves(world.route()?, &Request::keyed(world.a()?).body(b"rights"))?;
    world.agent.lock_all()?;
    check!(
        fs::read(world.sealed(functions::A))? != sealed,
        "the handler is not encrypted afresh"
    );
    let error = world.agent.function(functions::A)?["last_error"].clone();
    check!(error.is_null(), "{error}");
    Ok(())
}
