//! The headers that carry keys, by other names than the usual ones.
use agent_ebpf::NAME_LEN;

use super::cases;
use crate::{
    check::{During as _, Outcome, check},
    client::Client,
    functions,
    http::{KEY_HEADER, Request},
    world::{World, expect_status, is_untouched, unlocked_name},
};

cases![
    a_key_in_a_header_of_a_short_name_is_taken_out_and_served,
    a_key_in_a_header_that_begins_as_the_usual_one_is_taken_out_and_served,
    a_key_in_a_header_of_the_longest_name_is_taken_out_and_served,
];

fn a_key_in_a_header_of_a_short_name_is_taken_out_and_served(world: &World) -> Outcome {
    with_names(world, "K", "N")
}

fn a_key_in_a_header_that_begins_as_the_usual_one_is_taken_out_and_served(
    world: &World,
) -> Outcome {
    with_names(world, "X-RsFaaS-Key-2", "X-RsFaaS-Ke")
}

fn a_key_in_a_header_of_the_longest_name_is_taken_out_and_served(world: &World) -> Outcome {
    with_names(world, &format!("X-{}", "k".repeat(NAME_LEN - 2)), "N")
}

fn with_names(world: &World, key: &str, next: &str) -> Outcome {
    let setting = format!("linger = 5\nkey_header = {key:?}\nnext_key_header = {next:?}\n");
    world.with_setting(&setting, || {
        for names in [[key].as_slice(), &[key, next], &[next, key]] {
            for spelt in [
                str::to_owned,
                str::to_ascii_lowercase,
                str::to_ascii_uppercase,
            ] {
                let names: Vec<_> = names.iter().map(|name| spelt(name)).collect();
                is_taken_out(world, &names).during(names.join(", "))?;
            }
        }
        // The usual one is anybody's now.
        let request = Request::to(world.a()?).header(&format!("{KEY_HEADER}: someone's own"));
        let mut client = Client::open(world.route()?)?;
        client.write(&request.bytes())?;
        expect_status(423, &client.answer()?)?;
        is_untouched(&request, &world.gateway.only(client.address()?)?)
    })
}

/// A request with the function's key in each of these headers is served without them. Where that is the next key, too,
/// nothing changes.
fn is_taken_out(world: &World, names: &[String]) -> Outcome {
    let function = world.function(functions::A)?;
    let mut request = Request::to(function).header("X-Before: kept");
    for name in names {
        request = request.header(&format!("{name}: {}", function.key));
    }
    let request = request.header("X-Behind: kept").body(b"by another name");
    let mut client = Client::open(world.route()?)?;
    client.write(&request.bytes())?;
    expect_status(200, &client.answer()?)?;
    let seen = world.gateway.only(client.address()?)?;
    let head = String::from_utf8_lossy(&seen.head);
    let has = |name: &str| {
        head.lines()
            .filter_map(|line| line.split_once(':'))
            .any(|(own, _)| own.eq_ignore_ascii_case(name))
    };
    check!(
        unlocked_name(function, &seen.path).is_some(),
        "led to {}:\n{head}",
        seen.path
    );
    check!(
        seen.head.len() == request.head().len() && seen.body == request.content(),
        "another length or body:\n{head}"
    );
    check!(
        has("X-Before") && has("X-Behind"),
        "a header is missing:\n{head}"
    );
    check!(
        !names.iter().any(|name| has(name)) && !head.contains(&function.key),
        "a key is there:\n{head}"
    );
    Ok(())
}
