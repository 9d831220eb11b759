//! A keyed request's head, however it is cut, however long it is, wherever in it the key stands.
use super::cases;
use crate::{
    agent::LINGERING,
    check::{During as _, Outcome, check},
    client::Client,
    http::{KEY_HEADER, Request},
    raw::{Peer, Shape},
    world::{World, expect_status, is_rewritten},
};

cases![
    a_head_cut_after_any_byte_is_served,
    a_head_in_segments_of_one_byte_is_served,
    a_head_of_any_length_is_served,
    a_key_header_anywhere_around_the_end_of_the_kernels_search_is_served,
    the_shortest_head_is_served,
    a_long_head_cut_in_the_key_is_served,
    a_key_that_comes_too_late_is_taken_out,
    a_head_of_many_lines_is_served,
    a_folded_key_that_is_cut_off_its_header_is_taken_out,
    the_key_may_stand_first_or_last,
    the_key_headers_name_may_have_any_letter_case,
    white_space_around_the_key_does_not_matter,
];

fn a_head_cut_after_any_byte_is_served(world: &World) -> Outcome {
    let function = world.a()?;
    let request = Request::keyed(function).header("Accept: */*");
    let bytes = request.bytes();
    for cut in 1..bytes.len() {
        let (first, second) = bytes.split_at(cut);
        world
            .is_served(world.route()?, function, &request, [first, second])
            .during(format!("cut after {cut} of {} bytes", bytes.len()))?;
    }
    Ok(())
}

/// A kernel's TCP would join them while it waits for an acknowledgement: here each has a frame of its own.
fn a_head_in_segments_of_one_byte_is_served(world: &World) -> Outcome {
    let function = world.a()?;
    let request = Request::keyed(function).body(b"bytes");
    let bytes = request.bytes();
    let mut peer = Peer::open(&world.scene, Shape::default())?;
    for (place, byte) in bytes.chunks(1).enumerate() {
        peer.send(place, byte)?;
    }
    expect_status(200, &peer.answer()?)?;
    peer.reset(bytes.len())?;
    is_rewritten(function, &request, &world.gateway.only(peer.address())?)
}

/// Up to where the kernel searches a head for the key: beyond, the agent has to.
const SEARCHED: usize = 4096;
/// What a client sends before it waits for an acknowledgement: ten segments of a wire with time stamps.
const FIRST_WINDOW: usize = 14_480;
/// At which a head that shows its key is judged without its end.
const JUDGED: usize = 8 << 10;

/// The lengths around which something else happens, and some between.
fn a_head_of_any_length_is_served(world: &World) -> Outcome {
    let function = world.a()?;
    let key = format!("{KEY_HEADER}: {}", function.key);
    let around = |limit: usize, by: usize| limit - by..=limit + by;
    let lengths = [250, 1 << 10, 16 << 10, 30 << 10, 60 << 10]
        .into_iter()
        .chain(around(SEARCHED, 40))
        .chain(around(JUDGED, 1))
        .chain(around(FIRST_WINDOW, 1));
    for length in lengths {
        let key_first = Request::keyed(function).padded(length);
        let key_last = Request::to(function)
            .padded(length - key.len() - 2)
            .header(&key);
        for (request, place) in [(key_first, "first"), (key_last, "last")] {
            check!(
                request.head().len() == length,
                "{length} bytes were asked for"
            );
            world
                .serves(world.route()?, &request)
                .during(format!("a head of {length} bytes, key {place}"))?;
        }
    }
    Ok(())
}

fn a_key_header_anywhere_around_the_end_of_the_kernels_search_is_served(world: &World) -> Outcome {
    let function = world.a()?;
    let key = format!("{KEY_HEADER}: {}", function.key);
    for start in SEARCHED - key.len() - 4..=SEARCHED + 4 {
        // Behind the last header there is the empty line.
        let request = Request::to(function).padded(start + 2).header(&key);
        let head = request.head();
        check!(
            head[start..].starts_with(key.as_bytes()),
            "the key stands elsewhere"
        );
        world
            .serves(world.route()?, &request)
            .during(format!("a key at {start}"))?;
    }
    Ok(())
}

/// Nothing that could be left out.
fn the_shortest_head_is_served(world: &World) -> Outcome {
    let function = world.a()?;
    let line = format!("GET /function/{} HTTP/1.0", function.name);
    let request = Request::line(&line).header(&format!("{KEY_HEADER}:{}", function.key));
    world.serves(world.route()?, &request)?;
    // Cut after any byte, too.
    let bytes = request.bytes();
    for cut in 1..bytes.len() {
        let (first, second) = bytes.split_at(cut);
        world
            .is_served(world.route()?, function, &request, [first, second])
            .during(format!("cut after {cut} of {} bytes", bytes.len()))?;
    }
    Ok(())
}

fn a_key_that_comes_too_late_is_taken_out(world: &World) -> Outcome {
    let function = world.a()?;
    let request = Request::keyed(function).body(b"late");
    let bytes = request.bytes();
    let (first, second) = bytes.split_at(60);
    world.with_setting(LINGERING, || {
        let mut client = Client::open(world.route()?)?;
        is_given_up(world, &mut client, first)?;
        client.write(second)?;
        expect_status(423, &client.answer()?)?;
        let seen = world.gateway.only(client.address()?)?;
        check!(seen.body == b"late", "the body was changed");
        // The connection is the agent's still.
        client.write(&bytes)?;
        expect_status(200, &client.answer()?)
    })
}

/// Sends the start of a head, and waits until the agent has given that up.
fn is_given_up(world: &World, client: &mut Client, start: &[u8]) -> Outcome {
    let write = || client.write(start);
    world.agent.until_counted("heads_timed_out", write)
}

/// The gateway refuses a head with a folded line, once it has read it.
fn a_folded_key_that_is_cut_off_its_header_is_taken_out(world: &World) -> Outcome {
    let function = world.a()?;
    let start = Request::to(function).header(&format!("{KEY_HEADER}:"));
    let start = start.head();
    let lines = start.len() - "\r\n".len();
    world.with_setting(LINGERING, || {
        let mut client = Client::open(world.route()?)?;
        is_given_up(world, &mut client, &start[..lines])?;
        client.write(format!(" {}\r\n\r\n", function.key).as_bytes())?;
        check!(client.is_broken_off()?, "the gateway reads folded lines");
        Ok(())
    })
}

fn a_head_of_many_lines_is_served(world: &World) -> Outcome {
    let mut request = Request::keyed(world.a()?);
    for number in 0..200 {
        request = request.header(&format!("X-{number}: n"));
    }
    world.serves(world.route()?, &request)
}

fn a_long_head_cut_in_the_key_is_served(world: &World) -> Outcome {
    let function = world.a()?;
    let key = format!("{KEY_HEADER}: {}", function.key);
    let request = Request::to(function).padded(8 << 10).header(&key);
    let bytes = request.bytes();
    let (first, second) = bytes.split_at(bytes.len() - 40);
    world.is_served(world.route()?, function, &request, [first, second])
}

fn the_key_may_stand_first_or_last(world: &World) -> Outcome {
    let function = world.a()?;
    let key = format!("{KEY_HEADER}: {}", function.key);
    let line = format!("GET /function/{}/path?query=1 HTTP/1.1", function.name);
    let first = Request::line(&line).header(&key).header("Host: gateway");
    let last = Request::line(&line).header("Host: gateway").header(&key);
    let only = Request::line(&line).header(&key);
    for request in [first, last, only] {
        world.serves(world.route()?, &request)?;
    }
    Ok(())
}

fn the_key_headers_name_may_have_any_letter_case(world: &World) -> Outcome {
    let function = world.a()?;
    for name in [KEY_HEADER, "x-rsfaas-key", "X-RSFAAS-KEY", "x-RsFaAs-kEy"] {
        let request = Request::to(function).header(&format!("{name}: {}", function.key));
        world.serves(world.route()?, &request).during(name)?;
    }
    Ok(())
}

fn white_space_around_the_key_does_not_matter(world: &World) -> Outcome {
    let function = world.a()?;
    let key = &function.key;
    for value in [
        key.clone(),
        format!(" \t {key}"),
        format!("{key} \t"),
        format!("{:>60}{key}", ""),
    ] {
        let request = Request::to(function).header(&format!("{KEY_HEADER}:{value}"));
        world
            .serves(world.route()?, &request)
            .during(format!("{} bytes", value.len()))?;
    }
    Ok(())
}
