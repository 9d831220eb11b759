//! Segments that come again: the gateway reads each request once, and never the head as it was sent.
use nix::sys::signal::Signal;

use super::cases;
use crate::{
    check::{Outcome, check, eventually},
    http::Request,
    raw::{Peer, Shape},
    world::{World, expect_status, is_rewritten},
};

cases![
    a_head_sent_again_before_the_agent_looks_is_served_once,
    a_head_sent_again_during_the_unlock_is_served_once,
    a_head_sent_again_after_its_release_stays_hidden,
    a_head_sent_again_together_with_the_next_request_stays_hidden,
    a_head_sent_again_in_other_cuts_is_served_once,
    a_request_damaged_on_its_way_is_served_as_it_was_sent,
    a_request_whose_number_was_damaged_on_its_way_is_served_when_it_comes_again,
    a_request_sent_again_before_the_agent_sees_the_damage_is_sent_once_more,
    a_body_damaged_during_the_unlock_goes_on_as_it_was_sent,
    what_follows_the_damaged_start_of_a_head_comes_again_behind_it,
];

const STAMPED: Shape = Shape {
    time_stamps: true,
    vlan: None,
    ipv4_options: 0,
    ipv6_options: false,
    selective: false,
};

fn a_head_sent_again_before_the_agent_looks_is_served_once(world: &World) -> Outcome {
    let request = Request::keyed(world.a()?).body(b"once");
    let bytes = request.bytes();
    let mut peer = Peer::open(&world.scene, STAMPED)?;
    world.agent.signal(Signal::SIGSTOP)?;
    let sent = (0..5).try_for_each(|_| peer.send(0, &bytes));
    world.agent.signal(Signal::SIGCONT)?;
    sent?;
    expect_status(200, &peer.answer()?)?;
    peer.reset(bytes.len())?;
    is_rewritten(world.a()?, &request, &world.gateway.only(peer.address())?)
}

fn a_head_sent_again_during_the_unlock_is_served_once(world: &World) -> Outcome {
    world.agent.lock_all()?;
    let request = Request::keyed(world.a()?).body(b"once");
    let bytes = request.bytes();
    let mut peer = Peer::open(&world.scene, STAMPED)?;
    for _ in 0..20 {
        peer.send(0, &bytes)?;
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    expect_status(200, &peer.answer()?)?;
    peer.reset(bytes.len())?;
    is_rewritten(world.a()?, &request, &world.gateway.only(peer.address())?)
}

fn a_head_sent_again_after_its_release_stays_hidden(world: &World) -> Outcome {
    let request = Request::keyed(world.a()?).body(b"once");
    let bytes = request.bytes();
    let mut peer = Peer::open(&world.scene, STAMPED)?;
    peer.send(0, &bytes)?;
    peer.delivered(bytes.len())?;
    peer.send(0, &bytes)?;
    peer.send(10, &bytes[10..])?;
    expect_status(200, &peer.answer()?)?;
    peer.send(0, &bytes)?;
    // The connection is in order still.
    peer.send(bytes.len(), &bytes)?;
    expect_status(200, &peer.answer()?)?;
    peer.send(0, &bytes)?;
    peer.reset(bytes.len() * 2)?;
    let seen = world.gateway.seen(peer.address())?;
    check!(seen.len() == 2, "{} requests", seen.len());
    seen.iter()
        .try_for_each(|seen| is_rewritten(world.a()?, &request, seen))
}

fn a_head_sent_again_together_with_the_next_request_stays_hidden(world: &World) -> Outcome {
    let request = Request::keyed(world.a()?);
    let bytes = request.bytes();
    let mut peer = Peer::open(&world.scene, STAMPED)?;
    peer.send(0, &bytes)?;
    expect_status(200, &peer.answer()?)?;
    // As a stack does that has not seen the acknowledgement.
    let both = bytes.repeat(2);
    peer.send(20, &both[20..])?;
    expect_status(200, &peer.answer()?)?;
    peer.reset(both.len())?;
    let seen = world.gateway.seen(peer.address())?;
    check!(seen.len() == 2, "{} requests", seen.len());
    seen.iter()
        .try_for_each(|seen| is_rewritten(world.a()?, &request, seen))
}

fn a_head_sent_again_in_other_cuts_is_served_once(world: &World) -> Outcome {
    let request = Request::keyed(world.a()?).body(b"once");
    let bytes = request.bytes();
    let mut peer = Peer::open(&world.scene, STAMPED)?;
    for (from, to) in [(0, 30), (0, 60), (20, 90), (90, 100), (0, 120)] {
        peer.send(from, &bytes[from..to])?;
    }
    peer.send(50, &bytes[50..])?;
    peer.send(0, &bytes)?;
    expect_status(200, &peer.answer()?)?;
    for piece in [0..40, 40..80, 0..bytes.len()] {
        peer.send(piece.start, &bytes[piece])?;
    }
    peer.reset(bytes.len())?;
    is_rewritten(world.a()?, &request, &world.gateway.only(peer.address())?)
}

/// Sends segments, one of which is damaged on its way, before the agent looks, and has it look.
fn damage(world: &World, send: impl FnOnce() -> Outcome) -> Outcome {
    let before = world.agent.counter("frames_bad")?;
    world.agent.signal(Signal::SIGSTOP)?;
    let sent = send();
    world.agent.signal(Signal::SIGCONT)?;
    sent?;
    eventually("the agent to have seen the damage", || {
        Ok(world.agent.counter("frames_bad")? == before + 1)
    })
}

/// A request that is damaged on its way, and comes again as it was sent.
fn comes_again(world: &World, damaged: impl FnOnce(&Peer, &[u8]) -> Outcome) -> Outcome {
    let request = Request::keyed(world.a()?).body(b"once");
    let bytes = request.bytes();
    let mut peer = Peer::open(&world.scene, STAMPED)?;
    damage(world, || damaged(&peer, &bytes))?;
    peer.send(0, &bytes)?;
    expect_status(200, &peer.answer()?)?;
    peer.reset(bytes.len())?;
    is_rewritten(world.a()?, &request, &world.gateway.only(peer.address())?)
}

fn a_request_damaged_on_its_way_is_served_as_it_was_sent(world: &World) -> Outcome {
    comes_again(world, |peer, bytes| peer.send_damaged(0, bytes))
}

fn a_request_whose_number_was_damaged_on_its_way_is_served_when_it_comes_again(
    world: &World,
) -> Outcome {
    comes_again(world, |peer, bytes| peer.send_displaced(0, bytes))
}

fn a_request_sent_again_before_the_agent_sees_the_damage_is_sent_once_more(
    world: &World,
) -> Outcome {
    let request = Request::keyed(world.a()?);
    let bytes = request.bytes();
    let mut peer = Peer::open(&world.scene, STAMPED)?;
    let dropped = world.agent.counter("segments_dropped")?;
    damage(world, || {
        peer.send_damaged(0, &bytes)?;
        peer.send(0, &bytes)
    })?;
    // Served now, it would not come again, and the programs wait for it.
    eventually("the agent to leave it out", || {
        Ok(world.agent.counter("segments_dropped")? == dropped + 1)
    })?;
    for place in [0, bytes.len()] {
        peer.send(place, &bytes)?;
        expect_status(200, &peer.answer()?)?;
    }
    peer.reset(bytes.len() * 2)?;
    let seen = world.gateway.seen(peer.address())?;
    check!(seen.len() == 2, "{} requests", seen.len());
    seen.iter()
        .try_for_each(|seen| is_rewritten(world.a()?, &request, seen))
}

fn a_body_damaged_during_the_unlock_goes_on_as_it_was_sent(world: &World) -> Outcome {
    world.agent.lock_all()?;
    let request = Request::keyed(world.a()?).body(b"once");
    let bytes = request.bytes();
    let (head, body) = bytes.split_at(bytes.len() - 4);
    let mut peer = Peer::open(&world.scene, STAMPED)?;
    damage(world, || {
        peer.send(0, head)?;
        peer.send_damaged(head.len(), body)
    })?;
    peer.send(head.len(), body)?;
    expect_status(200, &peer.answer()?)?;
    peer.reset(bytes.len())?;
    is_rewritten(world.a()?, &request, &world.gateway.only(peer.address())?)
}

fn what_follows_the_damaged_start_of_a_head_comes_again_behind_it(world: &World) -> Outcome {
    let request = Request::keyed(world.a()?).body(b"once");
    let bytes = request.bytes();
    let (start, rest) = bytes.split_at(30);
    let mut peer = Peer::open(&world.scene, STAMPED)?;
    damage(world, || {
        peer.send_damaged(0, start)?;
        peer.send(30, rest)
    })?;
    let dropped = world.agent.counter("dropped_ring_full")?;
    peer.send(30, rest)?;
    peer.send(0, start)?;
    peer.delivered(30)?;
    check!(
        world.agent.counter("dropped_ring_full")? == dropped + 1,
        "it passed alone"
    );
    peer.send(30, rest)?;
    expect_status(200, &peer.answer()?)?;
    peer.reset(bytes.len())?;
    is_rewritten(world.a()?, &request, &world.gateway.only(peer.address())?)
}
