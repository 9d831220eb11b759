//! Requests that are sent before the one before them is answered, in segments of their own or not.
use std::thread;

use super::cases;
use crate::{
    agent::LINGERING,
    check::{During as _, Outcome, check},
    client::{Client, SENT_AGAIN},
    functions,
    gateway::Seen,
    http::Request,
    world::{World, expect_status, is_rewritten, is_untouched},
};

cases![
    pipelined_requests_are_answered_in_order,
    requests_pipelined_behind_a_keyed_body_are_answered_in_order,
    a_keyed_request_sent_ahead_in_a_segment_of_its_own_is_answered_in_turn,
    a_keyed_request_sent_ahead_of_a_slow_answer_to_one_without_a_body_is_served,
    a_key_pipelined_behind_a_keyless_request_is_served_and_taken_out,
    a_key_pipelined_behind_a_request_for_something_else_is_served_and_taken_out,
    a_keyed_request_behind_another_one_is_served_wherever_the_two_are_cut,
    a_keyed_request_whose_line_is_cut_behind_a_body_is_answered_without_its_key,
    an_unlocked_containers_name_behind_another_request_leads_nowhere,
    an_unlocked_containers_name_inside_of_what_may_be_a_body_leads_nowhere,
];

fn pipelined_requests_are_answered_in_order(world: &World) -> Outcome {
    let (a, b) = (world.function(functions::A)?, world.function(functions::B)?);
    let requests = [Request::keyed(a), Request::to(a), Request::keyed(b)];
    in_order(world, &requests)
}

fn requests_pipelined_behind_a_keyed_body_are_answered_in_order(world: &World) -> Outcome {
    let (a, b) = (world.function(functions::A)?, world.function(functions::B)?);
    let requests = [
        Request::keyed(a).body(&[b'b'; 5000]),
        Request::to(a).chunks([b"chunk".as_slice()]),
        Request::keyed(b).chunks([b"chunk".as_slice(); 3]),
        Request::to(b).body(b"last"),
    ];
    in_order(world, &requests)
}

/// Sends a keyed request, a keyless one for the first function, and so on, all at once.
fn in_order(world: &World, requests: &[Request]) -> Outcome {
    let (a, b) = (world.function(functions::A)?, world.function(functions::B)?);
    let mut client = Client::open(world.route()?)?;
    client.write(&requests.iter().flat_map(Request::bytes).collect::<Vec<_>>())?;
    for index in 0..requests.len() {
        expect_status([200, 423][index % 2], &client.answer()?)?;
    }
    let seen = world.gateway.seen(client.address()?)?;
    check!(seen.len() == requests.len(), "{} requests", seen.len());
    for (index, (request, seen)) in requests.iter().zip(&seen).enumerate() {
        match index {
            0 => is_rewritten(a, request, seen)?,
            2 => is_rewritten(b, request, seen)?,
            _ => is_untouched(request, seen)?,
        }
    }
    Ok(())
}

/// Runs something under an agent that waits for answers, however late a slow machine lets them come.
fn patiently(world: &World, work: impl FnOnce() -> Outcome) -> Outcome {
    world.with_setting(&format!("{LINGERING}answer_timeout_ms = 60000\n"), work)
}

fn a_keyed_request_sent_ahead_in_a_segment_of_its_own_is_answered_in_turn(
    world: &World,
) -> Outcome {
    patiently(world, || {
        let function = world.a()?;
        let slow = Request::line("POST /function/other/slow HTTP/1.1").header("Host: gateway");
        for (first, status) in [
            (Request::to(function), 423),
            (slow.body(b"longer than is waited for as usual"), 404),
        ] {
            let keyed = Request::keyed(function);
            let mut client = Client::open(world.route()?)?;
            client.write(&first.bytes())?;
            client.write(&keyed.bytes())?;
            expect_status(status, &client.answer()?)?;
            expect_status(200, &client.answer()?)?;
            let seen = world.gateway.seen(client.address()?)?;
            is_untouched(&first, &seen[0])?;
            is_rewritten(function, &keyed, &seen[1])?;
        }
        Ok(())
    })
}

/// However long that takes: there is no body that it could be a part of.
fn a_keyed_request_sent_ahead_of_a_slow_answer_to_one_without_a_body_is_served(
    world: &World,
) -> Outcome {
    let function = world.a()?;
    let keyed = Request::keyed(function);
    for path in [
        format!("/function/{}/slow", function.name),
        "/function/other/slow".into(),
    ] {
        let first = Request::line(&format!("GET {path} HTTP/1.1")).header("Host: gateway");
        let mut client = Client::open(world.route()?)?;
        client.write(&first.bytes())?;
        client.write(&keyed.bytes())?;
        client.answer().during(&path)?;
        expect_status(200, &client.answer()?).during(&path)?;
        let seen = world.gateway.seen(client.address()?)?;
        is_untouched(&first, &seen[0])?;
        is_rewritten(function, &keyed, &seen[1])?;
    }
    Ok(())
}

fn a_key_pipelined_behind_a_keyless_request_is_served_and_taken_out(world: &World) -> Outcome {
    let function = world.a()?;
    for body in ["", "body", "a line\nx-rsfaas-key: of a body\n"] {
        let requests = [
            Request::to(function).body(body.as_bytes()),
            Request::keyed(function),
        ];
        let mut client = Client::open(world.route()?)?;
        client.write(&[requests[0].bytes(), requests[1].bytes()].concat())?;
        expect_status(423, &client.answer()?).during(body)?;
        expect_status(200, &client.answer()?).during(body)?;
        let seen = world.gateway.seen(client.address()?)?;
        is_untouched(&requests[0], &seen[0])?;
        is_rewritten(function, &requests[1], &seen[1])?;
    }
    Ok(())
}

fn a_key_pipelined_behind_a_request_for_something_else_is_served_and_taken_out(
    world: &World,
) -> Outcome {
    let function = world.a()?;
    for (path, status, length) in [
        ("/system/functions", 200, 0),
        ("/function/other", 404, 0),
        ("/function/other/path", 404, 300),
        ("/function/other?a=b", 404, 1000),
    ] {
        let requests = [
            Request::line(&format!("POST {path} HTTP/1.1"))
                .header("Host: gateway")
                .body(&vec![b'b'; length]),
            Request::keyed(function).body(b"word"),
            Request::to(function),
        ];
        let mut client = Client::open(world.route()?)?;
        client.write(&requests.each_ref().map(Request::bytes).concat())?;
        for expected in [status, 200, 423] {
            expect_status(expected, &client.answer()?).during(path)?;
        }
        let seen = world.gateway.seen(client.address()?)?;
        is_untouched(&requests[0], &seen[0])?;
        is_rewritten(function, &requests[1], &seen[1])?;
        is_untouched(&requests[2], &seen[2])?;
    }
    Ok(())
}

/// Requests for something else and keyless ones, what the gateway answers, and whether they have a body.
fn firsts(world: &World) -> Outcome<[(Request, u16, bool); 5]> {
    let post = |path| Request::line(&format!("POST {path} HTTP/1.1")).header("Host: gateway");
    Ok([
        (
            Request::line("GET /system/functions HTTP/1.1").header("Host: gateway"),
            200,
            false,
        ),
        (
            Request::line("DELETE /function/other?a=b HTTP/1.1").header("Host: gateway"),
            404,
            false,
        ),
        (
            post("/function/other").body(b"{\"word\": \"night\"}"),
            404,
            true,
        ),
        (
            Request::to(world.a()?).body(b"0123456789abcdef0123456789abcdef"),
            423,
            true,
        ),
        (
            post("/function/other")
                .header("Connection: Upgrade, HTTP2-Settings")
                .header("Upgrade: h2c")
                .body(b"[1, 2]"),
            404,
            true,
        ),
    ])
}

/// Sends a keyed request behind another one, all of it in two segments; the answers' status, and what the gateway read of
/// the second.
fn cut(world: &World, first: &Request, second: &Request, cut: usize) -> Outcome<([u16; 2], Seen)> {
    let bytes = [first.bytes(), second.bytes()].concat();
    let mut client = Client::open(world.route()?)?;
    client.write(&bytes[..cut])?;
    client.write(&bytes[cut..])?;
    let answers = [client.answer()?.status, client.answer()?.status];
    let mut seen = world.gateway.seen(client.address()?)?;
    check!(seen.len() == 2, "{} requests", seen.len());
    is_untouched(first, &seen[0])?;
    Ok((answers, seen.remove(1)))
}

fn a_keyed_request_behind_another_one_is_served_wherever_the_two_are_cut(world: &World) -> Outcome {
    patiently(world, || {
        let function = world.a()?;
        let second = Request::keyed(function).body(b"word");
        for (first, status, has_body) in firsts(world)? {
            let start = first.bytes().len();
            let end = start + second.bytes().len();
            let line = start + second.line_text().len() + "\r\n".len();
            // Of a line that is cut behind a body, see below.
            let cuts = (1..end).filter(|cut| !(has_body && (start + 1..line).contains(cut)));
            for place in cuts {
                let during = || format!("{} cut after {place} bytes", first.line_text());
                let (answers, seen) = cut(world, &first, &second, place).during(during())?;
                check!(answers == [status, 200], "{}: {answers:?}", during());
                is_rewritten(function, &second, &seen).during(during())?;
            }
        }
        Ok(())
    })
}

fn a_keyed_request_whose_line_is_cut_behind_a_body_is_answered_without_its_key(
    world: &World,
) -> Outcome {
    let function = world.a()?;
    let second = Request::keyed(function).body(b"word");
    for (first, _, _) in firsts(world)?
        .into_iter()
        .filter(|(_, _, has_body)| *has_body)
    {
        let start = first.bytes().len();
        for place in start + 1..start + second.line_text().len() + "\r\n".len() {
            let during = || format!("{} cut after {place} bytes", first.line_text());
            let (answers, seen) = cut(world, &first, &second, place).during(during())?;
            let head = String::from_utf8_lossy(&seen.head).into_owned();
            // What is left of a method is one for the gateway's server.
            check!(matches!(answers[1], 200 | 423), "{}: {answers:?}", during());
            check!(
                !head.contains(&function.key),
                "{}: the key is there:\n{head}",
                during()
            );
        }
    }
    Ok(())
}

fn an_unlocked_containers_name_behind_another_request_leads_nowhere(world: &World) -> Outcome {
    patiently(world, || {
        let (_holder, name) = world.holder()?;
        let second =
            Request::line(&format!("GET /function/{name}/path HTTP/1.1")).header("Host: gateway");
        for (first, status, has_body) in firsts(world)? {
            let start = first.bytes().len();
            let line = start + second.line_text().len() + "\r\n".len();
            // Of a line that is cut behind a body, nobody can tell where it leads.
            let cuts = (1..line + 5).filter(|cut| !(has_body && (start + 1..line).contains(cut)));
            for place in cuts {
                let during = || format!("{} cut after {place} bytes", first.line_text());
                let (answers, seen) = cut(world, &first, &second, place).during(during())?;
                check!(answers == [status, 404], "{}: {answers:?}", during());
                check!(!seen.path.contains(&name), "{}: {}", during(), seen.path);
            }
        }
        Ok(())
    })
}

/// Though something before it was taken for a body that looked like a request.
fn an_unlocked_containers_name_inside_of_what_may_be_a_body_leads_nowhere(
    world: &World,
) -> Outcome {
    let (_holder, name) = world.holder()?;
    let keyed = Request::to(world.a()?).header("X-RsFaaS-Key: none");
    let lookalike = [b"text\n", keyed.bytes().as_slice()].concat();
    let direct = format!("text\nGET /function/{name} HTTP/1.1\r\n\r\n");
    let content = [&lookalike, direct.as_bytes()].concat();
    let request = Request::line("POST /function/other HTTP/1.1")
        .header("Host: gateway")
        .body(&content);
    let mut client = Client::open(world.route()?)?;
    client.write(&request.head())?;
    client.write(&lookalike)?;
    thread::sleep(SENT_AGAIN);
    client.write(direct.as_bytes())?;
    expect_status(404, &client.answer()?)?;
    let seen = world.gateway.only(client.address()?)?;
    check!(
        seen.body.len() == content.len(),
        "{} bytes",
        seen.body.len()
    );
    check!(
        seen.body.starts_with(&lookalike),
        "not the text that looked like a request"
    );
    check!(
        !String::from_utf8_lossy(&seen.body).contains(&name),
        "the name is there"
    );
    Ok(())
}
