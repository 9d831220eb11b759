use agent_ebpf::HeldPlace;

use super::*;
use crate::head::Target;

mod ahead;

const TEXT: &str = "rsfaas1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq";

const FIRST: HeldPlace = HeldPlace {
    is_unanswered: false,
    is_further: false,
    is_answered: false,
};
const UNANSWERED: HeldPlace = HeldPlace {
    is_unanswered: true,
    is_further: false,
    is_answered: false,
};
const FURTHER: HeldPlace = HeldPlace {
    is_unanswered: false,
    is_further: true,
    is_answered: false,
};
const ANSWERED: HeldPlace = HeldPlace {
    is_unanswered: false,
    is_further: true,
    is_answered: true,
};

fn keyed(rest: &str) -> String {
    format!("POST /function/pydict HTTP/1.1\r\nX-RsFaaS-Key: {TEXT}\r\n{rest}")
}

fn connection() -> Connection {
    Connection::new("X-RsFaaS-Key")
}

fn judged(actions: &[Action]) -> RequestId {
    match actions.last() {
        Some(Action::Judge { id, .. }) => *id,
        _ => panic!("nothing to judge"),
    }
}

/// The bytes that were released, each at its place behind `base`.
fn released(base: u32, actions: &[Action]) -> Vec<u8> {
    let mut all = Vec::new();
    for action in actions {
        if let Action::Release { sequence, bytes } = action {
            assert_eq!(sequence.wrapping_sub(base) as usize, all.len(), "a gap");
            all.extend_from_slice(bytes);
        }
    }
    all
}

#[test]
fn a_keyed_request_waits_for_its_decision_and_goes_on_with_its_body() {
    let mut connection = connection();
    let text = keyed("Content-Length: 4\r\n\r\nbody");
    let actions = connection.segment(7, text.as_bytes(), FIRST);
    assert!(matches!(&actions[..], [Action::Judge { request, .. }]
        if request.keys.len() == 1 && request.target == Target::Function { name: "pydict".into() }));
    let actions = connection.decide(
        judged(&actions),
        &Decision::Unlock("pydict-abc123-0".into()),
    );
    let bytes = released(7, &actions);
    assert_eq!(bytes.len(), text.len());
    assert!(bytes.starts_with(b"POST /function/pydict-abc123-0 "));
    assert!(bytes.ends_with(b"\r\n\r\nbody"));
}

#[test]
fn a_head_and_the_body_that_was_held_with_it_go_on_as_one() {
    let mut connection = connection();
    let text = keyed("Content-Length: 4\r\n\r\nbody");
    let judging = connection.segment(7, text.as_bytes(), FIRST);
    let actions = connection.decide(judged(&judging), &Decision::Strip);
    assert!(matches!(&actions[..], [Action::Release { bytes, .. }] if bytes.len() == text.len()));
}

#[test]
fn the_rest_of_a_body_passes_by_itself_and_the_next_request_is_judged() {
    let mut connection = connection();
    let text = keyed("Content-Length: 100\r\n\r\nstart");
    let actions = connection.segment(0, text.as_bytes(), FIRST);
    let actions = connection.decide(judged(&actions), &Decision::Refuse(Refusal::KeyWrong));
    let end = u32::try_from(text.len()).unwrap();
    assert!(
        matches!(actions.last(), Some(Action::PassWindow { start, end: last })
        if *start == end && *last == end + 95)
    );
    let next = connection.segment(end + 95, b"GET /function/pydict HTTP/1.1\r\n\r\n", FIRST);
    assert!(matches!(&next[..], [Action::Judge { request, .. }] if request.keys.is_empty()));
}

#[test]
fn a_retransmission_of_the_head_goes_on_in_the_same_form() {
    let mut connection = connection();
    let text = keyed("\r\n");
    let actions = connection.segment(0, text.as_bytes(), FIRST);
    let first = released(
        0,
        &connection.decide(judged(&actions), &Decision::Unlock("other".into())),
    );
    let again = released(0, &connection.segment(0, text.as_bytes(), FIRST));
    assert_eq!(first, again);
    assert!(!String::from_utf8_lossy(&again).contains("rsfaas1"));
}

#[test]
fn a_retransmission_while_it_is_judged_is_not_judged_again() {
    let mut connection = connection();
    let text = keyed("\r\n");
    connection.segment(0, text.as_bytes(), FIRST);
    assert!(connection.segment(0, text.as_bytes(), FIRST).is_empty());
}

#[test]
fn pipelined_requests_are_judged_one_after_the_other() {
    let mut connection = connection();
    let text = keyed("\r\n") + "GET /function/pydict HTTP/1.1\r\n\r\n";
    let actions = connection.segment(0, text.as_bytes(), FIRST);
    assert_eq!(actions.len(), 1);
    let actions = connection.decide(judged(&actions), &Decision::Unlock("other".into()));
    let second = judged(&actions);
    let rest = connection.decide(second, &Decision::Pass);
    let mut all = actions;
    all.extend(rest);
    all.retain(|action| matches!(action, Action::Release { .. }));
    let bytes = released(0, &all);
    assert_eq!(bytes.len(), text.len());
    assert!(bytes.ends_with(b"GET /function/pydict HTTP/1.1\r\n\r\n"));
}

#[test]
fn a_chunked_body_is_followed_to_its_end() {
    let mut connection = connection();
    let head = keyed("Transfer-Encoding: chunked\r\n\r\n");
    let actions = connection.segment(0, head.as_bytes(), FIRST);
    connection.decide(judged(&actions), &Decision::Unlock("other".into()));
    let place = u32::try_from(head.len()).unwrap();
    let body = "5\r\nGET /\r\n0\r\nA: b\r\n\r\n";
    let actions = connection.segment(place, body.as_bytes(), FIRST);
    assert_eq!(released(place, &actions), body.as_bytes());
    let next = place + u32::try_from(body.len()).unwrap();
    let actions = connection.segment(next, keyed("\r\n").as_bytes(), FIRST);
    assert!(matches!(&actions[..], [Action::Judge { .. }]));
}

#[test]
fn no_part_of_a_chunked_body_waits_for_what_follows() {
    let mut connection = connection();
    let head = keyed("Transfer-Encoding: chunked\r\n\r\n");
    let actions = connection.segment(0, head.as_bytes(), FIRST);
    connection.decide(judged(&actions), &Decision::Unlock("other".into()));
    let mut next = place(&head);
    for byte in b"5;a=b\r\nGET /\r\n0\r\nA: b\r\n\r\n" {
        let actions = connection.segment(next, &[*byte], FIRST);
        assert_eq!(released(next, &actions), [*byte]);
        assert_eq!(connection.held(), head.len(), "it is remembered");
        next += 1;
    }
    let actions = connection.segment(next, keyed("\r\n").as_bytes(), FIRST);
    assert!(matches!(&actions[..], [Action::Judge { .. }]));
}

#[test]
fn an_upgraded_connection_is_left_alone_after_its_head() {
    let mut connection = connection();
    let text = keyed("Connection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    let actions = connection.segment(0, text.as_bytes(), FIRST);
    let actions = connection.decide(judged(&actions), &Decision::Unlock("other".into()));
    assert!(matches!(actions.last(), Some(Action::Opaque)));
}

#[test]
fn a_request_behind_an_offer_to_change_the_protocol_is_judged() {
    for body in [
        "\r\n",
        "Content-Length: 2\r\n\r\n{}",
        "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ] {
        let mut connection = connection();
        let offer = format!("POST / HTTP/1.1\r\nUpgrade: h2c\r\n{body}");
        let behind = keyed("\r\n");
        let actions = connection.segment(0, format!("{offer}{behind}").as_bytes(), FIRST);
        let actions = connection.decide(judged(&actions), &Decision::Leave);
        assert_eq!(released(0, &actions), offer.as_bytes());
        let actions = connection.decide(judged(&actions), &Decision::Unlock("other".into()));
        let bytes = released(place(&offer), &actions);
        assert_eq!(bytes.len(), behind.len());
        assert!(bytes.starts_with(b"POST /function/other "));
    }
}

fn place(text: &str) -> u32 {
    u32::try_from(text.len()).unwrap()
}

#[test]
fn a_head_that_does_not_come_in_time_is_judged_by_what_is_there() {
    let mut connection = connection();
    let start = keyed("Host:");
    connection.segment(0, start.as_bytes(), FIRST);
    assert!(connection.awaited().is_some());
    let actions = connection.give_up();
    assert!(connection.awaited().is_none());
    assert!(matches!(&actions[..], [Action::Judge { request, .. }] if request.keys.len() == 1));
    let mut all = connection.decide(judged(&actions), &Decision::Unlock("other".into()));
    let rest = " a\r\nContent-Length: 3\r\n\r\nabc";
    all.extend(connection.segment(place(&start), rest.as_bytes(), FIRST));
    let bytes = released(0, &all);
    let head = String::from_utf8_lossy(&bytes);
    assert_eq!(bytes.len(), start.len() + rest.len());
    assert!(head.starts_with("POST /function/other "), "{head}");
    assert!(head.ends_with(&format!("\r\nHost:{rest}")), "{head}");
    assert!(!head.contains(TEXT), "{head}");
    let next = connection.segment(place(&start) + place(rest), keyed("\r\n").as_bytes(), FIRST);
    assert!(matches!(&next[..], [Action::Judge { .. }]));
}

#[test]
fn a_key_that_comes_too_late_does_not_go_on() {
    let start = "POST /function/pydict HTTP/1.1\r\n";
    let late = format!("X-RsFaaS-Key: {TEXT}\r\nContent-Length: 0\r\n\r\n");
    for given_up in [0, 5, 13, 20, 40].map(|more| start.len() + more) {
        let text = format!("{start}{late}");
        let mut connection = connection();
        connection.segment(0, &text.as_bytes()[..given_up], FIRST);
        let judging = connection.give_up();
        assert!(matches!(&judging[..], [Action::Judge { request, .. }] if request.keys.is_empty()));
        let mut all = connection.decide(judged(&judging), &Decision::Pass);
        let place = u32::try_from(given_up).unwrap();
        all.extend(connection.segment(place, &text.as_bytes()[given_up..], FIRST));
        let bytes = released(0, &all);
        assert_eq!(bytes.len(), text.len(), "{given_up}");
        assert!(bytes.starts_with(start.as_bytes()), "{given_up}");
        assert!(
            !String::from_utf8_lossy(&bytes).contains(TEXT),
            "{given_up}"
        );
    }
}

#[test]
fn a_long_head_that_shows_its_key_is_judged_before_its_end() {
    let mut connection = connection();
    let start = keyed(&format!("Cookie: {}", "c".repeat(KEYED_HEAD_LEN)));
    let actions = connection.segment(0, start.as_bytes(), FIRST);
    let mut all = connection.decide(judged(&actions), &Decision::Unlock("other".into()));
    all.extend(connection.segment(place(&start), b"\r\n\r\n", FIRST));
    let bytes = released(0, &all);
    assert_eq!(bytes.len(), start.len() + 4);
    assert!(bytes.starts_with(b"POST /function/other "));
    assert!(connection.awaited().is_none());
}

#[test]
fn a_head_that_cannot_be_read_goes_on_without_its_key() {
    let mut connection = connection();
    let text = keyed("\r\n").replace(" HTTP/", "  HTTP/");
    let (start, rest) = text.split_at(34);
    let mut all = connection.segment(0, start.as_bytes(), FIRST);
    all.extend(connection.segment(place(start), rest.as_bytes(), FIRST));
    assert!(matches!(all.last(), Some(Action::Opaque)));
    let bytes = released(0, &all);
    assert_eq!(bytes.len(), text.len());
    assert!(!String::from_utf8_lossy(&bytes).contains(TEXT));
}

#[test]
fn a_key_of_which_only_the_first_line_was_judged_does_not_go_on_folded() {
    let mut connection = connection();
    let start = "GET /function/pydict HTTP/1.1\r\nX-RsFaaS-Key:\r\n";
    connection.segment(0, start.as_bytes(), FIRST);
    let actions = connection.give_up();
    let mut all = connection.decide(judged(&actions), &Decision::Strip);
    let rest = format!(" {TEXT}\r\nHost: a\r\n\r\n");
    all.extend(connection.segment(place(start), rest.as_bytes(), FIRST));
    let bytes = released(0, &all);
    assert_eq!(bytes.len(), start.len() + rest.len());
    let bytes = String::from_utf8_lossy(&bytes);
    assert!(bytes.ends_with("\r\nHost: a\r\n\r\n") && !bytes.contains(TEXT));
}

#[test]
fn an_asynchronous_request_is_refused_by_the_function_itself_in_any_spelling() {
    for path in ["/async-function/pydict", "x:/%61sync-function/pydict"] {
        let mut connection = connection();
        let text = keyed("\r\n").replace("/function/pydict", path);
        let actions = connection.segment(0, text.as_bytes(), FIRST);
        let decision = Decision::Refuse(Refusal::AsyncUnsupported);
        let bytes = released(0, &connection.decide(judged(&actions), &decision));
        assert_eq!(bytes.len(), text.len());
        assert!(
            bytes.starts_with(b"POST /function/pydict HTTP/1.1\r\n"),
            "{path}"
        );
    }
}

#[test]
fn an_unfinished_head_for_an_unlocked_container_leads_nowhere() {
    let mut connection = connection();
    connection.segment(
        0,
        b"POST /function/pydict-abc123-0 HTTP/1.1\r\nHost: a",
        FIRST,
    );
    let actions = connection.give_up();
    let actions = connection.decide(judged(&actions), &Decision::Hide);
    assert!(
        released(0, &actions).starts_with(b"POST /function/--------------- HTTP/1.1\r\nHost: a")
    );
}

#[test]
fn a_request_that_follows_what_was_no_whole_head_is_judged() {
    for text in ["no request: a\n", "GET /function/a HTTP/1.1\r\nA: b"] {
        let mut connection = connection();
        connection.segment(0, text.as_bytes(), FIRST);
        let actions = connection.give_up();
        if let Some(Action::Judge { id, .. }) = actions.last() {
            connection.decide(*id, &Decision::Pass);
        }
        let next = connection.segment(place(text), keyed("\r\n").as_bytes(), FIRST);
        assert!(matches!(&next[..], [Action::Judge { .. }]), "{text}");
    }
}

#[test]
fn a_request_line_that_does_not_come_in_time_stays_held() {
    let mut connection = connection();
    connection.segment(0, b"GET /function/pydict-abc", FIRST);
    assert!(connection.give_up().is_empty());
    let actions = connection.segment(24, b"123-0 HTTP/1.1\r\n\r\n", FIRST);
    assert!(matches!(&actions[..], [Action::Judge { .. }]));
}

#[test]
fn a_head_of_any_length_is_judged() {
    let mut connection = connection();
    let text = format!("GET /function/a HTTP/1.1\r\nA: {}", "a".repeat(HEAD_LEN));
    let actions = connection.segment(0, text.as_bytes(), FIRST);
    let actions = connection.decide(judged(&actions), &Decision::Hide);
    assert!(released(0, &actions).starts_with(b"GET /function/- HTTP/1.1\r\n"));
}

#[test]
fn a_request_behind_an_empty_line_is_hidden_and_unlocked_like_any_other() {
    for (decision, start) in [
        (Decision::Hide, "\r\nPOST /function/------ HTTP/1.1\r\n"),
        (
            Decision::Unlock("other".into()),
            "\r\nPOST /function/other HTTP/1.1\r\n",
        ),
    ] {
        let mut connection = connection();
        let text = format!("\r\n{}", keyed("\r\n"));
        let actions = connection.segment(0, text.as_bytes(), FIRST);
        let bytes = released(0, &connection.decide(judged(&actions), &decision));
        assert_eq!(bytes.len(), text.len());
        assert!(bytes.starts_with(start.as_bytes()));
        assert!(!String::from_utf8_lossy(&bytes).contains("rsfaas1"));
    }
}

#[test]
fn line_ends_alone_wait_for_no_request() {
    for ends in ["\r\n", "\r", "\n", "\r\n\r\n"] {
        let mut connection = connection();
        let text = keyed("Content-Length: 4\r\n\r\nbody") + ends;
        let actions = connection.segment(0, text.as_bytes(), FIRST);
        let actions = connection.decide(judged(&actions), &Decision::Unlock("other".into()));
        let bytes = released(0, &actions);
        assert_eq!(bytes.len(), text.len(), "{ends:?}");
        assert!(bytes.ends_with(ends.as_bytes()), "{ends:?}");
        assert!(connection.awaited().is_none());
        let head = text.len() - 4 - ends.len();
        assert_eq!(connection.held(), head, "it is remembered");
        // More of them, and the next request behind.
        let behind = place(&text);
        let actions = connection.segment(behind, ends.as_bytes(), FIRST);
        assert_eq!(released(behind, &actions), ends.as_bytes());
        let actions = connection.segment(behind + place(ends), text.as_bytes(), FIRST);
        assert!(matches!(&actions[..], [Action::Judge { request, .. }] if request.keys.len() == 1));
    }
}

#[test]
fn line_ends_that_start_a_flow_go_on_and_the_request_behind_them_is_judged() {
    let mut connection = connection();
    let actions = connection.segment(7, b"\r\n", FIRST);
    assert_eq!(released(7, &actions), b"\r\n");
    let again = connection.segment(7, b"\r\n", FIRST);
    assert_eq!(released(7, &again), b"\r\n");
    judged(&connection.segment(9, keyed("\r\n").as_bytes(), FIRST));
}

#[test]
fn a_key_on_a_folded_line_is_taken_out_too() {
    let mut connection = connection();
    let text = format!("GET /function/a HTTP/1.1\r\nX-RsFaaS-Key:\r\n {TEXT}\r\nHost: a\r\n\r\n");
    let actions = connection.segment(0, text.as_bytes(), FIRST);
    let bytes = released(0, &connection.decide(judged(&actions), &Decision::Strip));
    let bytes = String::from_utf8_lossy(&bytes);
    assert!(bytes.contains("\r\nHost: a\r\n") && !bytes.contains("rsfaas1"));
}

#[test]
fn a_request_on_a_connection_that_was_left_alone_is_judged_again() {
    let mut connection = connection();
    let actions = connection.segment(0, b"no request\r\n\r\n", FIRST);
    assert!(matches!(actions.last(), Some(Action::Opaque)));
    let text = keyed("\r\n");
    let actions = connection.segment(5000, text.as_bytes(), FIRST);
    let actions = connection.decide(judged(&actions), &Decision::Unlock("other".into()));
    assert_eq!(released(5000, &actions).len(), text.len());
    let again = connection.segment(5000, text.as_bytes(), FIRST);
    assert!(released(5000, &again).starts_with(b"POST /function/other "));
}

#[test]
fn body_segments_held_out_of_order_while_the_head_was_judged_go_on_with_it() {
    let mut connection = connection();
    let text = keyed("Content-Length: 30\r\n\r\n");
    let actions = connection.segment(0, text.as_bytes(), FIRST);
    let id = judged(&actions);
    assert!(
        connection
            .segment(place(&text) + 10, &[b'b'; 10], FIRST)
            .is_empty()
    );
    let actions = connection.decide(id, &Decision::Unlock("other".into()));
    assert!(
        matches!(actions.last(), Some(Action::Release { sequence, bytes })
        if *sequence == place(&text) + 10 && bytes.as_slice() == [b'b'; 10])
    );
}

#[test]
fn a_late_decision_does_nothing() {
    let mut connection = connection();
    let actions = connection.segment(0, keyed("\r\n").as_bytes(), FIRST);
    let id = judged(&actions);
    connection.decide(id, &Decision::Pass);
    assert!(connection.decide(id, &Decision::Pass).is_empty());
}

#[test]
fn a_head_cut_anywhere_is_judged_once_and_whole() {
    let text = keyed("Content-Length: 2\r\n\r\nok");
    for cut in 1..text.len() {
        let mut connection = connection();
        let mut actions = connection.segment(0, &text.as_bytes()[..cut], FIRST);
        actions.extend(connection.segment(
            u32::try_from(cut).unwrap(),
            &text.as_bytes()[cut..],
            FIRST,
        ));
        assert_eq!(actions.len(), 1, "cut at {cut}");
        let actions = connection.decide(judged(&actions), &Decision::Unlock("other".into()));
        assert_eq!(released(0, &actions).len(), text.len(), "cut at {cut}");
    }
}

#[test]
fn on_a_connection_that_is_followed_it_is_known_what_a_segment_is() {
    let mut connection = connection();
    let head = keyed("Content-Length: 4\r\n\r\n");
    let judging = judged(&connection.segment(0, head.as_bytes(), FIRST));
    connection.decide(judging, &Decision::Unlock("other".into()));
    let behind = u32::try_from(head.len()).unwrap() + 4;
    let actions = connection.segment(behind, keyed("\r\n").as_bytes(), UNANSWERED);
    assert!(matches!(actions[..], [Action::Judge { .. }]));
}

#[test]
fn a_request_gigabytes_behind_a_body_that_was_not_followed_is_judged() {
    for distance in [1_u32 << 30, 2 << 30, 3 << 30, u32::MAX] {
        let mut connection = connection();
        let head = keyed("Content-Length: 9999999999\r\n\r\n");
        let actions = connection.segment(0, head.as_bytes(), FIRST);
        let actions = connection.decide(judged(&actions), &Decision::Unlock("other".into()));
        assert!(matches!(actions.last(), Some(Action::Opaque)));
        let next = u32::try_from(head.len()).unwrap().wrapping_add(distance);
        judged(&connection.segment(next.wrapping_add(1 << 20), keyed("\r\n").as_bytes(), FIRST));
    }
}

#[test]
fn a_head_that_comes_again_leaves_a_connection_alone_that_is_no_longer_followed() {
    let mut connection = connection();
    let head = keyed("Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
    let actions = connection.segment(0, head.as_bytes(), FIRST);
    let first = connection.decide(judged(&actions), &Decision::Unlock("other".into()));
    let again = connection.segment(0, head.as_bytes(), FIRST);
    assert_eq!(released(0, &again), released(0, &first));
    let is_opaque = |actions: &[Action]| {
        let mut actions = actions.iter();
        actions.any(|action| matches!(action, Action::Opaque))
    };
    assert!(is_opaque(&first) && is_opaque(&again));
}

#[test]
fn no_more_is_kept_of_a_request_line_than_of_a_head() {
    let mut connection = connection();
    let line = vec![b'A'; 2 * HEAD_LEN];
    for (place, segment) in line.chunks(1000).enumerate() {
        connection.segment(1000 * place as u32, segment, FIRST);
    }
    assert!((HEAD_LEN..HEAD_LEN + 1000).contains(&connection.held()));
    assert_eq!(connection.take_dropped(), 66);
}

#[test]
fn no_two_requests_have_the_same_name() {
    let (mut one, mut other) = (connection(), connection());
    let text = keyed("\r\n");
    let first = judged(&one.segment(0, text.as_bytes(), FIRST));
    let second = judged(&other.segment(0, text.as_bytes(), FIRST));
    assert!(other.decide(first, &Decision::Strip).is_empty());
    assert!(!other.decide(second, &Decision::Strip).is_empty());
}

#[test]
fn what_was_held_before_the_spotter_let_go_goes_on_and_nothing_of_it_is_a_head() {
    let mut connection = connection();
    let upgrade = keyed("Upgrade: h2c\r\nContent-Length: 6000\r\n\r\n");
    let id = judged(&connection.segment(0, upgrade.as_bytes(), FIRST));
    let body = upgrade.len() as u32;
    let actions = connection.decide(id, &Decision::Unlock("pydict-x-0".into()));
    assert!(
        actions
            .iter()
            .any(|action| matches!(action, Action::Opaque))
    );
    for sequence in [body, body + 5] {
        let actions = connection.segment(sequence, b"[1,2]", FURTHER);
        assert_eq!(released(sequence, &actions), b"[1,2]");
    }
    // What comes between passes by itself.
    let next = body + 6000;
    let actions = connection.segment(next, keyed("\r\n").as_bytes(), FIRST);
    judged(&actions);
}

#[test]
fn what_was_held_after_the_spotter_saw_a_request_again_waits_for_that() {
    let mut connection = connection();
    let upgrade = keyed("Upgrade: h2c\r\n\r\n");
    let id = judged(&connection.segment(0, upgrade.as_bytes(), FIRST));
    connection.decide(id, &Decision::Unlock("pydict-x-0".into()));
    let end = upgrade.len() as u32;
    let again = keyed("\r\n");
    let (first, second) = again.split_at(40);
    let second_at = end + 40;
    assert!(
        connection
            .segment(second_at, second.as_bytes(), FURTHER)
            .is_empty()
    );
    assert_eq!(connection.take_dropped(), 1);
    assert!(connection.segment(end, first.as_bytes(), FIRST).is_empty());
    judged(&connection.segment(second_at, second.as_bytes(), FURTHER));
}

#[test]
fn a_request_behind_bytes_that_never_came_here_is_judged_once_they_are_answered() {
    let mut connection = connection();
    let id = judged(&connection.segment(0, keyed("\r\n").as_bytes(), FIRST));
    connection.decide(id, &Decision::Pass);
    let next = keyed("\r\n").len() as u32 + 100;
    let actions = connection.segment(next, keyed("\r\n").as_bytes(), FURTHER);
    assert!(actions.is_empty(), "what lies between may come still");
    judged(&connection.segment(next, keyed("\r\n").as_bytes(), ANSWERED));
}

#[test]
fn what_passed_before_anything_was_held_and_comes_again_disturbs_nothing() {
    let mut connection = connection();
    let text = keyed("\r\n");
    let (start, end) = text.split_at(40);
    connection.segment(1000, start.as_bytes(), UNANSWERED);
    // The request before it is not answered yet.
    assert!(connection.segment(900, &[b'G'; 100], ANSWERED).is_empty());
    connection.answered();
    judged(&connection.segment(1040, end.as_bytes(), FURTHER));
}

#[test]
fn what_of_a_head_comes_again_brings_what_was_before_it() {
    let mut connection = connection();
    let text = keyed("Content-Length: 4\r\n\r\nbody");
    let (start, end) = text.split_at(60);
    connection.segment(100, start.as_bytes(), FIRST);
    assert_eq!(connection.awaited(), Some(160));
    let judging = connection.segment(160, end.as_bytes(), FURTHER);
    assert_eq!(connection.awaited(), None);
    let actions = connection.decide(judged(&judging), &Decision::Strip);
    let all = released(100, &actions);
    // The client was told that the start has come, and does not send that again.
    let again = connection.segment(160, end.as_bytes(), FURTHER);
    assert_eq!(released(100, &again), all);
}
