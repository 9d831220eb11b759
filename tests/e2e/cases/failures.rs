//! What the agent needs fails, hangs or is gone: callers are told, nothing is lost or left, and it goes on once
//! that is there again.
use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use rsfaas_shim::Refusal;

use super::{NIGHT, containers_with_processes, expect, hold_pydict, is_refused, keyed};
use crate::{
    World,
    faas_cli::FaasCli,
    gateway::{FakeGateway, Mood},
    host::{Error, check, eventually, run},
    http::{Connection, Request},
    netns::ClientHost,
};

const FUNCTION: &str = "pydict";

/// What a busy machine may take for something that is due.
const SLACK: Duration = Duration::from_secs(30);

pub(super) fn without_faas_cli_callers_are_told_and_with_it_they_are_served_again(
    world: &World,
) -> Result<(), Error> {
    world
        .agent
        .restart_with("faas_cli = \"/nonexistent/faas-cli\"")?;
    is_refused(
        &keyed(world, FUNCTION, NIGHT)?,
        FUNCTION,
        Refusal::RebuildFailed,
    )?;
    world.agent.wait_until_ciphertext(FUNCTION)?;
    check!(
        last_error(world)?.contains("install faas-cli"),
        "status says {:?}",
        last_error(world)?
    );
    world.agent.stop()?;
    is_well(world)
}

pub(super) fn a_faas_cli_that_fails_at_an_unlock_has_its_caller_told_who_is_served_once_it_works(
    world: &World,
) -> Result<(), Error> {
    let faas_cli = FaasCli::new(world.agent.folder())?;
    // With nothing parked an unlock needs it.
    let setting = format!("{}\nstandby = 0", faas_cli.setting());
    world.agent.restart_with(&setting)?;
    world.agent.wait_until_ciphertext(FUNCTION)?;
    faas_cli.set("fail")?;
    let mut caller = Connection::open(&world.host)?;
    caller.write(&request(world)?.bytes())?;
    is_refused(&caller.answer()?, FUNCTION, Refusal::RebuildFailed)?;
    opens(world)?;
    check!(
        last_error(world)?.contains("broken"),
        "status says {:?}",
        last_error(world)?
    );
    faas_cli.set("work")?;
    caller.write(&request(world)?.bytes())?;
    expect(&caller.answer()?, 200, "noche")?;
    drop(caller);
    world.agent.wait_until_ciphertext(FUNCTION)?;
    world.agent.stop()?;
    is_well(world)
}

pub(super) fn a_faas_cli_that_fails_while_it_locks_leaves_ciphertext_and_no_process(
    world: &World,
) -> Result<(), Error> {
    let faas_cli = FaasCli::new(world.agent.folder())?;
    world.agent.restart_with(&faas_cli.setting())?;
    world.agent.wait_until_parked()?;
    let containers = containers_with_processes(world)?.len();
    let mut holder = hold_pydict(world)?;
    faas_cli.set("fail")?;
    // A second call, of the container that is there.
    expect(&keyed(world, FUNCTION, NIGHT)?, 200, "noche")?;
    holder.write(&request(world)?.bytes())?;
    expect(&holder.answer()?, 200, "noche")?;
    drop(holder);
    world.agent.wait_until_ciphertext(FUNCTION)?;
    opens(world)?;
    eventually("the removal to have failed", || {
        Ok(last_error(world)?.contains("broken"))
    })?;
    let left = containers_with_processes(world)?.len();
    check!(
        left <= containers,
        "processes are in {left} containers, of {containers}"
    );
    faas_cli.set("work")?;
    expect(&keyed(world, FUNCTION, NIGHT)?, 200, "noche")?;
    world.agent.wait_until_ciphertext(FUNCTION)?;
    world.agent.stop()?;
    is_well(world)
}

pub(super) fn a_faas_cli_that_hangs_has_callers_told_in_time(world: &World) -> Result<(), Error> {
    let faas_cli = FaasCli::new(world.agent.folder())?;
    let setting = format!("{}\nunlock_timeout = 10", faas_cli.setting());
    world.agent.restart_with(&setting)?;
    world.agent.wait_until_parked()?;
    faas_cli.set("hang")?;
    // The one that is parked serves; the next cannot be deployed, while the first one's removal hangs.
    encrypts_afresh(world, || {
        expect(&keyed(world, FUNCTION, NIGHT)?, 200, "noche")
    })?;
    is_refused(
        &keyed(world, FUNCTION, NIGHT)?,
        FUNCTION,
        Refusal::RebuildTimeout,
    )?;
    opens(world)?;
    world.agent.kill()?;
    is_well(world)
}

pub(super) fn a_gateway_that_fails_hangs_or_is_gone_has_callers_told_and_is_used_again(
    world: &World,
) -> Result<(), Error> {
    let gateway = FakeGateway::before(world.host.port)?;
    let login = login()?;
    world.agent.restart_with(&format!(
        "gateway = {:?}\ncredentials = {:?}\nunlock_timeout = 10",
        gateway.url(),
        login.path()
    ))?;
    for (mood, status) in [
        (Mood::Failing, 503),
        (Mood::Gone, 503),
        (Mood::Hanging, 504),
    ] {
        world.agent.wait_until_parked()?;
        let holder = hold_pydict(world)?;
        gateway.set(mood);
        encrypts_afresh(world, || {
            drop(holder);
            Ok(())
        })?;
        let answer = keyed(world, FUNCTION, NIGHT)?;
        // What was parked when it began may serve still.
        let answer = match answer.status {
            200 => keyed(world, FUNCTION, NIGHT)?,
            _ => answer,
        };
        expect(&answer, status, "rebuild")?;
        opens(world)?;
        gateway.set(Mood::Good);
        if status == 503 {
            expect(&keyed(world, FUNCTION, NIGHT)?, 200, "noche")?;
        }
    }
    world.agent.kill()?;
    is_well(world)
}

pub(super) fn a_client_that_vanishes_without_a_word_holds_its_lease_until_the_idle_limit(
    world: &World,
) -> Result<(), Error> {
    let idle_limit = Duration::from_secs(1);
    let setting = format!("idle_limit = {}", idle_limit.as_secs());
    world.agent.restart_with(&setting)?;
    world.agent.wait_until_parked()?;
    let client = ClientHost::new()?;
    let mut connection = client.connect(world.host.port)?;
    connection.write(&request(world)?.bytes())?;
    expect(&connection.answer()?, 200, "noche")?;
    // With its link: no packet of its gets through any more.
    drop(client);
    let vanished = Instant::now();
    world.agent.wait_until_no_lease(FUNCTION)?;
    let held = vanished.elapsed();
    check!(
        held < idle_limit + SLACK,
        "it held the lease for {held:?} more"
    );
    world.agent.wait_until_locked(FUNCTION)?;
    check!(
        world.agent.counter("leases_idle")? > 0,
        "the lease ended for another reason"
    );
    drop(connection);
    world.agent.stop()?;
    is_well(world)
}

pub(super) fn on_a_full_disk_the_old_ciphertext_stays_and_opens(
    world: &World,
) -> Result<(), Error> {
    let sealed = fs::read(world.author.sealed(FUNCTION))?;
    let disk = SmallDisk::over(&world.author.path(FUNCTION))?;
    fs::write(world.author.sealed(FUNCTION), &sealed)?;
    let filler = disk.fill()?;
    expect(&keyed(world, FUNCTION, NIGHT)?, 200, "noche")?;
    world.agent.wait_until_locked(FUNCTION)?;
    check!(
        last_error(world)?.contains("No space left"),
        "status says {:?}",
        last_error(world)?
    );
    check!(
        fs::read(world.author.sealed(FUNCTION))? == sealed,
        "it is not the old ciphertext"
    );
    opens(world)?;
    fs::remove_file(filler)?;
    world.author.check_sealed(FUNCTION)?;
    expect(&keyed(world, FUNCTION, NIGHT)?, 200, "noche")?;
    world.agent.wait_until_locked(FUNCTION)?;
    check!(
        fs::read(world.author.sealed(FUNCTION))? != sealed,
        "with room it was not encrypted afresh"
    );
    Ok(())
}

/// A disk that is full soon.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn over(folder: &Path) -> Result<Self, Error> {
        let mut mount = Command::new("mount");
        run(mount
            .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
            .arg(folder))?;
        Ok(Self(folder.to_owned()))
    }

    fn fill(&self) -> Result<PathBuf, Error> {
        let path = self.0.join("filler");
        let mut file = fs::File::create(&path)?;
        // Until there is no room for another byte.
        while file.write(&[0; 512]).is_ok() {}
        Ok(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Nobody is left to tell; the test's folder is a temporary one.
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// The gateway's login, in a file of its own.
fn login() -> Result<tempfile::NamedTempFile, Error> {
    let folder = std::env::var("OPENFAAS_CONFIG").or_else(|_| {
        std::env::var("HOME")
            .map(|home| home + "/.openfaas")
            .map_err(|error| Error(error.to_string()))
    })?;
    let config = fs::read_to_string(Path::new(&folder).join("config.yml"))?;
    let token = config
        .lines()
        .find_map(|line| line.trim().strip_prefix("token: "))
        .ok_or_else(|| Error("faas-cli has no login".into()))?;
    let encoded = tempfile::NamedTempFile::new()?;
    fs::write(encoded.path(), token)?;
    let login = tempfile::NamedTempFile::new()?;
    let text = run(Command::new("base64").arg("-d").arg(encoded.path()))?;
    fs::write(login.path(), text)?;
    Ok(login)
}

pub(super) fn request(world: &World) -> Result<Request, Error> {
    Ok(Request::call(FUNCTION, NIGHT).key(&world.author.key(FUNCTION)?))
}

fn last_error(world: &World) -> Result<String, Error> {
    let function = world.agent.function(FUNCTION)?;
    Ok(function["last_error"].as_str().unwrap_or_default().into())
}

/// Does something after which the handler is encrypted afresh, and waits until it is.
fn encrypts_afresh(world: &World, done: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    let before = fs::read(world.author.sealed(FUNCTION))?;
    done()?;
    eventually("the handler to be encrypted afresh", || {
        Ok(fs::read(world.author.sealed(FUNCTION))? != before)
    })
}

pub(super) fn opens(world: &World) -> Result<(), Error> {
    world.author.open(&world.host, FUNCTION).map(drop)
}

/// An agent that is started as ever serves, and nothing is left of before.
pub(super) fn is_well(world: &World) -> Result<(), Error> {
    world.agent.restart()?;
    world.agent.wait_until_parked()?;
    world.author.check_sealed(FUNCTION)?;
    expect(&keyed(world, FUNCTION, NIGHT)?, 200, "noche")?;
    world.agent.wait_until_locked(FUNCTION)
}
