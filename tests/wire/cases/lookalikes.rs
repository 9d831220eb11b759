//! Bodies that hold the text of a keyed request arrive byte for byte, though the key is the right one.
use super::{
    bodies::{self, EXPECTS},
    cases,
};
use crate::{
    check::{During as _, Outcome, check},
    client::Client,
    functions,
    http::Request,
    world::{World, expect_status, is_rewritten, is_untouched},
};

cases![
    a_body_that_holds_a_keyed_request_arrives_as_it_is,
    a_chunk_that_holds_a_keyed_request_arrives_as_it_is,
    a_keyless_body_that_holds_a_keyed_request_arrives_as_it_is,
    a_body_of_an_unsealed_function_that_holds_a_keyed_request_arrives_as_it_is,
    a_body_that_is_asked_for_and_holds_a_keyed_request_arrives_as_it_is,
];

/// A keyed request as text, with the right key of a function: the one whose key a gateway may come to see.
pub(super) fn inner(world: &World) -> Outcome<Vec<u8>> {
    let function = world.function(functions::EXPOSED)?;
    Ok(Request::keyed(function).body(b"inner").bytes())
}

/// What the bodies are made of: the text, something else, and the text again.
fn parts(world: &World) -> Outcome<[Vec<u8>; 3]> {
    let text = inner(world)?;
    let between = b"{\"word\": \"night\"},\n".repeat(10);
    Ok([text.clone(), between, text])
}

/// The request with such a body, as it is and in chunks.
fn with_body(world: &World, request: &Request) -> Outcome<[Request; 2]> {
    let parts = parts(world)?;
    Ok(bodies::with_body(
        request,
        &parts.each_ref().map(Vec::as_slice),
    ))
}

/// Where such a body is cut, each time in other places: nowhere, where the text starts, and a little before it starts again.
fn cuts(world: &World, request: &Request) -> Outcome<[Vec<usize>; 3]> {
    let (bytes, head, text) = (request.bytes(), request.head().len(), inner(world)?);
    let starts: Vec<usize> = (head..bytes.len())
        .filter(|start| bytes[*start..].starts_with(&text))
        .collect();
    let before = starts.iter().skip(1).map(|start| start - 30).collect();
    Ok([Vec::new(), starts, before])
}

/// The same, and around the end of the head.
fn all_cuts(world: &World, request: &Request) -> Outcome<Vec<Vec<usize>>> {
    let head = request.head().len();
    let around = [head - 1, head, head + 5].map(|cut| vec![cut]);
    Ok(cuts(world, request)?.into_iter().chain(around).collect())
}

/// Some bytes, cut in these places.
fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let starts = [0].into_iter().chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain([bytes.len()]);
    starts
        .zip(ends)
        .map(|(start, end)| &bytes[start..end])
        .collect()
}

fn a_body_that_holds_a_keyed_request_arrives_as_it_is(world: &World) -> Outcome {
    let [request, _] = with_body(world, &Request::keyed(world.a()?))?;
    is_served_in_any_cuts(world, &request)
}

fn a_chunk_that_holds_a_keyed_request_arrives_as_it_is(world: &World) -> Outcome {
    let [_, request] = with_body(world, &Request::keyed(world.a()?))?;
    is_served_in_any_cuts(world, &request)
}

fn is_served_in_any_cuts(world: &World, request: &Request) -> Outcome {
    let bytes = request.bytes();
    for cuts in all_cuts(world, request)? {
        world
            .is_served(world.route()?, world.a()?, request, pieces(&bytes, &cuts))
            .during(format!("cut at {cuts:?}"))?;
    }
    Ok(())
}

/// Sends the request in every such cut, twice on one connection.
fn arrives_untouched(world: &World, request: &Request, status: u16) -> Outcome {
    let bytes = request.bytes();
    for cuts in all_cuts(world, request)? {
        let mut client = Client::open(world.route()?)?;
        for _ in 0..2 {
            for piece in pieces(&bytes, &cuts) {
                client.write(piece)?;
            }
            expect_status(status, &client.answer()?)?;
        }
        let seen = world.gateway.seen(client.address()?)?;
        check!(seen.len() == 2, "{} requests", seen.len());
        for seen in seen {
            is_untouched(request, &seen).during(format!("cut at {cuts:?}"))?;
        }
    }
    Ok(())
}

fn a_keyless_body_that_holds_a_keyed_request_arrives_as_it_is(world: &World) -> Outcome {
    with_body(world, &Request::to(world.a()?))?
        .iter()
        .try_for_each(|request| arrives_untouched(world, request, 423))
}

fn a_body_of_an_unsealed_function_that_holds_a_keyed_request_arrives_as_it_is(
    world: &World,
) -> Outcome {
    with_body(world, &unsealed())?
        .iter()
        .try_for_each(|request| arrives_untouched(world, request, 404))
}

fn unsealed() -> Request {
    Request::line("POST /function/unsealed HTTP/1.1").header("Host: gateway")
}

/// The gateway has said something by then, but has not answered.
fn a_body_that_is_asked_for_and_holds_a_keyed_request_arrives_as_it_is(world: &World) -> Outcome {
    let function = world.a()?;
    for (request, status) in [
        (Request::keyed(function), 200),
        (Request::to(function), 423),
        (unsealed(), 404),
    ] {
        for request in with_body(world, &request.header(EXPECTS))? {
            let (bytes, head) = (request.bytes(), request.head().len());
            for cuts in cuts(world, &request)? {
                let during = format!("{status}, cut at {cuts:?}");
                let mut client = Client::open(world.route()?)?;
                client.write(&bytes[..head])?;
                expect_status(100, &client.answer()?)?;
                for piece in &pieces(&bytes, &[&[head], cuts.as_slice()].concat())[1..] {
                    client.write(piece)?;
                }
                expect_status(status, &client.answer()?).during(&during)?;
                let seen = world.gateway.only(client.address()?)?;
                match status {
                    200 => is_rewritten(function, &request, &seen),
                    _ => is_untouched(&request, &seen),
                }
                .during(&during)?;
            }
        }
    }
    Ok(())
}
