//! A part of OpenFaaS is killed and started again while a handler is unlocked, while it serves and while it is locked
//! again: callers are told, nothing is lost or left, and they are served once the part is back.
use std::{path::Path, process::Command, thread};

use super::{NIGHT, expect, hold_pydict, only_what_is_parked_runs};
use crate::{
    World,
    faas_cli::FaasCli,
    host::{Error, check, eventually, fail, joined, run},
    http::Request,
};

const FUNCTION: &str = "pydict";

/// A part of the testbed, which alone may be killed.
pub(crate) struct Part {
    /// As `cargo xtask testbed crash` has it.
    name: &'static str,
    what: &'static str,
}

/// Every part that has to do with a call.
pub(crate) const ALL: [Part; 5] = [
    Part {
        name: "gateway",
        what: "the gateway",
    },
    Part {
        name: "provider",
        what: "the provider",
    },
    Part {
        name: "registry",
        what: "the registry",
    },
    Part {
        name: "dockerd",
        what: "Docker Engine",
    },
    Part {
        name: "containerd",
        what: "containerd",
    },
];

impl Part {
    pub(crate) fn title(&self) -> String {
        format!(
            "{} is killed during an unlock, while a function is unlocked and during a lock, and callers are told \
             and served again",
            self.what
        )
    }

    pub(crate) fn case(&self, world: &World) -> Result<(), Error> {
        let Some(xtask) = &world.host.xtask else {
            return fail("this OpenFaaS is not ours to be killed");
        };
        let faas_cli = faas_cli(world)?;
        // Whatever the case before has come to.
        faas_cli.set("work")?;
        for dies in [during_an_unlock, while_unlocked, during_a_lock] {
            world.agent.wait_until_parked()?;
            dies(world, faas_cli, &|| {
                run(Command::new(xtask).args(["testbed", "crash", self.name])).map(drop)
            })?;
            // With or without the part, which its container may need to be removed.
            world.agent.wait_until_no_lease(FUNCTION)?;
            world.author.open(&world.host, FUNCTION)?;
            world.author.check_sealed(FUNCTION)?;
            is_well_again(world, xtask)?;
        }
        Ok(())
    }
}

/// One that does as it is told, which the agent has from the first of these cases on: they are the last.
fn faas_cli(world: &World) -> Result<&FaasCli, Error> {
    if let Some(faas_cli) = world.faas_cli.get() {
        return Ok(faas_cli);
    }
    let faas_cli = FaasCli::new(world.agent.folder())?;
    world.agent.restart_with(&faas_cli.setting())?;
    Ok(world.faas_cli.get_or_init(|| faas_cli))
}

type Kill<'a> = &'a dyn Fn() -> Result<(), Error>;

/// No container is parked, so the unlock deploys one, and is at that when the part dies.
fn during_an_unlock(world: &World, faas_cli: &FaasCli, kill: Kill<'_>) -> Result<(), Error> {
    faas_cli.set("wait")?;
    drop(hold_pydict(world)?);
    world.agent.wait_until_no_lease(FUNCTION)?;
    let caller = thread::scope(|scope| {
        let caller = scope.spawn(|| is_told(world));
        world.agent.wait_until_phase(FUNCTION, "unlocking")?;
        faas_cli.set("work")?;
        kill()?;
        joined(caller.join())
    });
    caller.map(drop)
}

fn while_unlocked(world: &World, _: &FaasCli, kill: Kill<'_>) -> Result<(), Error> {
    let holder = hold_pydict(world)?;
    kill()?;
    is_told(world)?;
    drop(holder);
    Ok(())
}

/// The container's removal, the one step of a lock that takes time, is under way when the part dies.
fn during_a_lock(world: &World, faas_cli: &FaasCli, kill: Kill<'_>) -> Result<(), Error> {
    faas_cli.set("wait")?;
    drop(hold_pydict(world)?);
    world.agent.wait_until_phase(FUNCTION, "locking")?;
    faas_cli.set("work")?;
    kill()
}

/// A caller with the key gets the function's answer, an error, or a connection that is closed; says whether it is
/// the first of these.
fn is_told(world: &World) -> Result<bool, Error> {
    let key = world.author.key(FUNCTION)?;
    let answer = Request::call(FUNCTION, NIGHT)
        .key(&key)
        .try_send(&world.host)?;
    match answer {
        Some(answer) if answer.status == 200 => expect(&answer, 200, "noche").map(|()| true),
        Some(answer) => {
            check!(answer.status >= 400, "it was told {}", answer.head);
            Ok(false)
        }
        None => Ok(false),
    }
}

/// Once the part is back, callers with the key are served and others told as ever, and nothing is left.
fn is_well_again(world: &World, xtask: &Path) -> Result<(), Error> {
    run(Command::new(xtask).args(["testbed", "up"]))?;
    eventually("callers with the key to be served again", || is_told(world))?;
    world.agent.wait_until_locked(FUNCTION)?;
    eventually("callers without the key to be told again", || {
        Ok(Request::call(FUNCTION, NIGHT).send(&world.host)?.status == 423)
    })?;
    only_what_is_parked_runs(world)?;
    world.canary.is_gone(world)
}
