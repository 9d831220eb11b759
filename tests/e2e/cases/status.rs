//! What `rsfaas status` shows.
use std::{fs, path::PathBuf};

use super::hold_pydict;
use crate::{
    World,
    host::{Error, check},
};

pub(super) fn what_the_agent_does_is_shown_as_text_and_as_json(world: &World) -> Result<(), Error> {
    let (text, json) = (
        world.agent.shown_status(&[])?,
        world.agent.shown_status(&["--json"])?,
    );
    let status: serde_json::Value = serde_json::from_str(&json)?;
    let pid = world.agent.pid()?;
    check!(
        status["pid"] == pid && text.contains(&format!("process {pid},")),
        "it is process {pid}, and status says:\n{text}{json}"
    );
    check!(
        text.contains("pydict") && json.contains("pydict"),
        "pydict is missing in:\n{text}{json}"
    );
    Ok(())
}

pub(super) fn a_lease_is_shown_with_what_will_end_it_and_a_parked_container_with_its_memory(
    world: &World,
) -> Result<(), Error> {
    let holder = hold_pydict(world)?;
    world.agent.wait_until_next_is_parked("pydict")?;
    let function = world.agent.function("pydict")?;
    let lease = &function["leases"][0];
    // An hour, unless it is set, from a moment ago.
    let left = lease["ends_in_seconds"].as_u64().unwrap_or_default();
    check!(
        (3000..=3600).contains(&left),
        "it ends in {left} s: {lease}"
    );
    check!(
        lease["idle_limit_seconds"] == 300 && lease["linger_seconds"] == 0,
        "not the limits of the configuration: {lease}"
    );
    check!(
        lease["lingers_for_seconds"].is_null(),
        "it is held: {lease}"
    );
    check!(
        function["parked"][0]["memory_kib"].as_u64() > Some(0),
        "no memory: {function}"
    );
    check!(
        world.agent.counter("held_keyed")? > 0,
        "no keyed request was counted"
    );
    let text = world.agent.shown_status(&[])?;
    drop(holder);
    for part in [
        "lease unlocked for",
        "ends in 3",
        "idle limit 300 s",
        " KiB",
        "held_keyed ",
    ] {
        check!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
    world.agent.wait_until_locked("pydict")
}

pub(super) fn the_memory_of_a_parked_container_is_kept_out_of_swap_where_its_control_group_can(
    world: &World,
) -> Result<(), Error> {
    world.agent.wait_until_locked("pydict")?;
    let parked = world.agent.function("pydict")?["parked"][0].clone();
    let pid = parked["pid"].as_u64().unwrap_or_default();
    let setting = swap_setting(&fs::read_to_string(format!("/proc/{pid}/cgroup"))?);
    let value = setting.as_ref().map(fs::read_to_string).transpose()?;
    check!(
        value.as_ref().is_none_or(|value| value.trim() == "0"),
        "{setting:?} is {value:?}"
    );
    check!(
        parked["unswapped"] == value.is_some(),
        "{setting:?} is {value:?}, and status says {parked}"
    );
    Ok(())
}

/// What says how much, or in version 1 how gladly, a control group's memory is swapped (cgroups(7)); none where the
/// kernel does not account for that.
fn swap_setting(groups: &str) -> Option<PathBuf> {
    let mut settings = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, group) = (fields.next()?, fields.next()?);
        match controllers {
            "" => Some(format!("/sys/fs/cgroup{group}/memory.swap.max")),
            "memory" => Some(format!("/sys/fs/cgroup/memory{group}/memory.swappiness")),
            _ => None,
        }
    });
    settings.find_map(|path| fs::exists(&path).unwrap_or(false).then(|| path.into()))
}
