//! A part of OpenFaaS is killed and started again while a handler is unlocked, while it serves and while it is locked
//! again: callers are told, nothing is lost or left, and they are served once the part is back.
use std::{path::Path, process::Command, thread};

use rsfaas_shim::Refusal;

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
    /// What callers may be told by the gateway itself while it is gone; the gateway's own are told by their connection's
    /// end.
    told: &'static [u16],
}

/// The gateway's words for a provider that is gone, or has lost its engine; a request that was on its way to that ends in
/// another way.
const NO_PROVIDER: &[u16] = &[404, 500, 502];

/// What the agent has callers told by the locked function.
const REFUSALS: [Refusal; 2] = [Refusal::RebuildFailed, Refusal::RebuildTimeout];

/// Every part that has to do with a call.
pub(crate) const ALL: [Part; 5] = [
    Part {
        name: "gateway",
        what: "the gateway",
        told: &[],
    },
    Part {
        name: "provider",
        what: "the provider",
        told: NO_PROVIDER,
    },
    Part {
        name: "registry",
        what: "the registry",
        told: &[],
    },
    Part {
        name: "dockerd",
        what: "Docker Engine",
        told: NO_PROVIDER,
    },
    Part {
        name: "containerd",
        what: "containerd",
        told: &[],
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
            dies(self, world, faas_cli, &|| {
                run(Command::new(xtask).args(["testbed", "crash", self.name])).map(drop)
            })?;
            // With or without the part, which its container may need to be removed.
            world.agent.wait_until_no_lease(FUNCTION)?;
            world.author.open(&world.host, FUNCTION)?;
            world.author.check_sealed(FUNCTION)?;
            self.is_well_again(world, xtask)?;
        }
        Ok(())
    }

    /// A caller with the key gets the function's answer, or is told what this part's death has callers told; says whether
    /// it is the first of these.
    fn is_told(&self, world: &World) -> Result<bool, Error> {
        let key = world.author.key(FUNCTION)?;
        let answer = Request::call(FUNCTION, NIGHT)
            .key(&key)
            .try_send(&world.host)?;
        let Some(answer) = answer else {
            check!(self.name == "gateway", "the connection was closed");
            return Ok(false);
        };
        if answer.status == 200 {
            return expect(&answer, 200, "noche").map(|()| true);
        }
        let refused = REFUSALS.iter().any(|refusal| {
            answer.status == refusal.status() && answer.body.contains(refusal.reason())
        });
        check!(
            refused || self.told.contains(&answer.status),
            "it was told:\n{}{}",
            answer.head,
            answer.body
        );
        Ok(false)
    }

    /// Once the part is back, callers with the key are served and others told as ever, and nothing is left.
    fn is_well_again(&self, world: &World, xtask: &Path) -> Result<(), Error> {
        run(Command::new(xtask).args(["testbed", "up"]))?;
        eventually("callers with the key to be served again", || {
            self.is_told(world)
        })?;
        world.agent.wait_until_locked(FUNCTION)?;
        eventually("callers without the key to be told again", || {
            Ok(Request::call(FUNCTION, NIGHT).send(&world.host)?.status == 423)
        })?;
        only_what_is_parked_runs(world)?;
        world.canary.is_gone(world)
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
fn during_an_unlock(
    part: &Part,
    world: &World,
    faas_cli: &FaasCli,
    kill: Kill<'_>,
) -> Result<(), Error> {
    faas_cli.set("wait")?;
    drop(hold_pydict(world)?);
    world.agent.wait_until_no_lease(FUNCTION)?;
    let caller = thread::scope(|scope| {
        let caller = scope.spawn(|| part.is_told(world));
        world.agent.wait_until_phase(FUNCTION, "unlocking")?;
        faas_cli.set("work")?;
        kill()?;
        joined(caller.join())
    });
    caller.map(drop)
}

fn while_unlocked(part: &Part, world: &World, _: &FaasCli, kill: Kill<'_>) -> Result<(), Error> {
    let holder = hold_pydict(world)?;
    kill()?;
    part.is_told(world)?;
    drop(holder);
    Ok(())
}

/// The container's removal, the one step of a lock that takes time, is under way when the part dies.
fn during_a_lock(_: &Part, world: &World, faas_cli: &FaasCli, kill: Kill<'_>) -> Result<(), Error> {
    faas_cli.set("wait")?;
    drop(hold_pydict(world)?);
    world.agent.wait_until_phase(FUNCTION, "locking")?;
    faas_cli.set("work")?;
    kill()
}
