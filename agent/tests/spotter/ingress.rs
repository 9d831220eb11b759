//! What comes from the gateway, seen where it comes in: another program may send it on past every egress hook.
use rsfaas::spot::Event;

use crate::{
    packet::{FIN, KEYED, Packet},
    rig::{
        Hook, Rig,
        Verdict::{Hold as HOLD, Pass as PASS},
        flow_key,
    },
};

/// Behind [`KEYED`].
const END: u32 = Packet::SEQUENCE + KEYED.len() as u32;
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// Runs the program at ingress on what the gateway sends on a flow that the agent has, and of whose answer it wants to
/// know.
fn held_and_answered() -> Rig {
    let mut rig = Rig::new(Hook::Tc);
    rig.open();
    assert_eq!(rig.request(KEYED), HOLD);
    rig.flows.await_answer(&flow_key()).unwrap();
    assert_eq!(rig.spot(&Packet::answer(END, OK)), PASS);
    rig
}

/// What the agent is told behind the request.
fn told(rig: &mut Rig) -> Vec<Event> {
    let mut ring = rig.spotter.ring().unwrap();
    let mut told = Vec::new();
    while let Some(record) = ring.next() {
        told.push(Event::parse(&record).unwrap());
    }
    assert!(matches!(told.remove(0), Event::Held(_)));
    told
}

#[test]
fn the_answer_on_a_flow_of_the_agents_is_told() {
    let mut rig = held_and_answered();
    assert!(matches!(told(&mut rig)[..], [Event::Answer(..)]));
}

#[test]
fn an_answer_that_is_seen_at_egress_too_is_told_once() {
    let mut rig = held_and_answered();
    assert_eq!(rig.watch(&Packet::answer(END, OK)), PASS);
    assert!(matches!(told(&mut rig)[..], [Event::Answer(..)]));
}

#[test]
fn the_gateways_end_of_a_flow_of_the_agents_is_told() {
    let mut rig = held_and_answered();
    let end = Packet {
        flags: FIN,
        ..Packet::answer(END, b"")
    };
    assert_eq!(rig.spot(&end), PASS);
    assert!(matches!(
        told(&mut rig)[..],
        [Event::Answer(..), Event::ServerFin(_)]
    ));
}
