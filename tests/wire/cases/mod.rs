//! The tests, by topic.
mod admitted;
mod agent_gone;
mod arrival;
mod bodies;
mod coexistence;
mod heads;
mod interfaces;
mod kept_alive;
mod key_headers;
mod lease_limit;
mod leaving;
mod linger;
mod load;
mod locking;
mod lookalikes;
mod losses;
mod network;
mod overlaps;
mod pauses;
mod pipelined;
mod port;
mod published;
mod recording;
mod retransmissions;
mod standby;
mod state_folder;
mod switched;
mod targets;
mod unit;
mod wrong_keys;

use crate::{check::Outcome, world::World};

/// A test's name and what it does.
pub(crate) type Case = (&'static str, fn(&World) -> Outcome);

/// Pairs each function with its name.
macro_rules! cases {
    ($($case:ident),+ $(,)?) => {
        pub(super) const CASES: &[$crate::cases::Case] = &[$((stringify!($case), $case)),+];
    };
}
use cases;

/// Those that need TCX: beside another program on the hook, or after an agent that has not detached its own.
pub(crate) const NEED_TCX: [&str; 5] = [
    "programs_before_and_after_on_the_hook_run",
    "a_program_that_was_there_before_the_agent_runs",
    "segments_that_are_put_together_as_they_come_are_served",
    "a_vlan_tag_is_kept",
    "a_killed_agents_callers_get_the_locked_answer",
];

/// Every test, in the order in which they run.
pub(crate) fn all() -> impl Iterator<Item = Case> {
    [
        heads::CASES,
        pauses::CASES,
        targets::CASES,
        bodies::CASES,
        lookalikes::CASES,
        kept_alive::CASES,
        pipelined::CASES,
        admitted::CASES,
        retransmissions::CASES,
        overlaps::CASES,
        network::CASES,
        interfaces::CASES,
        losses::CASES,
        arrival::CASES,
        published::CASES,
        leaving::CASES,
        port::CASES,
        key_headers::CASES,
        coexistence::CASES,
        load::CASES,
        agent_gone::CASES,
        switched::CASES,
        wrong_keys::CASES,
        lease_limit::CASES,
        linger::CASES,
        locking::CASES,
        standby::CASES,
        state_folder::CASES,
        unit::CASES,
        recording::CASES,
    ]
    .into_iter()
    .flatten()
    .copied()
}
