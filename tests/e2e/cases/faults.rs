//! Death at every point: whatever step a process is killed at, nothing is lost, and nothing is left.
use std::{fs, os::unix::process::ExitStatusExt as _, path::Path, process::Command};

use nix::sys::signal::Signal;
use rsfaas::fault::Point;
use rsfaas_tests::canary::{Part, places::Delivered};

use super::{
    NIGHT, by_image, containers_with_processes, expect, hold_pydict, keyed, next_key, seal_with,
    unlocked_functions,
};
use crate::{
    World, canary,
    host::{Error, check, eventually, run},
    http::{Answer, Request},
};

const FUNCTION: &str = "pydict";

/// Who is killed.
#[derive(Clone, Copy)]
enum Victim {
    Seal,
    Agent,
    /// The agent, while a caller's next key waits for the close.
    AgentWithNextKey,
    /// The agent, where the function is rebuilt by image.
    AgentByImage,
}

/// Who is killed where.
pub(crate) struct Fault {
    victim: Victim,
    point: Point,
}

/// Every fault: a point that several pass is one for each of them. Those that leave plaintext on disks for a while are
/// the last.
pub(crate) fn all() -> (Vec<Fault>, Vec<Fault>) {
    let at = |&point: &Point| {
        let fault = move |&victim: &Victim| Fault { victim, point };
        victims(point).iter().map(fault)
    };
    let all = Point::ALL.iter().flat_map(at);
    all.partition(|fault| !matches!(fault.victim, Victim::AgentByImage))
}

fn victims(point: Point) -> &'static [Victim] {
    match point {
        Point::SealPrepared
        | Point::SealNoted
        | Point::SealRemoving
        | Point::SealRemoved
        | Point::SealDeployed
        | Point::SealRegistered
        | Point::SealPurged
        | Point::SealFinished => &[Victim::Seal],
        Point::ReplaceCreated
        | Point::ReplaceWritten
        | Point::ReplaceSynced
        | Point::ReplaceRenamed
        | Point::ReplaceFinished => &[Victim::Seal, Victim::Agent, Victim::AgentWithNextKey],
        Point::ParkDeployed
        | Point::UnlockOpened
        | Point::UnlockTaken
        | Point::UnlockDelivered
        | Point::UnlockReleased => &[Victim::Agent],
        Point::UnlockBuilt | Point::UnlockPushed | Point::UnlockDeployed | Point::LockEnded => {
            &[Victim::AgentByImage]
        }
        Point::UnlockReady => &[Victim::Agent, Victim::AgentByImage],
        Point::LockWiped => &[
            Victim::Agent,
            Victim::AgentWithNextKey,
            Victim::AgentByImage,
        ],
        Point::LockReencrypted => &[Victim::Agent, Victim::AgentWithNextKey],
        // Which key is valid has been told by then.
        Point::LockRemoved | Point::LockParked => &[Victim::Agent],
    }
}

impl Fault {
    pub(crate) fn title(&self) -> String {
        let point = self.point.name();
        match self.victim {
            Victim::Seal => format!("seal is killed at {point}"),
            Victim::Agent => format!("the agent is killed at {point}"),
            Victim::AgentWithNextKey => format!(
                "the agent is killed at {point} while it has a next key, and exactly one of both is valid"
            ),
            Victim::AgentByImage => format!("the agent is killed at {point} of a rebuild by image"),
        }
    }

    /// Whether it is the agent that dies, which callers wait for.
    pub(crate) fn is_of_agent(&self) -> bool {
        !matches!(self.victim, Victim::Seal)
    }

    /// Has it happen so many times.
    pub(crate) fn strike(&self, world: &World, times: u32) -> Result<(), Error> {
        (0..times).try_for_each(|_| match self.victim {
            Victim::Seal => kill_seal(world, self.point),
            Victim::Agent => kill_agent(world, self.point),
            Victim::AgentWithNextKey => kill_agent_with_next_key(world, self.point),
            Victim::AgentByImage => kill_agent_by_image(world, self.point),
        })
    }
}

fn kill_agent(world: &World, point: Point) -> Result<(), Error> {
    dies_at(world, point, || keyed(world, FUNCTION, NIGHT))?;
    opens(world)?;
    world.agent.restart()?;
    serves(world)
}

fn kill_agent_with_next_key(world: &World, point: Point) -> Result<(), Error> {
    let (old, next) = (world.author.key(FUNCTION)?, next_key::keygen(world)?);
    let before = next_key::inspected_key_id(world)?;
    dies_at(world, point, || {
        next_key::call_with_next(world, &old, &next)
    })?;
    next_key::one_of_them_is_valid(world, &before, &old, &next)?;
    let has_changed = world.author.key(FUNCTION)? == next;
    check!(
        has_changed == is_reencrypted(point),
        "the next key is {}the one that opens it",
        if has_changed { "" } else { "not " }
    );
    is_swept(world)
}

/// What it leaves on disks goes when the agent starts again.
fn kill_agent_by_image(world: &World, point: Point) -> Result<(), Error> {
    if world.agent.function(FUNCTION)?["rebuild"] != "image" {
        seal_with(world, FUNCTION, "rebuild", "image")?;
    }
    let is_locked = || {
        world.agent.wait_until_ciphertext(FUNCTION)?;
        eventually("image and container to be gone", || {
            Ok(by_image::lease_images()?.is_empty()
                && unlocked_functions(world)?.is_empty()
                && containers_with_processes(world)?.is_empty())
        })?;
        world.author.check_sealed(FUNCTION)?;
        world.canary.is_gone(world)
    };
    dies_at(world, point, || keyed(world, FUNCTION, NIGHT))?;
    opens(world)?;
    world.agent.restart()?;
    is_locked()?;
    expect(&keyed(world, FUNCTION, NIGHT)?, 200, "noche")?;
    is_locked()?;
    opens(world)
}

/// Whether the handler is encrypted afresh by then.
fn is_reencrypted(point: Point) -> bool {
    matches!(
        point,
        Point::ReplaceRenamed | Point::ReplaceFinished | Point::LockReencrypted
    )
}

/// A call in whose course the agent is killed.
fn dies_at(
    world: &World,
    point: Point,
    call: impl FnOnce() -> Result<Answer, Error>,
) -> Result<(), Error> {
    world.agent.arm(point.name())?;
    // Answered by whoever is there: the function, or, once the agent is gone, the locked one.
    let answer = call()?;
    check!(
        [200, 423].contains(&answer.status),
        "the caller was told {}",
        answer.status
    );
    world.agent.wait_until_killed()
}

fn kill_seal(world: &World, point: Point) -> Result<(), Error> {
    let opened = world.author.open(&world.host, FUNCTION)?;
    let handler = opened.path().join("handler");
    let folder = world.author.path(FUNCTION);
    make_plain(world, &handler, &folder)?;
    let fault = tempfile::NamedTempFile::new()?;
    fs::write(fault.path(), point.name())?;
    let mut seal = world
        .author
        .seal_command(&world.host, &world.agent, FUNCTION);
    let killed = seal.env("RSFAAS_FAULT", fault.path()).output()?;
    check!(
        killed.status.signal() == Some(Signal::SIGKILL as i32),
        "seal ended with {}: {}",
        killed.status,
        String::from_utf8_lossy(&killed.stderr)
    );
    if world.author.sealed(FUNCTION).exists() {
        opens(world)?;
    } else {
        check!(
            fs::read(folder.join("handler.py"))? == fs::read(handler.join("handler.py"))?,
            "the handler is neither plain nor sealed any more"
        );
    }
    // Another plain copy, which is not sealed.
    drop(opened);
    world.author.seal(&world.host, &world.agent, FUNCTION)?;
    serves(world)
}

/// What shows that the search after each fault can fail.
pub(crate) fn the_canary_and_the_key_are_found_while_the_function_is_unlocked(
    world: &World,
) -> Result<(), Error> {
    let holder = hold_pydict(world)?;
    let report = world.canary.search(world)?;
    drop(holder);
    let agent = Part::Agent.to_string();
    for (place, secret) in [
        (Delivered::NAME, canary::SOURCE),
        (agent.as_str(), canary::KEY),
    ] {
        let found = report
            .hits()
            .any(|(at, hit)| at == place && hit.secret == secret);
        check!(found, "{place}: the {secret} was not found:\n{report}");
    }
    world.agent.wait_until_locked(FUNCTION)
}

/// What is sealed from then on has never been in an image: free blocks of the disk can be searched for it, too.
pub(crate) fn a_changed_handler_is_sealed_without_being_built(world: &World) -> Result<(), Error> {
    let opened = world.author.open(&world.host, FUNCTION)?;
    let handler = opened.path().join("handler");
    world.canary.plant_unbuilt(&handler.join("handler.py"))?;
    let before = base_image(world)?;
    make_plain(world, &handler, &world.author.path(FUNCTION))?;
    drop(opened);
    world.author.seal(&world.host, &world.agent, FUNCTION)?;
    let after = base_image(world)?;
    check!(before == after, "{before} was built again, as {after}");
    serves(world)
}

/// What its record says.
fn base_image(world: &World) -> Result<String, Error> {
    let record = world.agent.record(FUNCTION)?;
    let image = record["base_image"].as_str();
    let image = image.ok_or_else(|| Error(format!("no base image in {record}")))?;
    Ok(image.to_owned())
}

/// As before the function was sealed, but for the images.
fn make_plain(world: &World, handler: &Path, folder: &Path) -> Result<(), Error> {
    world.agent.forget(FUNCTION)?;
    run(Command::new("cp")
        .arg("-r")
        .arg(handler.join("."))
        .arg(folder))?;
    Ok(fs::remove_file(world.author.sealed(FUNCTION))?)
}

/// The sealed handler is there, whole, under its key.
fn opens(world: &World) -> Result<(), Error> {
    let opened = world.author.open(&world.host, FUNCTION)?;
    let handler = fs::read_to_string(opened.path().join("handler/handler.py"))?;
    check!(handler.contains("noche"), "not the handler:\n{handler}");
    Ok(())
}

/// Everything is locked, swept and served again.
fn serves(world: &World) -> Result<(), Error> {
    world.agent.wait_until_locked(FUNCTION)?;
    is_swept(world)?;
    expect(&keyed(world, FUNCTION, NIGHT)?, 200, "noche")?;
    world.agent.wait_until_locked(FUNCTION)?;
    opens(world)
}

/// Everything is locked, and nothing else is left.
fn is_swept(world: &World) -> Result<(), Error> {
    world.author.check_sealed(FUNCTION)?;
    expect(
        &Request::call(FUNCTION, NIGHT).send(&world.host)?,
        423,
        FUNCTION,
    )?;
    nothing_but_the_standby(world)?;
    world.canary.is_gone(world)
}

/// One container is parked; there is no other, neither by the gateway's word nor by the kernel's. One that a killed agent
/// had ordered may come, and goes, later.
fn nothing_but_the_standby(world: &World) -> Result<(), Error> {
    eventually("the standby to be all that there is", || {
        let function = world.agent.function(FUNCTION)?;
        let parked = function["parked"][0]["name"].as_str().unwrap_or_default();
        Ok(unlocked_functions(world)? == [parked])
    })?;
    let running = containers_with_processes(world)?.len();
    check!(running == 1, "processes are in {running} containers");
    Ok(())
}
