//! Wire tests: whichever way a request arrives, the gateway reads the right one, once and without the key.
//!
//! The agent, the packets and the namespaces are real; a recording gateway takes the place of OpenFaaS.
//! One behaviour a test. They share one wire, so they run one after the other; `cargo xtask test bpf`
//! prepares the host. Needs root.
mod agent;
mod bpf;
mod cases;
mod check;
mod client;
mod containers;
mod dock;
mod functions;
mod gateway;
mod http;
mod netns;
mod raw;
mod scene;
mod world;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use rsfaas::spot;

use crate::world::World;

fn main() -> ExitCode {
    match containers::be_container() {
        Ok(false) => {}
        Ok(true) => return ExitCode::SUCCESS,
        Err(_) => return ExitCode::FAILURE,
    }
    let arguments = Arguments {
        test_threads: Some(1),
        ..Arguments::from_args()
    };
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(None)).exit_code();
    }
    let world = match World::new() {
        // Leaked so that tests may borrow it; taken down by hand below.
        Ok(world) => Box::leak(Box::new(world)),
        Err(error) => {
            eprintln!("error: the wire tests cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let conclusion = libtest_mimic::run(&arguments, trials(Some(world)));
    if let Err(error) = world.take_down() {
        eprintln!("error: something was left behind: {error}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

fn trials(world: Option<&'static World>) -> Vec<Trial> {
    let has_tcx = spot::has_tcx();
    cases::all()
        .map(|(name, case)| {
            Trial::test(name, move || {
                let world = world.ok_or("not prepared")?;
                case(world).map_err(|error| match world.recover() {
                    Ok(()) => Failed::from(error.to_string()),
                    Err(after) => {
                        Failed::from(format!("{error}\nthe next ones fail, too: {after}"))
                    }
                })
            })
            .with_ignored_flag(!has_tcx && cases::NEED_TCX.contains(&name))
        })
        .collect()
}
