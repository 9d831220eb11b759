//! The memory of processes, and whose it is.
use std::time::SystemTime;

use libtest_mimic::Trial;
use rsfaas_tests::canary::{
    Finding, Part, Stack,
    places::{Memory, Select},
};

use crate::{Result, find, find_in, plant::Holder, secret};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        a_secret_in_the_memory_of_a_process_is_found,
        the_searching_process_is_not_searched_itself,
        a_process_that_is_not_there_counts_as_not_searched,
        a_secret_in_the_memory_of_a_daemon_is_found_under_the_parts_name,
        a_secret_in_the_memory_of_a_function_is_found_as_its_containers,
    ]
}

fn a_secret_in_the_memory_of_a_process_is_found() -> Result {
    let secret = secret()?;
    let holder = Holder::of(&secret)?;
    let memory = Memory::new("memory", Select::Tree(holder.id()));
    let finding = find(memory, &secret)?;
    assert!(finding.failures.is_empty(), "{:?}", finding.failures);
    assert!(finding.hit_count >= 2, "{finding:?}");
    let at = &finding.hits[0].at;
    assert!(at.contains(&format!("({})", holder.id())), "{at}");
    Ok(())
}

fn the_searching_process_is_not_searched_itself() -> Result {
    let secret = secret()?;
    let finding = find(
        Memory::new("memory", Select::Tree(std::process::id())),
        &secret,
    )?;
    assert_eq!(finding.hit_count, 0, "{:?}", finding.hits);
    Ok(())
}

fn a_process_that_is_not_there_counts_as_not_searched() -> Result {
    let finding = find(Memory::new("memory", Select::Tree(u32::MAX)), &secret()?)?;
    assert_eq!(finding.failures, ["processes: there is none"]);
    Ok(())
}

/// What the search of a part of an OpenFaaS makes of a secret.
fn found_in(part: Part, secret: &str) -> Result<Finding> {
    let stack = Stack::new(None, [], SystemTime::now());
    let mut places = stack.memory().into_iter();
    let place = places.find(|place| place.name() == part.to_string());
    find_in(place.ok_or("the part is searched")?, secret)
}

fn a_secret_in_the_memory_of_a_daemon_is_found_under_the_parts_name() -> Result {
    for (part, program) in [
        (Part::Engine, "dockerd"),
        (Part::Containerd, "containerd"),
        (Part::Registry, "registry"),
        (Part::Gateway, "gateway"),
        (Part::Provider, "faasd"),
        (Part::Others, "prometheus"),
    ] {
        let secret = secret()?;
        let _daemon = Holder::named(program, &secret)?;
        let finding = found_in(part, &secret)?;
        assert!(finding.hit_count >= 2, "{finding:?}");
        let at = &finding.hits[0].at;
        assert!(at.starts_with(&format!("{program} (")), "{at}");
    }
    Ok(())
}

fn a_secret_in_the_memory_of_a_function_is_found_as_its_containers() -> Result {
    let secret = secret()?;
    let function = Holder::in_container(&secret)?;
    let finding = found_in(Part::Containers, &secret)?;
    assert!(finding.hit_count >= 2, "{finding:?}");
    drop(function);
    assert_eq!(found_in(Part::Containers, &secret)?.hit_count, 0);
    Ok(())
}
