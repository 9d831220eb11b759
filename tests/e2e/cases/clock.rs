//! The host's clock is set while the agent runs.
use std::{
    ffi::OsString,
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{NIGHT, expect, hold_pydict, is_locked_until_an_agent_starts};
use crate::{
    World,
    host::{Error, check, run},
    http::Request,
};

/// A day, in seconds: longer than any lease or time-out.
const DAY: i64 = 86_400;
/// What a run may take between two looks at the clock, in seconds.
const RUN: i64 = 3600;

pub(super) fn a_clock_that_is_set_ends_no_lease_and_what_is_sealed_then_opens(
    world: &World,
) -> Result<(), Error> {
    let clock = Clock::new()?;
    world.agent.stop()?;
    world.agent.restart_in(&clock.environment())?;
    world.agent.wait_until_parked()?;
    for days in [1, -2, 0] {
        let unlocks = world.agent.unlocks("pydict")?;
        let mut holder = hold_pydict(world)?;
        clock.set(days)?;
        let request = Request::call("pydict", NIGHT).key(&world.author.key("pydict")?);
        holder.write(&request.bytes())?;
        expect(&holder.answer()?, 200, "noche")?;
        check!(
            world.agent.unlocks("pydict")? == unlocks + 1,
            "the lease has not lasted"
        );
        drop(holder);
        world.agent.wait_until_locked("pydict")?;
        let ahead = sealed_at(world)? - now()?;
        check!(
            (ahead - days * DAY).abs() < RUN,
            "sealed {ahead} seconds ahead, not {days} days: the agent's clock was not set"
        );
        world.author.open(&world.host, "pydict")?;
    }
    world.agent.stop()?;
    is_locked_until_an_agent_starts(world)
}

/// A clock that one process has for itself, beside the host's (libfaketime). Time that passes is measured by the
/// kernel's monotonic clock, which nobody can set.
struct Clock {
    file: tempfile::NamedTempFile,
}

impl Clock {
    fn new() -> Result<Self, Error> {
        let clock = Self {
            file: tempfile::NamedTempFile::new()?,
        };
        clock.set(0)?;
        Ok(clock)
    }

    fn environment(&self) -> [(&'static str, OsString); 4] {
        [
            // The dynamic linker knows where libraries are on this architecture.
            ("LD_PRELOAD", "/usr/$LIB/faketime/libfaketimeMT.so.1".into()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.path().into()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ]
    }

    /// Sets it so many days off the host's.
    fn set(&self, days: i64) -> Result<(), Error> {
        Ok(fs::write(self.file.path(), format!("{days:+}d\n"))?)
    }
}

/// The host's clock, in seconds since 1970.
fn now() -> Result<i64, Error> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since
        .map(|since| since.as_secs().cast_signed())
        .map_err(|error| Error(error.to_string()))
}

/// When the sealed handler says that it was encrypted, in the same.
fn sealed_at(world: &World) -> Result<i64, Error> {
    let facts = run(world
        .host
        .rsfaas()
        .args(["inspect", "--json"])
        .arg(world.author.sealed("pydict")))?;
    let facts: serde_json::Value = serde_json::from_str(&facts)?;
    facts["sealed_at_unix"]
        .as_i64()
        .ok_or_else(|| Error(format!("no time in {facts}")))
}
