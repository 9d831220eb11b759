//! What follows a change of protocol is no HTTP, whatever it looks like.
use crate::{
    packet::{KEYED, Packet},
    rig::{
        Rig,
        Verdict::{Hold as HOLD, Pass as PASS},
        flow_key,
    },
};

at_each_hook! {
    what_follows_a_change_of_protocol_starts_no_request,
    what_follows_an_answer_that_changes_nothing_starts_a_request,
    a_change_of_protocol_on_a_flow_that_the_agent_has_not_let_go_of_is_none,
}

const SWITCHES: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
/// Behind the first request.
const NEXT: u32 = Packet::SEQUENCE + KEYED.len() as u32;

fn next(payload: &str) -> Packet {
    Packet {
        sequence: NEXT,
        ..Packet::of(payload.as_bytes())
    }
}

/// The agent has judged a request by its head, and what follows is not to be looked at.
fn let_go(rig: &mut Rig) {
    rig.open();
    assert_eq!(rig.request(KEYED), HOLD);
    rig.flows.set_opaque(&flow_key()).unwrap();
}

fn what_follows_a_change_of_protocol_starts_no_request(mut rig: Rig) {
    let_go(&mut rig);
    rig.answer(NEXT, SWITCHES);
    for text in ["tick", KEYED, "POST /func"] {
        assert_eq!(rig.spot(&next(text)), PASS, "{text}");
    }
    // Not even where nothing has happened for so long that the agent has forgotten it.
    rig.forget();
    assert_eq!(rig.spot(&next(KEYED)), PASS);
    // Another connection between the same ports is another matter.
    rig.open();
    assert_eq!(rig.request(KEYED), HOLD);
}

fn what_follows_an_answer_that_changes_nothing_starts_a_request(mut rig: Rig) {
    let_go(&mut rig);
    rig.answer(NEXT, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(rig.spot(&next("tick")), HOLD);
}

/// A function whose answer comes before its request's body may write anything where an answer could begin.
fn a_change_of_protocol_on_a_flow_that_the_agent_has_not_let_go_of_is_none(mut rig: Rig) {
    // One that it never had, and one that it follows.
    for request in ["POST /function/other HTTP/1.1\r\n\r\n", KEYED] {
        rig.open();
        rig.request(request);
        rig.answer(NEXT, SWITCHES);
        if request == KEYED {
            rig.forget();
        }
        assert_eq!(rig.spot(&next(KEYED)), HOLD, "{request}");
        rig.forget();
    }
}
