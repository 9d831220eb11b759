//! End-to-end tests: a real gateway, real containers, the agent as its users run it. They share one
//! host and one agent; `cargo xtask test e2e` prepares the host. With an agent that has fault points
//! (`cargo xtask test faults`) those are tested instead.
mod agent;
mod author;
mod canary;
mod cases;
mod clients;
mod container;
mod faas_cli;
mod gateway;
mod host;
mod http;
mod images;
mod netns;
mod proxy;
mod trials;
mod turns;
mod world;

use std::process::ExitCode;

use libtest_mimic::Arguments;

use crate::world::World;

/// How many cases run beside each other: each waits for containers most of the time.
const BESIDE: usize = 4;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    if arguments.list {
        let sections = trials::sections(None).into_iter();
        let trials = sections.flat_map(|section| section.trials).collect();
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    let world = match World::prepare() {
        Ok(world) => world,
        Err(error) => {
            eprintln!("error: the end-to-end tests cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    // Leaked so that tests may borrow it; taken down by hand below.
    let world: &'static World = Box::leak(Box::new(world));
    let mut failed = false;
    for section in trials::sections(Some(world)) {
        if let Err(error) = world.keep_only(section.functions) {
            eprintln!("error: a function could not be removed: {error}");
            failed = true;
        }
        if !section.beside
            && let Err(error) = world.host.wait_until_alone()
        {
            eprintln!("error: {error}");
            failed = true;
            break;
        }
        arguments.test_threads = Some(if section.beside { BESIDE } else { 1 });
        failed |= libtest_mimic::run(&arguments, section.trials).has_failed();
    }
    if let Err(error) = world.take_down() {
        eprintln!("error: something was left behind: {error}");
        failed = true;
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
