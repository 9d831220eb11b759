//! What follows a keyed head arrives byte for byte, whatever it looks like.
use std::{thread, time::Duration};

use nix::sys::signal::Signal;

use super::cases;
use crate::{
    check::{During as _, Outcome, eventually},
    client::Client,
    functions::Function,
    http::Request,
    raw::{Peer, Shape},
    world::{World, expect_status, is_rewritten},
};

cases![
    a_body_of_known_length_arrives,
    a_body_in_chunks_arrives,
    a_body_in_chunks_cut_after_any_byte_arrives,
    a_body_in_chunks_that_pauses_within_its_framing_arrives,
    a_body_that_waits_to_be_asked_for_arrives,
    an_upload_of_ten_mebibytes_arrives,
    reordered_segments_arrive_in_order,
    an_upload_whose_segments_are_shuffled_arrives,
    a_request_whose_first_segment_was_lost_arrives,
    segments_held_out_of_order_need_not_be_sent_again,
    duplicated_segments_arrive_once,
    overlapping_segments_arrive_once,
];

/// Asks whether the body may come, which waits for the answer.
pub(super) const EXPECTS: &str = "Expect: 100-continue";

/// Bytes that do not repeat in step with any segment size.
pub(super) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    let mut next = || {
        // xorshift (Marsaglia 2003)
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

fn a_body_of_known_length_arrives(world: &World) -> Outcome {
    for length in [0, 1, 100, 1460, 5000, 100_000] {
        let request = Request::keyed(world.a()?).body(&noise(length));
        world
            .serves(world.route()?, &request)
            .during(format!("{length} bytes"))?;
    }
    Ok(())
}

fn a_body_in_chunks_arrives(world: &World) -> Outcome {
    let body = noise(300_000);
    for size in [7, 1000, 65_536] {
        let body = &body[..body.len().min(size * 1000)];
        let request = Request::keyed(world.a()?).chunks(body.chunks(size));
        world
            .serves(world.route()?, &request)
            .during(format!("chunks of {size} bytes"))?;
    }
    Ok(())
}

fn a_body_in_chunks_cut_after_any_byte_arrives(world: &World) -> Outcome {
    let function = world.a()?;
    let request = Request::keyed(function).chunks([b"hello".as_slice(), b", ", b"world"]);
    let bytes = request.bytes();
    for cut in request.head().len()..bytes.len() {
        let (first, second) = bytes.split_at(cut);
        world
            .is_served(world.route()?, function, &request, [first, second])
            .during(format!("cut after {cut} of {} bytes", bytes.len()))?;
    }
    Ok(())
}

/// Long enough for the client's TCP to send again what was not acknowledged; it sends nothing new before that is.
fn a_body_in_chunks_that_pauses_within_its_framing_arrives(world: &World) -> Outcome {
    let function = world.a()?;
    let request = Request::keyed(function).chunks([b"hello".as_slice()]);
    let (bytes, head) = (request.bytes(), request.head().len());
    // In the size line, behind its carriage return, in the last line.
    for cut in [head + 1, head + 2, bytes.len() - 1] {
        let mut client = Client::open(world.route()?)?;
        client.write(&bytes[..head])?;
        client.write(&bytes[head..cut])?;
        thread::sleep(Duration::from_millis(600));
        client.write(&bytes[cut..])?;
        expect_status(200, &client.answer()?).during(format!("cut after {cut} bytes"))?;
        is_rewritten(function, &request, &world.gateway.only(client.address()?)?)?;
    }
    Ok(())
}

fn a_body_that_waits_to_be_asked_for_arrives(world: &World) -> Outcome {
    let function = world.a()?;
    let body = noise(20_000);
    let request = Request::keyed(function).header(EXPECTS).body(&body);
    let mut client = Client::open(world.route()?)?;
    client.write(&request.head())?;
    expect_status(100, &client.answer()?)?;
    client.write(&body)?;
    expect_status(200, &client.answer()?)?;
    is_rewritten(function, &request, &world.gateway.only(client.address()?)?)
}

fn an_upload_of_ten_mebibytes_arrives(world: &World) -> Outcome {
    let body = noise(10 << 20);
    let function = world.a()?;
    world.serves(world.route()?, &Request::keyed(function).body(&body))?;
    let chunked = Request::keyed(function).chunks(body.chunks(40_000));
    world.serves(world.route()?, &chunked)
}

/// Segments, each with its place.
type Segments<'a> = [(usize, &'a [u8])];

/// A request with a body of known length, and with the same one in chunks.
pub(super) fn with_body(request: &Request, chunks: &[&[u8]]) -> [Request; 2] {
    [
        request.clone().body(&chunks.concat()),
        request.clone().chunks(chunks.iter().copied()),
    ]
}

/// A keyed request with such bodies.
fn keyed_with(function: &Function, body: &[u8]) -> [Request; 2] {
    with_body(
        &Request::keyed(function),
        &body.chunks(90).collect::<Vec<_>>(),
    )
}

/// Sends a short body in short segments, those behind the first in an order of its own.
fn arrives(world: &World, order: impl Fn(&mut Peer, &Segments<'_>) -> Outcome) -> Outcome {
    arrives_in(world, &noise(1000), 100, order)
}

/// The same of any body, and segments of any length: together with the head, and once it is asked for.
fn arrives_in(
    world: &World,
    body: &[u8],
    length: usize,
    order: impl Fn(&mut Peer, &Segments<'_>) -> Outcome,
) -> Outcome {
    let function = world.a()?;
    for request in keyed_with(function, body) {
        let asking = request.clone().header(EXPECTS);
        let head = asking.head().len();
        for (request, first, asks) in [(request, length, false), (asking, head, true)] {
            let bytes = request.bytes();
            let (start, rest) = bytes.split_at(first);
            let segments: Vec<(usize, &[u8])> = rest
                .chunks(length)
                .enumerate()
                .map(|(index, bytes)| (first + index * length, bytes))
                .collect();
            let mut peer = Peer::open(&world.scene, Shape::default())?;
            peer.send(0, start)?;
            if asks {
                expect_status(100, &peer.answer()?)?;
            }
            order(&mut peer, &segments)?;
            expect_status(200, &peer.answer()?).during(format!("asks for it: {asks}"))?;
            peer.reset(bytes.len())?;
            is_rewritten(function, &request, &world.gateway.only(peer.address())?)?;
        }
    }
    Ok(())
}

fn reordered_segments_arrive_in_order(world: &World) -> Outcome {
    arrives(world, |peer, segments| {
        segments
            .iter()
            .rev()
            .try_for_each(|(place, bytes)| peer.send(*place, bytes))
    })?;
    arrives(world, |peer, segments| {
        // In pairs that have changed places.
        segments
            .chunks(2)
            .flat_map(|pair| pair.iter().rev())
            .try_for_each(|(place, bytes)| peer.send(*place, bytes))
    })
}

/// Segments that come in an order of their own before the next ones do: the gateway's TCP drops what it has no room for,
/// and this client does not send it again.
const SHUFFLED: usize = 10;

fn an_upload_whose_segments_are_shuffled_arrives(world: &World) -> Outcome {
    arrives_in(world, &noise(200_000), 1460, |peer, segments| {
        let order = noise(segments.len());
        let mut segments: Vec<_> = order.iter().zip(segments).collect();
        for part in segments.chunks_mut(SHUFFLED) {
            let (_, (place, bytes)) = part[part.len() - 1];
            let end = place + bytes.len();
            part.sort();
            for (_, (place, bytes)) in part {
                peer.send(*place, bytes)?;
            }
            peer.delivered(end)?;
            eventually("the gateway to make room", || {
                Ok(world.gateway.has_read(peer.address()) >= end)
            })?;
        }
        Ok(())
    })
}

/// Where the network loses the first segment, or it is overtaken, what came before it is sent again behind it.
fn a_request_whose_first_segment_was_lost_arrives(world: &World) -> Outcome {
    let function = world.a()?;
    for request in keyed_with(function, &noise(1000)) {
        let bytes = request.bytes();
        let mut peer = Peer::open(&world.scene, Shape::default())?;
        let segments: Vec<_> = bytes.chunks(50).enumerate().collect();
        for (index, segment) in segments[1..].iter().chain(&segments) {
            peer.send(index * 50, segment)?;
        }
        expect_status(200, &peer.answer()?)?;
        peer.reset(bytes.len())?;
        is_rewritten(function, &request, &world.gateway.only(peer.address())?)?;
    }
    Ok(())
}

/// While the agent is halted it holds all that comes: the head, and every other segment of the body.
fn segments_held_out_of_order_need_not_be_sent_again(world: &World) -> Outcome {
    let function = world.a()?;
    let request = Request::keyed(function).body(&noise(2000));
    let bytes = request.bytes();
    let head = request.head().len();
    let mut peer = Peer::open(&world.scene, Shape::default())?;
    let segments: Vec<_> = (head..bytes.len()).step_by(100).collect();
    let send = |peer: &Peer, even: bool| {
        segments
            .iter()
            .enumerate()
            .filter(|(index, _)| (index % 2 == 0) == even)
            .try_for_each(|(_, place)| peer.send(*place, &bytes[*place..place + 100]))
    };
    world.agent.signal(Signal::SIGSTOP)?;
    let sent = peer
        .send(0, &bytes[..head])
        .and_then(|()| send(&peer, false));
    world.agent.signal(Signal::SIGCONT)?;
    sent?;
    peer.delivered(head)?;
    send(&peer, true)?;
    expect_status(200, &peer.answer()?)?;
    peer.reset(bytes.len())?;
    is_rewritten(function, &request, &world.gateway.only(peer.address())?)
}

fn duplicated_segments_arrive_once(world: &World) -> Outcome {
    arrives(world, |peer, segments| {
        segments.iter().try_for_each(|(place, bytes)| {
            peer.send(*place, bytes)?;
            peer.send(*place, bytes)
        })
    })
}

fn overlapping_segments_arrive_once(world: &World) -> Outcome {
    arrives(world, |peer, segments| {
        for pair in segments.windows(2) {
            // The end of one and all of the next.
            let (place, first) = pair[0];
            let bytes = [&first[60..], pair[1].1].concat();
            peer.send(place, first)?;
            peer.send(place + 60, &bytes)?;
        }
        Ok(())
    })
}
