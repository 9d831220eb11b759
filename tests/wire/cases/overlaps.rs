//! Segments that overlap and do not agree: what the gateway's TCP makes of them is what the agent has judged.
use nix::sys::signal::Signal;

use super::cases;
use crate::{
    check::{During as _, Outcome, check},
    functions::{self, Function},
    http::{KEY_HEADER, Request},
    raw::{Peer, Shape},
    world::{World, expect_status, is_rewritten, unlocked_name},
};

cases![
    overlapping_segments_with_two_names_lead_where_the_key_does,
    overlapping_segments_with_two_keys_show_neither,
    overlapping_segments_with_two_lengths_hide_no_request,
    another_head_in_the_place_of_one_that_has_gone_on_is_not_read,
    another_body_in_the_place_of_one_that_has_come_hides_no_request,
    a_keyed_head_over_an_unsealed_functions_shows_no_key,
];

/// What is sent, and at which place.
type Pieces<'a> = [(usize, &'a [u8])];

/// Sends the pieces, then all of them again, as the client of a lossy network would.
fn send(peer: &Peer, pieces: &Pieces<'_>) -> Outcome {
    pieces
        .iter()
        .chain(pieces)
        .try_for_each(|(place, bytes)| peer.send(*place, bytes))
}

/// Sends the pieces in either order, while the agent looks and while it does not.
fn in_every_order(
    world: &World,
    pieces: &Pieces<'_>,
    check: impl Fn(&mut Peer) -> Outcome,
) -> Outcome {
    let reversed: Vec<_> = pieces.iter().rev().copied().collect();
    for (order, pieces) in [("in order", pieces), ("reversed", &reversed)] {
        for halted in [false, true] {
            let mut peer = Peer::open(&world.scene, Shape::default())?;
            if halted {
                world.agent.signal(Signal::SIGSTOP)?;
            }
            let sent = send(&peer, pieces);
            if halted {
                world.agent.signal(Signal::SIGCONT)?;
            }
            sent?;
            check(&mut peer).during(format!("{order}, agent halted: {halted}"))?;
        }
    }
    Ok(())
}

/// All that the gateway's socket has read holds no key; nor was another container called than this function's.
fn is_safe(world: &World, function: &Function, peer: &Peer) -> Outcome {
    let everything = world.recording.everything();
    let read = everything
        .iter()
        .rfind(|(address, _)| *address == peer.address());
    let read = read.map_or_else(String::new, |(_, bytes)| {
        String::from_utf8_lossy(bytes).to_ascii_lowercase()
    });
    check!(
        !read.contains(&KEY_HEADER.to_ascii_lowercase()),
        "a key is there:\n{read}"
    );
    for seen in world.gateway.seen(peer.address())? {
        let own = unlocked_name(function, &seen.path).is_some();
        let is_locked = functions::ALL
            .iter()
            .any(|name| seen.path == format!("/function/{name}"));
        check!(own || is_locked, "led to {}:\n{read}", seen.path);
    }
    Ok(())
}

/// The answer is one of these, and what was read is safe.
fn is_answered(
    world: &World,
    function: &Function,
    peer: &mut Peer,
    end: usize,
    statuses: &[u16],
) -> Outcome {
    let status = peer.answer()?.status;
    peer.reset(end)?;
    is_safe(world, function, peer)?;
    check!(statuses.contains(&status), "answered with {status}");
    Ok(())
}

fn overlapping_segments_with_two_names_lead_where_the_key_does(world: &World) -> Outcome {
    let (a, b) = (world.function(functions::A)?, world.function(functions::B)?);
    let with_key = |target: &Function| {
        let key = format!("{KEY_HEADER}: {}", a.key);
        Request::to(target).header(&key).body(b"once").bytes()
    };
    let (right, wrong) = (with_key(a), with_key(b));
    let name = right
        .windows(a.name.len())
        .position(|text| text == a.name.as_bytes());
    let behind = name.unwrap_or_default() + a.name.len();
    for (first, second) in [(&right, &wrong), (&wrong, &right)] {
        for (cut, from) in [(behind, 0), (behind + 4, 10), (first.len() - 8, behind - 1)] {
            let pieces = [(0, &first[..cut]), (from, &second[from..])];
            in_every_order(world, &pieces, |peer| {
                is_answered(world, a, peer, right.len(), &[200, 423])
            })
            .during(format!("cut at {cut}, again from {from}"))?;
        }
    }
    Ok(())
}

fn overlapping_segments_with_two_keys_show_neither(world: &World) -> Outcome {
    let (a, b) = (world.function(functions::A)?, world.function(functions::B)?);
    let with_key = |key: &str| {
        let key = format!("{KEY_HEADER}: {key}");
        Request::to(a).header(&key).body(b"once").bytes()
    };
    let (right, wrong) = (with_key(&a.key), with_key(&b.key));
    let head = right.len() - "Content-Length: 4\r\n\r\nonce".len();
    for (first, second) in [(&right, &wrong), (&wrong, &right)] {
        // Behind the key, in it, and before it.
        for (cut, from) in [(head, head - 70), (head - 30, head - 60), (60, 20)] {
            let pieces = [(0, &first[..cut]), (from, &second[from..])];
            in_every_order(world, &pieces, |peer| {
                is_answered(world, a, peer, right.len(), &[200, 423])
            })
            .during(format!("cut at {cut}, again from {from}"))?;
        }
    }
    Ok(())
}

/// Were the agent's length not the gateway's, one of them would take the body's end for a request.
fn overlapping_segments_with_two_lengths_hide_no_request(world: &World) -> Outcome {
    let (a, b) = (world.function(functions::A)?, world.function(functions::B)?);
    let inner = Request::to(b).bytes();
    let with_length = |length: usize| {
        let length = format!("Content-Length: {length:03}");
        [&Request::keyed(a).header(&length).head(), inner.as_slice()].concat()
    };
    let (long, short) = (with_length(inner.len()), with_length(0));
    let head = long.len() - inner.len();
    for (first, second, requests) in [(&long, &short, 1), (&short, &long, 2)] {
        let pieces = [(0, &first[..head]), (head - 20, &second[head - 20..])];
        for halted in [false, true] {
            let mut peer = Peer::open(&world.scene, Shape::default())?;
            if halted {
                world.agent.signal(Signal::SIGSTOP)?;
            }
            let sent = send(&peer, &pieces);
            if halted {
                world.agent.signal(Signal::SIGCONT)?;
            }
            sent?;
            expect_status(200, &peer.answer()?)?;
            if requests == 2 {
                expect_status(423, &peer.answer()?)?;
            }
            // What comes next is a request for both.
            let next = Request::keyed(a).body(b"next");
            peer.send(long.len(), &next.bytes())?;
            expect_status(200, &peer.answer()?)?;
            peer.reset(long.len() + next.bytes().len())?;
            is_safe(world, a, &peer)?;
            let seen = world.gateway.seen(peer.address())?;
            check!(seen.len() == requests + 1, "{} requests", seen.len());
            is_rewritten(a, &next, &seen[requests])?;
        }
    }
    Ok(())
}

fn another_head_in_the_place_of_one_that_has_gone_on_is_not_read(world: &World) -> Outcome {
    let (a, b) = (world.function(functions::A)?, world.function(functions::B)?);
    let (request, other) = (
        Request::keyed(a).body(b"once"),
        Request::keyed(b).body(b"more"),
    );
    let (bytes, others) = (request.bytes(), other.bytes());
    let mut peer = Peer::open(&world.scene, Shape::default())?;
    peer.send(0, &bytes)?;
    peer.delivered(bytes.len())?;
    for place in [0, 1, 10, bytes.len() - 6] {
        peer.send(place, &others[place..])?;
    }
    expect_status(200, &peer.answer()?)?;
    // The other one's end together with what comes next.
    let next = [&others[40..], &bytes].concat();
    peer.send(40, &next)?;
    expect_status(200, &peer.answer()?)?;
    peer.reset(2 * bytes.len())?;
    is_safe(world, a, &peer)?;
    let seen = world.gateway.seen(peer.address())?;
    check!(seen.len() == 2, "{} requests", seen.len());
    seen.iter()
        .try_for_each(|seen| is_rewritten(a, &request, seen))
}

/// Bodies go past the agent. Which of two the gateway reads is its TCP's affair; its length is the head's.
fn another_body_in_the_place_of_one_that_has_come_hides_no_request(world: &World) -> Outcome {
    let a = world.a()?;
    let inner = Request::to(world.function(functions::B)?).bytes();
    let request = Request::keyed(a).body(&inner);
    let bytes = request.bytes();
    let head = request.head().len();
    let mut peer = Peer::open(&world.scene, Shape::default())?;
    peer.send(0, &bytes[..head])?;
    peer.delivered(head)?;
    let next = Request::keyed(a).body(b"next");
    let filling = vec![b'.'; inner.len()];
    // Ahead of its turn, then from the start on, beyond the body's end.
    peer.send(head + 10, &filling[10..])?;
    peer.send(head, &[inner.as_slice(), &next.bytes()].concat())?;
    for _ in 0..2 {
        expect_status(200, &peer.answer()?)?;
    }
    peer.reset(bytes.len() + next.bytes().len())?;
    is_safe(world, a, &peer)?;
    let seen = world.gateway.seen(peer.address())?;
    check!(seen.len() == 2, "{} requests", seen.len());
    check!(seen[0].body.len() == inner.len(), "the body was changed");
    is_rewritten(a, &next, &seen[1])
}

/// The first goes past the agent, and is what the gateway's TCP has.
fn a_keyed_head_over_an_unsealed_functions_shows_no_key(world: &World) -> Outcome {
    let a = world.a()?;
    let keyed = Request::keyed(a).body(b"once").bytes();
    let line = "POST /function/unsealed HTTP/1.1";
    let filled = Request::line(line).padded(keyed.len() + 2).bytes();
    for cut in [line.len() + "\r\nX-Fill: ".len(), 60, keyed.len() - 30] {
        let mut peer = Peer::open(&world.scene, Shape::default())?;
        peer.send(0, &filled[..cut])?;
        peer.delivered(cut)?;
        peer.send(0, &keyed)?;
        let answer = peer.answer().during(format!("cut at {cut}"))?;
        expect_status(404, &answer)?;
        peer.reset(keyed.len())?;
        let seen = world.gateway.only(peer.address())?;
        let read = String::from_utf8_lossy(&seen.head).to_ascii_lowercase();
        check!(!read.contains(&a.key), "the key is there:\n{read}");
        check!(seen.path == "/function/unsealed", "led to {}", seen.path);
    }
    Ok(())
}
