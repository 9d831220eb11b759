//! Keyed requests that cannot, or must not, be led to the unlocked container.
use std::ops::Range;

use rsfaas::{rebuild::UnlockedNames, state::StateDir};
use rsfaas_shim::Refusal;

use super::cases;
use crate::{
    check::{During as _, Outcome, check},
    client::Client,
    containers::Routed,
    functions::{self, Function},
    gateway::Seen,
    http::{KEY_HEADER, Request},
    world::{World, expect_refused, expect_status},
};

cases![
    a_key_for_the_queue_is_refused_and_taken_out,
    a_target_in_another_spelling_is_served,
    a_target_that_the_gateway_redirects_goes_on_without_the_key,
    an_unlocked_containers_name_leads_nowhere,
    a_serving_containers_name_in_two_segments_is_as_good_as_any_that_does_not_exist,
    a_malformed_key_is_refused_and_taken_out,
    a_request_with_two_key_headers_is_refused,
    keys_for_other_paths_are_left_alone,
];

/// Sends a request; the status, and what the gateway read.
fn sent(world: &World, request: &Request) -> Outcome<(u16, Seen)> {
    let mut client = Client::open(world.route()?)?;
    client.write(&request.bytes())?;
    let status = client.answer()?.status;
    let seen = world.gateway.only(client.address()?)?;
    check!(
        seen.head.len() == request.head().len(),
        "the head's length changed"
    );
    Ok((status, seen))
}

/// The same of the head alone.
fn ask(world: &World, request: &Request) -> Outcome<(u16, String)> {
    let (status, seen) = sent(world, request)?;
    Ok((status, String::from_utf8_lossy(&seen.head).into_owned()))
}

/// A request goes on to the locked function, which is told why.
fn is_refused(world: &World, request: &Request, refusal: Refusal) -> Outcome {
    let (status, seen) = sent(world, request)?;
    check!(status == 423, "{status} instead of 423");
    expect_refused(refusal, &seen)
}

fn keyed(function: &Function, path: &str) -> Request {
    Request::line(&format!("POST {path} HTTP/1.1"))
        .header("Host: gateway")
        .header(&format!("{KEY_HEADER}: {}", function.key))
}

fn a_key_for_the_queue_is_refused_and_taken_out(world: &World) -> Outcome {
    let function = world.a()?;
    let name = function.name;
    for path in [
        format!("/async-function/{name}"),
        format!("/%61sync-function/{name}"),
        format!("//async-function/{name}/more?a=b"),
        format!("http://gateway/async-function/{name}"),
    ] {
        let request = keyed(function, &path);
        is_refused(world, &request, Refusal::AsyncUnsupported).during(&path)?;
    }
    Ok(())
}

/// The name is all that changes in it.
fn a_target_in_another_spelling_is_served(world: &World) -> Outcome {
    let function = world.a()?;
    let name = function.name;
    for path in [
        format!("/%66unction/{name}"),
        format!("/function%2F{name}/more?a=%62"),
        "/function/%77ire-a".to_owned(),
        format!("http://gateway/function/{name}"),
        format!("http://gateway:8080/%66unction/{name}?a=/function/b"),
    ] {
        world
            .serves(world.route()?, &keyed(function, &path))
            .during(&path)?;
    }
    Ok(())
}

/// It asks for the clean path then.
fn a_target_that_the_gateway_redirects_goes_on_without_the_key(world: &World) -> Outcome {
    let function = world.a()?;
    let name = function.name;
    for path in [
        format!("//function/{name}"),
        format!("/function//{name}"),
        format!("/./function/{name}"),
        format!("/x/../function/{name}"),
        format!("/system/info/..//%2e%2e/function/{name}?a=b"),
        format!("/{}/../function/{name}", "long".repeat(40)),
        format!("/function/other/../{name}"),
        format!("/function/other/{}/%2e./../{name}", "long".repeat(40)),
        format!("http://gateway/function//{name}"),
    ] {
        let (_, head) = ask(world, &keyed(function, &path)).during(&path)?;
        check!(!head.contains(KEY_HEADER), "the key is there:\n{head}");
        check!(head.contains(&path), "not {path}:\n{head}");
    }
    Ok(())
}

/// As long as a key, and opens nothing: it reaches the gateway with the name of no sealed function.
const NO_KEY: &str = "rsfaas1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq";

/// What somebody is answered who asks for a name in two segments, and what the gateway has read: without the name, and
/// without the last header, a key or what has its place.
fn told(world: &World, request: &Request, cut: usize) -> Outcome<[String; 3]> {
    let bytes = request.bytes();
    let mut client = Client::open(world.route()?)?;
    client.write(&bytes[..cut])?;
    client.write(&bytes[cut..])?;
    let answer = client.answer()?;
    let seen = world.gateway.only(client.address()?)?;
    check!(
        seen.head.len() == bytes.len(),
        "the head's length has changed"
    );
    let name = seen.path.split(['/', '?']).nth(2).unwrap_or_default();
    let routed = world.containers.route(name);
    check!(routed == Routed::Unknown, "{} is {routed:?}", seen.path);
    let read = String::from_utf8_lossy(&seen.head).into_owned();
    let last = read.trim_end().lines().next_back().unwrap_or_default();
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    Ok([answer.head, body, read.clone()]
        .map(|text| text.replace(name, "NAME").replace(last, "LAST")))
}

/// Whoever asks for the name of an unlocked container, with the right key or without, is told what he is told of a name
/// that is no function's, and the gateway is asked for one.
fn is_as_good_as_any_other(
    world: &World,
    path: &str,
    name: &str,
    cuts: impl Fn(usize) -> Range<usize>,
) -> Outcome {
    let function = world.a()?;
    // As long, so that it is cut at the same places.
    let absent = name.replace(function.name, "nobody");
    let ask = |name| {
        Request::line(&format!("GET {} HTTP/1.1", path.replace("NAME", name)))
            .header("Host: gateway")
    };
    let keyed = |name, key| ask(name).header(&format!("{KEY_HEADER}: {key}"));
    for (request, other) in [
        (ask(name), ask(&absent)),
        (keyed(name, function.key.as_str()), keyed(&absent, NO_KEY)),
    ] {
        for cut in cuts(request.bytes().len()) {
            let during = || format!("{path}, cut after {cut} bytes");
            let expected = told(world, &other, cut).during(during())?;
            let told = told(world, &request, cut).during(during())?;
            check!(
                told == expected,
                "{}: {told:#?} instead of {expected:#?}",
                during()
            );
        }
    }
    Ok(())
}

fn an_unlocked_containers_name_leads_nowhere(world: &World) -> Outcome {
    let names = UnlockedNames::of_host(&StateDir::new(world.agent.state_dir()))?;
    for slot in 0..4 {
        let name = names.of(functions::A, slot);
        for path in [
            "/function/NAME",
            "/function/NAME/path?a=b",
            "/async-function/NAME",
        ] {
            is_as_good_as_any_other(world, path, &name, |length| length..length + 1)?;
        }
    }
    Ok(())
}

fn a_serving_containers_name_in_two_segments_is_as_good_as_any_that_does_not_exist(
    world: &World,
) -> Outcome {
    let (mut holder, name) = world.holder()?;
    is_as_good_as_any_other(world, "/function/NAME", &name, |length| 1..length)?;
    // It serves whoever comes by the function's own name.
    holder.write(&Request::keyed(world.a()?).bytes())?;
    expect_status(200, &holder.answer()?)
}

fn a_malformed_key_is_refused_and_taken_out(world: &World) -> Outcome {
    let function = world.a()?;
    let right = &function.key;
    for (what, key) in [
        ("empty", String::new()),
        ("one letter short", right[..right.len() - 1].to_owned()),
        ("one letter long", format!("{right}q")),
        ("something else", "Bearer abcdef".to_owned()),
    ] {
        let request = Request::to(function).header(&format!("{KEY_HEADER}: {key}"));
        is_refused(world, &request, Refusal::KeyMalformed).during(what)?;
    }
    Ok(())
}

fn a_request_with_two_key_headers_is_refused(world: &World) -> Outcome {
    let other = &world.function(functions::B)?.key;
    let request = Request::keyed(world.a()?).header(&format!("{KEY_HEADER}: {other}"));
    is_refused(world, &request, Refusal::KeyMalformed)
}

/// Only requests for sealed functions are touched.
fn keys_for_other_paths_are_left_alone(world: &World) -> Outcome {
    let value = format!("{KEY_HEADER}: someone's own");
    for path in ["/function/other", "/system/functions", "/", "/function/"] {
        let request = Request::line(&format!("GET {path} HTTP/1.1")).header(&value);
        let (status, head) = ask(world, &request)?;
        check!(
            head.as_bytes() == request.head(),
            "{path} was changed:\n{head}"
        );
        let expected = if path.starts_with("/system") {
            200
        } else {
            404
        };
        check!(status == expected, "{path}: {status}");
    }
    Ok(())
}
