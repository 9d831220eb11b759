//! Which spellings of a request lead to a function: a real gateway is asked about thousands, and what
//! spotter and agent make of them must agree.
//!
//! Needs root, the testbed's gateway and its `routing` on the search path. Without these two the tests
//! are shown as ignored, and fail where a testbed is up (`RSFAAS_TESTBED`), which has them.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may panic"
)]

mod gateway;
mod judged;
#[path = "../../agent/tests/support/packet.rs"]
#[expect(dead_code, reason = "the programs' own tests use the rest")]
mod packet;
#[path = "../../agent/tests/support/rig.rs"]
#[expect(dead_code, reason = "the programs' own tests use the rest")]
mod rig;
mod spellings;
mod spotted;

use std::{env, process::ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

use crate::gateway::Gateway;

const HEADER: &str = "X-RsFaaS-Key";
const SEALED: &str = "pydict";
const UNLOCKED: &str = "pydict-abc123-0";
/// Generated requests, each for a name of its own.
const CASES: u64 = 4000;
const MISSING: &str = "no `gateway` or no `routing` on the search path; `cargo xtask testbed up` builds \
                       both into target/testbed/bin";

fn main() -> ExitCode {
    let gateway = Gateway::find();
    let ignored = gateway.is_none() && env::var_os("RSFAAS_TESTBED").is_none();
    let trial = |name, test: fn(&Gateway) -> Result<(), Failed>| {
        let found = gateway.clone();
        Trial::test(name, move || test(&found.ok_or(MISSING)?)).with_ignored_flag(ignored)
    };
    let trials = vec![
        trial("a_request_leads_where_the_agent_says", judged::agent_agrees),
        trial(
            "every_spelling_that_leads_to_a_sealed_function_leads_to_its_unlocked_container_with_a_key",
            judged::keyed_is_served,
        ),
        trial(
            "no_spelling_leads_to_an_unlocked_container",
            judged::unlocked_is_out_of_reach,
        ),
        trial(
            "every_spelling_that_leads_to_an_unlocked_container_is_held",
            spotted::unlocked_is_held,
        ),
        trial(
            "every_spelling_that_leads_to_a_sealed_function_is_held_with_a_key",
            spotted::keyed_is_held,
        ),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
