//! Containers that are parked ahead of time.
use super::cases;
use crate::{
    check::{Outcome, check, eventually},
    functions,
    world::World,
};

const STANDBY: usize = 4;

cases![containers_for_the_standby_are_deployed_one_after_the_other];

/// Two at once would both come as late as the second.
fn containers_for_the_standby_are_deployed_one_after_the_other(world: &World) -> Outcome {
    // What is being parked since the last test's call is not of this one.
    world.agent.lock_all()?;
    let before = world.containers.deployments(functions::A)?.len();
    world.with_setting(&format!("standby = {STANDBY}\n"), || {
        eventually("the whole standby to be parked", || {
            let parked = &world.agent.function(functions::A)?["parked"];
            Ok(parked.as_array().map(Vec::len) == Some(STANDBY))
        })?;
        let deployments = world
            .containers
            .deployments(functions::A)?
            .split_off(before);
        let in_turn = [true, false].repeat(STANDBY);
        check!(deployments == in_turn, "begun, or not: {deployments:?}");
        Ok(())
    })
}
