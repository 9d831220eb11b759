//! End-to-end tests: a real gateway, real containers, the agent as its users run it. They share one
//! host and one agent, so they run one after the other; `cargo xtask test e2e` prepares the host. With an agent
//! that has fault points (`cargo xtask test faults`) those are tested instead.
mod agent;
mod author;
mod canary;
mod cases;
mod clients;
mod container;
mod gateway;
mod host;
mod http;
mod netns;
mod proxy;

use std::{iter, process::ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

use crate::{agent::Agent, author::Author, canary::Canary, host::Host};

/// What a test gets: a host with an agent, and functions that are sealed.
pub(crate) struct World {
    pub(crate) host: Host,
    pub(crate) author: Author,
    pub(crate) agent: Agent,
    /// Of `pydict`.
    pub(crate) canary: Canary,
    /// Those that are sealed.
    functions: &'static [&'static str],
}

fn main() -> ExitCode {
    let arguments = Arguments {
        test_threads: Some(1),
        ..Arguments::from_args()
    };
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(None)).exit_code();
    }
    let world = match prepare() {
        Ok(world) => world,
        Err(error) => {
            eprintln!("error: the end-to-end tests cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    // Leaked so that tests may borrow it; taken down by hand below.
    let world: &'static World = Box::leak(Box::new(world));
    let conclusion = libtest_mimic::run(&arguments, trials(Some(world)));
    if let Err(error) = world.take_down() {
        eprintln!("error: something was left behind: {error}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

fn prepare() -> Result<World, host::Error> {
    let host = Host::from_environment()?;
    let author = Author::new(&host)?;
    let canary = Canary::plant(&author, "pydict")?;
    let agent = Agent::start(&host)?;
    let functions = match host::fault_times() {
        Some(_) => &["pydict"],
        None => author::FUNCTIONS,
    };
    println!("preparing: building, sealing and parking the test functions");
    for function in functions {
        author.deploy(&host, function)?;
        author.seal(&host, &agent, function)?;
    }
    for function in functions {
        agent.wait_until_locked(function)?;
    }
    Ok(World {
        host,
        author,
        agent,
        canary,
        functions,
    })
}

impl World {
    fn take_down(&self) -> Result<(), host::Error> {
        let stopped = self.agent.stop();
        for function in self.functions {
            self.author.remove(&self.host, function)?;
        }
        stopped
    }
}

fn trials(world: Option<&'static World>) -> Vec<Trial> {
    if let Some(times) = host::fault_times() {
        let faults = cases::faults::all().into_iter().map(|fault| {
            trial(fault.title(), world, move |world| {
                fault.strike(world, times)
            })
        });
        let found = cases::faults::the_canary_and_the_key_are_found_while_the_function_is_unlocked;
        let control = trial(
            "what is searched for is found while it is there".to_owned(),
            world,
            found,
        );
        return iter::once(control).chain(faults).collect();
    }
    let cases = cases::ALL
        .iter()
        .map(|(name, case)| trial((*name).to_owned(), world, case));
    let clients = clients::ALL.iter().map(|(name, client)| {
        let title = format!("{name} calls with and without the key");
        trial(title, world, |world: &World| {
            clients::calls_with_and_without_the_key(world, name, *client)
        })
    });
    let templates = cases::TEMPLATES.iter().map(|template| {
        let title = format!(
            "a function of the template {} is parked, served and locked again, and nothing of it is left",
            template.name
        );
        // Of somebody else's templates some may be missing, which is told as such.
        let missing = world.is_some_and(|world| !template.is_there(world));
        trial(title, world, |world: &World| template.case(world)).with_ignored_flag(missing)
    });
    let parts = cases::parts::ALL.iter().map(|part| {
        // Of somebody else's OpenFaaS nothing is killed.
        let spared = world.is_some_and(|world| world.host.xtask.is_none());
        trial(part.title(), world, |world: &World| part.case(world)).with_ignored_flag(spared)
    });
    clients.chain(cases).chain(templates).chain(parts).collect()
}

fn trial(
    name: String,
    world: Option<&'static World>,
    case: impl FnOnce(&World) -> Result<(), host::Error> + Send + 'static,
) -> Trial {
    Trial::test(name, move || {
        let world = world.ok_or("not prepared")?;
        case(world).map_err(|error| {
            let log = world.agent.log_end();
            Failed::from(format!("{error}\nthe agent's log ends:\n{log}"))
        })
    })
}
