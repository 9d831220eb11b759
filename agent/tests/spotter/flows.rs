//! What the place in its flow says of a segment.
use agent_ebpf::{Awaited, FlowState, HeldPlace};
use aya::maps::{MapData, RingBuf};
use rsfaas::spot::Event;

use crate::{
    packet::{FIN, KEYED, Packet, RST, SYN, SYN_ACK},
    rig::{
        Rig,
        Verdict::{Hold as HOLD, Pass as PASS},
        flow_key,
    },
};

at_each_hook! {
    a_flow_that_starts_with_a_very_long_method_is_held,
    the_first_segment_of_a_flow_is_held_at_every_cut_until_the_key_can_be_ruled_out,
    line_ends_alone_before_a_flows_first_request_are_held,
    bytes_in_the_middle_of_a_flow_that_could_start_a_request_pass,
    later_segments_of_a_held_flow_are_held_but_for_those_in_the_window,
    a_flow_that_the_agent_has_let_go_of_is_judged_again_where_a_request_starts,
    ends_of_flows_always_pass,
    a_client_is_seen_where_it_acknowledges_something_new,
    what_the_gateway_sends_does_not_keep_a_vanished_client,
    the_agent_is_told_once_of_an_answer_that_it_waits_for,
    an_answer_of_which_the_agent_need_not_know_is_noted_and_not_told,
    an_interim_answer_answers_nothing_but_a_change_of_protocol_does,
    the_agent_is_told_of_a_failure_on_a_flow_that_it_has,
    what_is_awaited_stays_where_the_window_moves,
    where_the_gateway_has_answered_the_start_of_a_request_line_is_held,
    an_interim_answer_does_not_end_a_request,
    what_comes_before_the_gateway_has_answered_is_told_apart,
    the_agent_is_told_of_what_follows_and_whether_all_before_it_is_answered,
    a_window_ends_once_what_lies_in_it_has_been_answered,
    a_byte_that_keeps_an_idle_connection_alive_is_no_sign_of_the_client,
    a_fin_on_a_held_segment_is_noted,
    what_is_known_of_a_flow_stays_when_the_agent_has_it_again,
    an_answer_that_brings_the_gateways_fin_is_noted_before_that,
    what_comes_before_the_start_of_its_request_comes_again_behind_it,
    what_follows_a_start_for_which_the_table_of_flows_had_no_room_comes_again_behind_it,
    where_a_start_was_not_seen_nothing_waits_for_it,
    a_head_that_comes_again_when_it_was_answered_gives_the_agent_no_flow,
    a_head_that_comes_again_while_it_is_held_is_held,
    a_connection_that_is_accepted_again_undoes_nothing,
    a_new_connection_between_the_same_ports_ends_the_one_that_the_agent_has,
    a_reset_ends_a_flow_where_the_client_is_and_nowhere_else,
    a_reset_with_text_ends_a_flow_and_is_no_part_of_the_stream,
    what_a_syn_brings_gives_the_agent_no_flow,
    a_fin_beside_a_syn_ends_nothing,
    silent_flows_are_told_from_those_of_which_something_was_seen,
    a_request_that_names_an_unlocked_function_is_one_wherever_it_stands,
    what_goes_on_with_a_request_is_held_where_the_next_may_be_inside,
    of_a_flow_older_than_the_programs_what_starts_no_request_may_have_one_inside,
    what_comes_behind_a_whole_request_is_the_next_one_before_that_is_answered,
    a_head_inside_of_a_body_ends_no_request,
    a_flow_is_left_with_an_answer_if_no_more_of_it_has_come,
    the_next_request_is_found_wherever_it_stands_in_such_a_segment,
}

fn a_flow_that_starts_with_a_very_long_method_is_held(mut rig: Rig) {
    rig.open();
    let head = format!(
        "{} /function/pydict-abc123-0 HTTP/1.1\r\n\r\n",
        "A".repeat(40)
    );
    assert_eq!(rig.request(&head), HOLD);
}

fn the_first_segment_of_a_flow_is_held_at_every_cut_until_the_key_can_be_ruled_out(mut rig: Rig) {
    for cut in 1..KEYED.len() {
        rig.open();
        assert_eq!(rig.request(&KEYED[..cut]), HOLD, "cut at {cut}");
        rig.forget();
    }
}

fn line_ends_alone_before_a_flows_first_request_are_held(mut rig: Rig) {
    for bytes in ["\r", "\n", "\r\n\r\n"] {
        rig.open();
        assert_eq!(rig.request(bytes), HOLD, "{bytes:?}");
        rig.forget();
    }
}

fn bytes_in_the_middle_of_a_flow_that_could_start_a_request_pass(mut rig: Rig) {
    assert_eq!(rig.request("POST"), PASS);
    assert_eq!(rig.request("G"), PASS);
}

fn later_segments_of_a_held_flow_are_held_but_for_those_in_the_window(mut rig: Rig) {
    assert_eq!(rig.request(KEYED), HOLD);
    let body = Packet {
        sequence: 2000,
        ..Packet::of(b"body")
    };
    assert_eq!(rig.spot(&body), HOLD);
    assert_eq!(rig.count("held_flow"), 1);
    let flow = flow_key();
    rig.flows.move_window(&flow, (2000, 2004)).unwrap();
    assert_eq!(rig.spot(&body), PASS);
    assert_eq!(rig.request(KEYED), HOLD, "a retransmission of the head");
    rig.flows.remove(&flow).unwrap();
    assert_eq!(rig.spot(&body), PASS, "the flow is no longer ours");
}

fn a_flow_that_the_agent_has_let_go_of_is_judged_again_where_a_request_starts(mut rig: Rig) {
    let flow = flow_key();
    rig.flows.set_opaque(&flow).unwrap();
    assert_eq!(rig.request("\u{81}frame"), PASS);
    assert_eq!(rig.request(KEYED), HOLD);
    assert_eq!(rig.request("\u{81}frame"), HOLD, "the agent has it again");
}

fn ends_of_flows_always_pass(mut rig: Rig) {
    assert_eq!(rig.request(KEYED), HOLD);
    assert_eq!(
        rig.spot(&Packet {
            flags: FIN,
            ..Packet::of(b"")
        }),
        PASS
    );
    assert_eq!(rig.watch(&Packet::answer(1000, b"")), PASS);
}

const KEYLESS: &str = "POST /function/pydict HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// A segment behind [`KEYLESS`].
fn behind(payload: &str) -> Packet {
    Packet {
        sequence: Packet::SEQUENCE + u32::try_from(KEYLESS.len()).unwrap(),
        ..Packet::of(payload.as_bytes())
    }
}

/// Where the agent is told that a segment stands.
fn place(rig: &mut Rig, ring: &mut RingBuf<MapData>, packet: &Packet) -> HeldPlace {
    assert_eq!(rig.spot(packet), HOLD);
    let record = ring.next().expect("nothing is told");
    let Ok(Event::Held(held)) = Event::parse(&record) else {
        panic!("no held frame");
    };
    held.place
}

/// Whether the agent is told that the gateway owes an answer.
fn is_unanswered(rig: &mut Rig, ring: &mut RingBuf<MapData>, packet: &Packet) -> bool {
    place(rig, ring, packet).is_unanswered
}

fn the_agent_is_told_of_what_follows_and_whether_all_before_it_is_answered(mut rig: Rig) {
    rig.open();
    let mut ring = rig.spotter.ring().unwrap();
    let first = place(&mut rig, &mut ring, &Packet::of(KEYED.as_bytes()));
    assert!(first.is_answered && !first.is_further);
    let next = Packet {
        sequence: END,
        ..Packet::of(KEYED.as_bytes())
    };
    let ahead = place(&mut rig, &mut ring, &next);
    assert!(!ahead.is_answered && ahead.is_further);
    rig.answer(END, OK);
    let behind = place(&mut rig, &mut ring, &next);
    assert!(behind.is_answered && behind.is_further);
}

fn a_window_ends_once_what_lies_in_it_has_been_answered(mut rig: Rig) {
    rig.open();
    assert_eq!(rig.request(KEYED), HOLD);
    rig.flows.move_window(&flow_key(), (END, END + 4)).unwrap();
    rig.answer(END + 2, OK);
    let passes = |rig: &Rig| {
        let known = rig.flows.get(&flow_key()).unwrap().unwrap();
        known.passes(END, 4)
    };
    assert!(passes(&rig), "some of it is to come");
    rig.answer(END + 4, OK);
    assert!(!passes(&rig), "sequence numbers come round");
}

fn a_byte_that_keeps_an_idle_connection_alive_is_no_sign_of_the_client(mut rig: Rig) {
    rig.open();
    assert_eq!(rig.request(KEYED), HOLD);
    rig.answer(END, OK);
    let before = last_seen(&rig);
    let probe = Packet {
        sequence: END - 1,
        ..Packet::of(b"x")
    };
    rig.spot(&probe);
    assert_eq!(last_seen(&rig), before);
}

fn a_fin_on_a_held_segment_is_noted(mut rig: Rig) {
    rig.open();
    let last = Packet {
        flags: FIN,
        ..Packet::of(KEYED.as_bytes())
    };
    assert_eq!(rig.spot(&last), HOLD);
    rig.flows.await_answer(&flow_key()).unwrap();
    let known = rig.flows.get(&flow_key()).unwrap().unwrap();
    assert_eq!(known.finished, 1);
}

fn what_is_known_of_a_flow_stays_when_the_agent_has_it_again(mut rig: Rig) {
    rig.open();
    let last = Packet {
        flags: FIN,
        ..Packet::of(KEYED.as_bytes())
    };
    assert_eq!(rig.spot(&last), HOLD);
    rig.answer(END, OK);
    let before = answered(&rig);
    assert!(before > 0);
    rig.flows.set_opaque(&flow_key()).unwrap();
    let next = Packet {
        sequence: END,
        ..Packet::of(KEYED.as_bytes())
    };
    assert_eq!(rig.spot(&next), HOLD);
    let known = rig.flows.get(&flow_key()).unwrap().unwrap();
    assert_eq!(known.state, FlowState::Owned as u32);
    assert_eq!((known.answered, known.finished), (before, 1));
}

fn an_answer_that_brings_the_gateways_fin_is_noted_before_that(mut rig: Rig) {
    rig.open();
    assert_eq!(rig.request(KEYED), HOLD);
    rig.flows.await_answer(&flow_key()).unwrap();
    let last = Packet {
        flags: FIN,
        ..Packet::answer(END, OK.as_bytes())
    };
    assert_eq!(rig.watch(&last), PASS);
    assert!(answered(&rig) > 0);
    let mut ring = rig.spotter.ring().unwrap();
    let mut told = Vec::new();
    while let Some(record) = ring.next() {
        told.push(Event::parse(&record).unwrap());
    }
    assert!(matches!(
        told[..],
        [Event::Held(_), Event::Answer(..), Event::ServerFin(_)]
    ));
}

fn where_the_gateway_has_answered_the_start_of_a_request_line_is_held(mut rig: Rig) {
    rig.open();
    assert_eq!(rig.request(KEYLESS), PASS);
    let start = behind("POST /fun");
    assert_eq!(rig.spot(&start), PASS, "nothing was answered");
    rig.answer(start.sequence, OK);
    assert_eq!(rig.spot(&start), HOLD);
}

fn an_interim_answer_does_not_end_a_request(mut rig: Rig) {
    rig.open();
    assert_eq!(rig.request(KEYLESS), PASS);
    let start = behind("POST /fun");
    rig.answer(start.sequence, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(rig.spot(&start), PASS);
}

fn what_comes_before_the_gateway_has_answered_is_told_apart(mut rig: Rig) {
    rig.open();
    assert_eq!(rig.request(KEYLESS), PASS);
    let keyed = behind(KEYED);
    let mut ring = rig.spotter.ring().unwrap();
    assert!(is_unanswered(&mut rig, &mut ring, &keyed));
    rig.forget();
    rig.answer(keyed.sequence, OK);
    assert!(!is_unanswered(&mut rig, &mut ring, &keyed));
}

fn what_comes_before_the_start_of_its_request_comes_again_behind_it(mut rig: Rig) {
    let (start, rest) = KEYED.split_at(20);
    let rest_at = |sequence: u32| Packet {
        sequence: sequence + 20,
        ..Packet::of(rest.as_bytes())
    };
    rig.open();
    assert_eq!(rig.spot(&rest_at(Packet::SEQUENCE)), HOLD);
    assert_eq!(rig.count("dropped_early"), 1);
    assert!(rig.flows.get(&flow_key()).unwrap().is_none());
    assert_eq!(rig.request(start), HOLD);
    assert_eq!(rig.spot(&rest_at(Packet::SEQUENCE)), HOLD);
    assert_eq!(rig.count("held_flow"), 1);

    // The same behind an answer.
    rig.forget();
    rig.answer(END, OK);
    assert_eq!(rig.spot(&rest_at(END)), HOLD);
    assert_eq!(rig.count("dropped_early"), 2);
}

fn what_follows_a_start_for_which_the_table_of_flows_had_no_room_comes_again_behind_it(
    mut rig: Rig,
) {
    let other = |number: u32| {
        let mut key = flow_key();
        key.source[..4].copy_from_slice(&number.to_be_bytes());
        key
    };
    let mut others = (1..).map(other);
    while let Some(other) = others.next()
        && rig.flows.set_opaque(&other).is_ok()
    {}
    let (start, rest) = KEYED.split_at(20);
    let rest = Packet {
        sequence: Packet::SEQUENCE + 20,
        ..Packet::of(rest.as_bytes())
    };
    rig.open();
    for dropped in 1..3 {
        assert_eq!(rig.request(start), HOLD);
        assert_eq!(rig.count("dropped_flows_full"), dropped);
        assert_eq!(rig.spot(&rest), HOLD);
        assert_eq!(rig.count("dropped_early"), dropped);
    }
    rig.flows.remove(&other(1)).unwrap();
    assert_eq!(rig.request(start), HOLD);
    assert_eq!(rig.spot(&rest), HOLD);
    assert_eq!(rig.count("held_flow"), 1);
}

fn where_a_start_was_not_seen_nothing_waits_for_it(mut rig: Rig) {
    assert_eq!(
        rig.spot(&behind("body")),
        PASS,
        "nothing is known of the flow"
    );
    rig.answer(Packet::SEQUENCE, OK);
    assert_eq!(
        rig.spot(&behind("body")),
        PASS,
        "nor of what came before the answer"
    );
    assert_eq!(rig.count("dropped_early"), 0);
}

fn a_head_that_comes_again_when_it_was_answered_gives_the_agent_no_flow(mut rig: Rig) {
    rig.open();
    assert_eq!(rig.request(KEYED), HOLD);
    rig.answer(END, OK);
    assert_eq!(rig.request(KEYED), HOLD, "the agent has the flow");
    rig.forget();
    assert_eq!(rig.request(KEYED), PASS);
    assert!(rig.flows.get(&flow_key()).unwrap().is_none());
    rig.flows.set_opaque(&flow_key()).unwrap();
    assert_eq!(rig.request(KEYED), PASS, "the agent has let go of it");
    rig.forget();
    // The next one, and one that brings more than what was answered.
    let next = Packet {
        sequence: END,
        ..Packet::of(KEYED.as_bytes())
    };
    assert_eq!(rig.spot(&next), HOLD);
    rig.forget();
    assert_eq!(rig.request(&KEYED.repeat(2)), HOLD);
}

fn a_head_that_comes_again_while_it_is_held_is_held(mut rig: Rig) {
    rig.open();
    for _ in 0..3 {
        assert_eq!(rig.request(KEYED), HOLD);
    }
    // Also where the agent has forgotten it.
    rig.forget();
    assert_eq!(rig.request(KEYED), HOLD);
    assert_eq!(rig.count("held_keyed"), 2);
    // The same behind an answer to what came before.
    rig.forget();
    rig.answer(END, OK);
    let next = Packet {
        sequence: END,
        ..Packet::of(KEYED.as_bytes())
    };
    for held in [3, 3, 4] {
        if held == 4 {
            rig.forget();
        }
        assert_eq!(rig.spot(&next), HOLD);
        assert_eq!(rig.count("held_keyed"), held);
    }
}

/// How often the agent is told of the end of the flow.
fn resets(ring: &mut RingBuf<MapData>) -> usize {
    count_in(ring, |event| matches!(event, Event::Reset(_)))
}

fn a_new_connection_between_the_same_ports_ends_the_one_that_the_agent_has(mut rig: Rig) {
    let mut ring = rig.spotter.ring().unwrap();
    rig.open();
    assert_eq!(rig.request(KEYED), HOLD);
    rig.open();
    assert_eq!(resets(&mut ring), 0, "the same, accepted again");
    let accepted = Packet {
        flags: SYN_ACK,
        ..Packet::answer(Packet::SEQUENCE + 5_000_000, b"")
    };
    assert_eq!(rig.watch(&accepted), PASS);
    assert_eq!(resets(&mut ring), 1);
}

/// A client's.
fn reset(sequence: u32, text: &[u8]) -> Packet {
    Packet {
        flags: RST,
        sequence,
        ..Packet::of(text)
    }
}

fn a_reset_ends_a_flow_where_the_client_is_and_nowhere_else(mut rig: Rig) {
    let mut ring = rig.spotter.ring().unwrap();
    rig.open();
    assert_eq!(rig.request(KEYED), HOLD);
    let reset = |sequence| reset(sequence, b"");
    for elsewhere in [Packet::SEQUENCE - 1, END + 2, END + (1 << 31)] {
        assert_eq!(rig.spot(&reset(elsewhere)), PASS);
    }
    assert_eq!((resets(&mut ring), rig.count("forged_reset")), (0, 3));
    // Where the gateway is, which has nothing of what is held; behind what was sent; behind a FIN.
    for here in [Packet::SEQUENCE, END, END + 1] {
        assert_eq!(rig.spot(&reset(here)), PASS);
        assert_eq!(resets(&mut ring), 1, "{here}");
    }
}

fn a_reset_with_text_ends_a_flow_and_is_no_part_of_the_stream(mut rig: Rig) {
    let mut ring = rig.spotter.ring().unwrap();
    rig.open();
    assert_eq!(rig.request(KEYED), HOLD);
    assert_eq!(rig.spot(&reset(END + 2, b"why")), PASS);
    assert_eq!((resets(&mut ring), rig.count("forged_reset")), (0, 1));
    assert_eq!(rig.spot(&reset(END, b"why")), PASS);
    assert_eq!((resets(&mut ring), rig.count("held_flow")), (1, 0));
}

fn what_a_syn_brings_gives_the_agent_no_flow(mut rig: Rig) {
    // One that opens the connection, and one on a connection that is open.
    for is_open in [false, true] {
        if is_open {
            rig.open();
        }
        let syn = Packet {
            flags: SYN,
            sequence: Packet::SEQUENCE - 1,
            ..Packet::of(KEYED.as_bytes())
        };
        assert_eq!(rig.spot(&syn), PASS);
        assert!(rig.flows.get(&flow_key()).unwrap().is_none());
    }
    assert_eq!(rig.request(KEYED), HOLD);
}

fn a_fin_beside_a_syn_ends_nothing(mut rig: Rig) {
    rig.open();
    assert_eq!(rig.request(KEYED), HOLD);
    let both = Packet {
        flags: SYN | FIN,
        ..Packet::of(b"")
    };
    assert_eq!(rig.spot(&both), PASS);
    assert_eq!(rig.flows.get(&flow_key()).unwrap().unwrap().finished, 0);
    assert_eq!(
        count(&mut rig, |event| matches!(event, Event::ClientFin(_))),
        0
    );
}

fn a_connection_that_is_accepted_again_undoes_nothing(mut rig: Rig) {
    rig.open();
    assert_eq!(rig.request(KEYLESS), PASS);
    rig.open();
    assert_eq!(rig.spot(&behind("the rest of the body")), PASS);
}

fn a_request_that_names_an_unlocked_function_is_one_wherever_it_stands(mut rig: Rig) {
    rig.open();
    assert_eq!(rig.request(KEYLESS), PASS);
    let direct = behind("GET /function/pydict-abc123-0 HTTP/1.1\r\n\r\n");
    let mut ring = rig.spotter.ring().unwrap();
    assert!(!is_unanswered(&mut rig, &mut ring, &direct));
}

fn what_goes_on_with_a_request_is_held_where_the_next_may_be_inside(mut rig: Rig) {
    rig.open();
    let mut ring = rig.spotter.ring().unwrap();
    assert_eq!(rig.request(KEYLESS), PASS);
    let long = "word ".repeat(150);
    for before in ["", "{\"a\": 1}", "a: b\r\n\r\n", &long[..300], &long] {
        for inside in [
            "GET /function/a HTTP/1.1\r\n",
            "ct HTTP/1.0\n",
            "\r\nX-RsFaaS-Key: k",
            "\nx-rsfaas-next-key: k\r\n\r\n",
        ] {
            let text = format!("{before}{inside}");
            assert!(is_unanswered(&mut rig, &mut ring, &behind(&text)), "{text}");
            rig.forget();
        }
        let text = format!("{before}\"GET http://a/ HTTP/1.1\", X-RsFaaS-Key: none");
        assert_eq!(rig.spot(&behind(&text)), PASS, "{text}");
    }
}

fn of_a_flow_older_than_the_programs_what_starts_no_request_may_have_one_inside(mut rig: Rig) {
    let mut ring = rig.spotter.ring().unwrap();
    for text in [
        "a: b\r\nX-RsFaaS-Key: k",
        "[1, 2]GET /function/a HTTP/1.1\r\n",
    ] {
        assert!(is_unanswered(&mut rig, &mut ring, &behind(text)), "{text}");
        rig.forget();
    }
    assert_eq!(rig.spot(&behind("the rest of a body")), PASS);
    let keyed = Packet::of(KEYED.as_bytes());
    assert!(
        !is_unanswered(&mut rig, &mut ring, &keyed),
        "a request by itself"
    );
}

fn what_comes_behind_a_whole_request_is_the_next_one_before_that_is_answered(mut rig: Rig) {
    let mut ring = rig.spotter.ring().unwrap();
    for (first, may_go_on) in [
        (
            "GET /function/other HTTP/1.1\r\nHost: gateway\r\n\r\n",
            false,
        ),
        (
            "DELETE /function/pydict HTTP/1.1\r\nHost: gateway\r\n\r\n",
            false,
        ),
        (
            "POST /function/other HTTP/1.1\r\nHost: gateway\r\n\r\n",
            true,
        ),
    ] {
        rig.open();
        assert_eq!(rig.request(first), PASS, "{first}");
        let next = Packet {
            sequence: Packet::SEQUENCE + u32::try_from(first.len()).unwrap(),
            ..Packet::of(KEYED.as_bytes())
        };
        let place = place(&mut rig, &mut ring, &next);
        assert_eq!(place.is_unanswered, may_go_on, "{first}");
        assert!(!place.is_answered, "{first}");
        rig.forget();
    }
}

fn a_head_inside_of_a_body_ends_no_request(mut rig: Rig) {
    let mut ring = rig.spotter.ring().unwrap();
    rig.open();
    assert_eq!(rig.request(KEYLESS), PASS);
    let text = "GET /function/other HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(rig.spot(&behind(text)), PASS);
    let next = Packet {
        sequence: behind(text).sequence + u32::try_from(text.len()).unwrap(),
        ..Packet::of(KEYED.as_bytes())
    };
    assert!(is_unanswered(&mut rig, &mut ring, &next));
}

fn a_flow_is_left_with_an_answer_if_no_more_of_it_has_come(mut rig: Rig) {
    let key = flow_key();
    for (end, is_left) in [(END, true), (END - 1, false)] {
        rig.open();
        assert_eq!(rig.request(KEYED), HOLD);
        rig.flows.leave_on_answer(&key, end).unwrap();
        rig.answer(END, OK);
        let flow = rig.flows.get(&key).unwrap().unwrap();
        assert_eq!(flow.state == FlowState::Opaque as u32, is_left, "{end}");
        assert_eq!(flow.awaited, Awaited::Nothing as u32);
        rig.flows.remove(&key).unwrap();
    }
}

fn the_next_request_is_found_wherever_it_stands_in_such_a_segment(mut rig: Rig) {
    rig.open();
    let mut ring = rig.spotter.ring().unwrap();
    assert_eq!(rig.request(KEYLESS), PASS);
    let line = "GET /function/a HTTP/1.1\n";
    for before in (0..80).chain([300, 900]) {
        for more in 0..80 {
            // Shorter words would be taken for a method's start.
            let word = if before < 20 { ":" } else { "b" }.repeat(before + 1);
            let text = format!("{word}{line}{}", "a".repeat(more));
            assert!(is_unanswered(&mut rig, &mut ring, &behind(&text)), "{text}");
            rig.forget();
        }
    }
}

fn last_seen(rig: &Rig) -> u64 {
    rig.flows.get(&flow_key()).unwrap().unwrap().last_seen
}

fn silent_flows_are_told_from_those_of_which_something_was_seen(mut rig: Rig) {
    assert_eq!(rig.request(KEYED), HOLD);
    let seen = last_seen(&rig);
    assert_eq!(rig.flows.last_seen_before(seen).unwrap(), []);
    assert_eq!(rig.flows.last_seen_before(seen + 1).unwrap(), [flow_key()]);
}

fn a_client_is_seen_where_it_acknowledges_something_new(mut rig: Rig) {
    assert_eq!(rig.request(KEYED), HOLD);
    let before = last_seen(&rig);
    let mut acknowledgement = Packet::of(b"");
    assert_eq!(rig.spot(&acknowledgement), PASS);
    assert_eq!(last_seen(&rig), before, "an answer to a keep-alive probe");
    acknowledgement.acknowledged += 100;
    assert_eq!(rig.spot(&acknowledgement), PASS);
    assert!(last_seen(&rig) > before);
}

fn what_the_gateway_sends_does_not_keep_a_vanished_client(mut rig: Rig) {
    rig.open();
    assert_eq!(rig.request(KEYED), HOLD);
    rig.answer(END, OK);
    let before = last_seen(&rig);
    rig.answer(END, OK);
    assert_eq!(last_seen(&rig), before);
}

/// Behind [`KEYED`].
const END: u32 = Packet::SEQUENCE + KEYED.len() as u32;

/// The agent's events so far, of a kind.
fn count(rig: &mut Rig, is_meant: impl Fn(&Event) -> bool) -> usize {
    count_in(&mut rig.spotter.ring().unwrap(), is_meant)
}

/// Those that came since they were last counted.
fn count_in(ring: &mut RingBuf<MapData>, is_meant: impl Fn(&Event) -> bool) -> usize {
    let mut count = 0;
    while let Some(record) = ring.next() {
        count += usize::from(is_meant(&Event::parse(&record).unwrap()));
    }
    count
}

fn the_agent_is_told_once_of_an_answer_that_it_waits_for(mut rig: Rig) {
    rig.open();
    assert_eq!(rig.request(KEYED), HOLD);
    rig.flows.await_answer(&flow_key()).unwrap();
    rig.answer(END, OK);
    rig.answer(END, OK);
    let known = rig.flows.get(&flow_key()).unwrap().unwrap();
    assert_eq!(known.awaited, Awaited::Nothing as u32);
    let answers = count(&mut rig, |event| matches!(event, Event::Answer(..)));
    assert_eq!(answers, 1);
}

fn answered(rig: &Rig) -> u64 {
    rig.flows.get(&flow_key()).unwrap().unwrap().answered
}

fn an_answer_of_which_the_agent_need_not_know_is_noted_and_not_told(mut rig: Rig) {
    rig.open();
    assert_eq!(rig.request(KEYED), HOLD);
    let before = last_seen(&rig);
    assert_eq!(answered(&rig), 0);
    rig.answer(END, OK);
    assert!(answered(&rig) > before);
    assert!(last_seen(&rig) > before);
    let answers = count(&mut rig, |event| matches!(event, Event::Answer(..)));
    assert_eq!(answers, 0);
}

fn an_interim_answer_answers_nothing_but_a_change_of_protocol_does(mut rig: Rig) {
    rig.open();
    assert_eq!(rig.request(KEYED), HOLD);
    rig.answer(END, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(answered(&rig), 0);
    rig.answer(END, "HTTP/1.1 101 Switching Protocols\r\n\r\n");
    assert!(answered(&rig) > 0);
}

fn the_agent_is_told_of_a_failure_on_a_flow_that_it_has(mut rig: Rig) {
    let failed = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";
    rig.answer(Packet::SEQUENCE, failed);
    assert_eq!(rig.request(KEYED), HOLD);
    rig.answer(END, failed);
    rig.answer(END, failed);
    let failures = count(&mut rig, |event| matches!(event, Event::Failure(_)));
    assert_eq!(failures, 1, "once, and not on a flow of somebody else");
}

fn what_is_awaited_stays_where_the_window_moves(mut rig: Rig) {
    assert_eq!(rig.request(KEYED), HOLD);
    let flow = flow_key();
    rig.flows.await_answer(&flow).unwrap();
    rig.flows.move_window(&flow, (2000, 2004)).unwrap();
    let known = rig.flows.get(&flow).unwrap().unwrap();
    assert_eq!(known.awaited, Awaited::Answer as u32);
    assert!(known.passes(2000, 4));
}
