//! What `rsfaas status` shows.
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
