//! Every test, in sections that follow each other.
use libtest_mimic::{Failed, Trial};
use rsfaas::spot;

use crate::{
    author, cases, clients,
    host::{self, Error},
    world::World,
};

/// Tests that need the same of the host.
pub(crate) struct Section {
    pub(crate) trials: Vec<Trial>,
    /// Whether they may run beside each other.
    pub(crate) beside: bool,
    /// The functions that must be sealed.
    pub(crate) functions: &'static [&'static str],
}

/// All of them; they can be run where there is a world.
pub(crate) fn sections(world: Option<&'static World>) -> Vec<Section> {
    let alone = |trials, functions| Section {
        trials,
        beside: false,
        functions,
    };
    if let Some(times) = host::fault_times() {
        return vec![alone(faults(world, times), &["pydict"])];
    }
    let beside = Section {
        trials: beside(world),
        beside: true,
        functions: author::FUNCTIONS,
    };
    let counting = named(world, cases::COUNTING, as_it_is).collect();
    let ending = named(world, cases::ENDING, is_searched).chain(parts(world));
    vec![
        beside,
        alone(counting, author::FUNCTIONS),
        alone(ending.collect(), &["pydict"]),
    ]
}

/// The templates are the longest: begun in time, they end with the rest.
fn beside(world: Option<&'static World>) -> Vec<Trial> {
    let clients = clients::ALL.iter().map(|(name, client)| {
        let title = format!("{name} calls with and without the key");
        trial(title, world, &["pydict"], |world: &World| {
            clients::calls_with_and_without_the_key(world, name, *client)
        })
    });
    let mut templates = templates(world);
    let mut others = clients
        .chain(named(world, cases::BESIDE, as_it_is))
        .chain(named(world, cases::FAULTS, is_searched));
    let mut trials = Vec::new();
    loop {
        let before = trials.len();
        trials.extend(templates.next());
        trials.extend(others.by_ref().take(4));
        if trials.len() == before {
            return trials;
        }
    }
}

/// Cases, and what follows each of them.
fn named(
    world: Option<&'static World>,
    cases: impl IntoIterator<Item = &'static cases::Case>,
    afterwards: fn(&World) -> Result<(), Error>,
) -> impl Iterator<Item = Trial> {
    cases.into_iter().map(move |case| {
        let outlived = !spot::has_tcx() && cases::NEED_TCX.contains(&case.name);
        let run = move |world: &World| (case.run)(world).and_then(|()| afterwards(world));
        trial(case.name.to_owned(), world, case.functions, run).with_ignored_flag(outlived)
    })
}

/// What follows a case that does no harm.
fn as_it_is(_: &World) -> Result<(), Error> {
    Ok(())
}

/// What follows a fault: nothing of handler, answer and key is left by it.
fn is_searched(world: &World) -> Result<(), Error> {
    world.canary.is_gone(world)
}

fn templates(world: Option<&'static World>) -> impl Iterator<Item = Trial> {
    cases::TEMPLATES.iter().map(move |template| {
        let title = format!(
            "a function of the template {} is parked, served and locked again, and nothing of it is left",
            template.name
        );
        // Of somebody else's templates some may be missing, which is told as such.
        let missing = world.is_some_and(|world| !template.is_there(world));
        let case = |world: &World| template.case(world);
        trial(title, world, &[template.function], case).with_ignored_flag(missing)
    })
}

fn parts(world: Option<&'static World>) -> impl Iterator<Item = Trial> {
    let deaths = cases::parts::ALL.iter().map(move |part| {
        // Of somebody else's OpenFaaS nothing is killed.
        let spared = world.is_some_and(|world| world.host.xtask.is_none());
        let case = |world: &World| part.case(world);
        trial(part.title(), world, &[], case).with_ignored_flag(spared)
    });
    // Rebuilds by image, which leave the handler in free blocks, were before.
    [unbuilt(world)]
        .into_iter()
        .chain(deaths)
        .chain([blocks(world)])
}

fn unbuilt(world: Option<&'static World>) -> Trial {
    trial(
        "a changed handler is sealed without being built".to_owned(),
        world,
        &[],
        cases::faults::a_changed_handler_is_sealed_without_being_built,
    )
}

/// What follows processes that were killed, by when an unbuilt handler has been unlocked again and again.
fn blocks(world: Option<&'static World>) -> Trial {
    let trial = trial(
        "after all of that no block of the disk holds anything of it, free blocks neither"
            .to_owned(),
        world,
        &[],
        |world| world.canary.is_in_no_block(world),
    );
    match world.and_then(|world| world.canary.has_no_disk(world)) {
        Some(why) => trial.with_kind(why).with_ignored_flag(true),
        None => trial,
    }
}

fn faults(world: Option<&'static World>, times: u32) -> Vec<Trial> {
    let struck = |fault: cases::faults::Fault| {
        let outlived = !spot::has_tcx() && fault.is_of_agent();
        let title = fault.title();
        let strike = move |world: &World| fault.strike(world, times);
        trial(title, world, &[], strike).with_ignored_flag(outlived)
    };
    let (in_memory, on_disk) = cases::faults::all();
    let found = trial(
        "what is searched for is found while it is there".to_owned(),
        world,
        &[],
        cases::faults::the_canary_and_the_key_are_found_while_the_function_is_unlocked,
    );
    let before = [found, unbuilt(world)];
    let (in_memory, on_disk) = (in_memory.into_iter(), on_disk.into_iter());
    let faults = in_memory.map(struck).chain([blocks(world)]);
    before
        .into_iter()
        .chain(faults)
        .chain(on_disk.map(struck))
        .collect()
}

fn trial(
    name: String,
    world: Option<&'static World>,
    functions: &[&'static str],
    case: impl FnOnce(&World) -> Result<(), Error> + Send + 'static,
) -> Trial {
    let functions = functions.to_vec();
    Trial::test(name, move || {
        let world = world.ok_or("not prepared")?;
        let _turn = world.turns.take(&functions);
        case(world).map_err(|error| {
            let log = world.agent.log_end();
            let mut told = format!("{error}\nthe agent's log ends:\n{log}");
            if let Err(after) = world.recover(&functions) {
                told += &format!("\nthe next cases may fail, too: {after}");
            }
            Failed::from(told)
        })
    })
}
