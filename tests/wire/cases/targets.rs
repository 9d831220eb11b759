//! Keyed requests that cannot, or must not, be led to the unlocked container.
use rsfaas::{rebuild::UnlockedNames, state::StateDir};
use rsfaas_shim::Refusal;

use super::cases;
use crate::{
    check::{During as _, Outcome, check},
    client::Client,
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

fn an_unlocked_containers_name_leads_nowhere(world: &World) -> Outcome {
    let names = UnlockedNames::of_host(&StateDir::new(world.agent.state_dir()))?;
    let function = world.a()?;
    for slot in 0..4 {
        let name = names.of(function.name, slot);
        let plain = Request::line(&format!("GET /function/{name} HTTP/1.1"));
        for request in [plain, keyed(function, &format!("/function/{name}/path"))] {
            let (status, head) = ask(world, &request)?;
            check!(status == 404 && !head.contains(&name), "{status}:\n{head}");
        }
    }
    Ok(())
}

/// The status, and the name that the gateway has read, where a request for one comes cut in two.
fn ask_for(world: &World, request: &Request, cut: usize) -> Outcome<(u16, String)> {
    let bytes = request.bytes();
    let mut client = Client::open(world.route()?)?;
    client.write(&bytes[..cut])?;
    client.write(&bytes[cut..])?;
    let status = client.answer()?.status;
    let seen = world.gateway.only(client.address()?)?;
    check!(
        seen.head.len() == bytes.len(),
        "the head's length has changed"
    );
    Ok((status, seen.path))
}

fn a_serving_containers_name_in_two_segments_is_as_good_as_any_that_does_not_exist(
    world: &World,
) -> Outcome {
    let function = world.a()?;
    let (mut holder, name) = world.holder()?;
    let name = name.as_str();
    // As long, so that it is cut at the same places.
    let absent = format!("nobody{}", &name[function.name.len()..]);
    let keyless = |name: &str| Request::line(&format!("GET /function/{name} HTTP/1.1"));
    let keyed = |name: &str| keyless(name).header(&format!("{KEY_HEADER}: {}", function.key));
    let without_key = (keyless(name), keyless(&absent));
    // That key would reach the gateway with the name of no sealed function.
    let with_key = (keyed(name), keyless(&absent));
    for (request, other) in [without_key, with_key] {
        for cut in 1..request.bytes().len() {
            let other_cut = cut.min(other.bytes().len() - 1);
            let (expected, _) = ask_for(world, &other, other_cut)?;
            let (status, read) =
                ask_for(world, &request, cut).during(format!("cut after {cut} bytes"))?;
            check!(
                status == expected && !read.contains(name),
                "cut after {cut} bytes: {status} instead of {expected}, {read}"
            );
        }
    }
    // It serves whoever comes by the function's own name.
    holder.write(&Request::keyed(function).bytes())?;
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
