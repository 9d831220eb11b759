use super::*;

const TEXT: &str = "rsfaas1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq";

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
    let actions = connection.segment(7, text.as_bytes());
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
fn the_rest_of_a_body_passes_by_itself_and_the_next_request_is_judged() {
    let mut connection = connection();
    let text = keyed("Content-Length: 100\r\n\r\nstart");
    let actions = connection.segment(0, text.as_bytes());
    let actions = connection.decide(judged(&actions), &Decision::Refuse(Refusal::KeyWrong));
    let end = u32::try_from(text.len()).unwrap();
    assert!(
        matches!(actions.last(), Some(Action::PassWindow { start, end: last })
        if *start == end && *last == end + 95)
    );
    let next = connection.segment(end + 95, b"GET /function/pydict HTTP/1.1\r\n\r\n");
    assert!(matches!(&next[..], [Action::Judge { request, .. }] if request.keys.is_empty()));
}

#[test]
fn a_retransmission_of_the_head_goes_on_in_the_same_form() {
    let mut connection = connection();
    let text = keyed("\r\n");
    let actions = connection.segment(0, text.as_bytes());
    let first = released(
        0,
        &connection.decide(judged(&actions), &Decision::Unlock("other".into())),
    );
    let again = released(0, &connection.segment(0, text.as_bytes()));
    assert_eq!(first, again);
    assert!(!String::from_utf8_lossy(&again).contains("rsfaas1"));
}

#[test]
fn a_retransmission_while_it_is_judged_is_not_judged_again() {
    let mut connection = connection();
    let text = keyed("\r\n");
    connection.segment(0, text.as_bytes());
    assert!(connection.segment(0, text.as_bytes()).is_empty());
}

#[test]
fn pipelined_requests_are_judged_one_after_the_other() {
    let mut connection = connection();
    let text = keyed("\r\n") + "GET /function/pydict HTTP/1.1\r\n\r\n";
    let actions = connection.segment(0, text.as_bytes());
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
    let actions = connection.segment(0, head.as_bytes());
    connection.decide(judged(&actions), &Decision::Unlock("other".into()));
    let place = u32::try_from(head.len()).unwrap();
    let body = "5\r\nGET /\r\n0\r\nA: b\r\n\r\n";
    let actions = connection.segment(place, body.as_bytes());
    assert_eq!(released(place, &actions), body.as_bytes());
    let next = place + u32::try_from(body.len()).unwrap();
    let actions = connection.segment(next, keyed("\r\n").as_bytes());
    assert!(matches!(&actions[..], [Action::Judge { .. }]));
}

#[test]
fn an_upgraded_connection_is_left_alone_after_its_head() {
    let mut connection = connection();
    let text = keyed("Connection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    let actions = connection.segment(0, text.as_bytes());
    let actions = connection.decide(judged(&actions), &Decision::Unlock("other".into()));
    assert!(matches!(actions.last(), Some(Action::Opaque)));
}

fn place(text: &str) -> u32 {
    u32::try_from(text.len()).unwrap()
}

#[test]
fn a_head_that_does_not_come_in_time_is_judged_by_what_is_there() {
    let mut connection = connection();
    let start = keyed("Host:");
    connection.segment(0, start.as_bytes());
    assert!(connection.awaits_head());
    let actions = connection.give_up();
    assert!(!connection.awaits_head());
    assert!(matches!(&actions[..], [Action::Judge { request, .. }] if request.keys.len() == 1));
    let mut all = connection.decide(judged(&actions), &Decision::Unlock("other".into()));
    let rest = " a\r\nContent-Length: 3\r\n\r\nabc";
    all.extend(connection.segment(place(&start), rest.as_bytes()));
    let bytes = released(0, &all);
    let head = String::from_utf8_lossy(&bytes);
    assert_eq!(bytes.len(), start.len() + rest.len());
    assert!(head.starts_with("POST /function/other "), "{head}");
    assert!(head.ends_with(&format!("\r\nHost:{rest}")), "{head}");
    assert!(!head.contains(TEXT), "{head}");
    let next = connection.segment(place(&start) + place(rest), keyed("\r\n").as_bytes());
    assert!(matches!(&next[..], [Action::Judge { .. }]));
}

#[test]
fn a_key_that_comes_too_late_does_not_go_on() {
    let start = "POST /function/pydict HTTP/1.1\r\n";
    let late = format!("X-RsFaaS-Key: {TEXT}\r\nContent-Length: 0\r\n\r\n");
    for given_up in [9, start.len() - 1, start.len(), start.len() + 5] {
        let text = format!("{start}{late}");
        let mut connection = connection();
        connection.segment(0, &text.as_bytes()[..given_up]);
        let mut all = connection.give_up();
        if let Some(Action::Judge { id, request }) = all.last() {
            assert!(request.keys.is_empty());
            let id = *id;
            all = connection.decide(id, &Decision::Pass);
        }
        let place = u32::try_from(given_up).unwrap();
        all.extend(connection.segment(place, &text.as_bytes()[given_up..]));
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
    let actions = connection.segment(0, start.as_bytes());
    let mut all = connection.decide(judged(&actions), &Decision::Unlock("other".into()));
    all.extend(connection.segment(place(&start), b"\r\n\r\n"));
    let bytes = released(0, &all);
    assert_eq!(bytes.len(), start.len() + 4);
    assert!(bytes.starts_with(b"POST /function/other "));
    assert!(!connection.awaits_head());
}

#[test]
fn a_head_that_cannot_be_read_goes_on_without_its_key() {
    let mut connection = connection();
    let text = keyed(&"A: b\r\n".repeat(200)) + "\r\n";
    let bytes = released(0, &connection.segment(0, text.as_bytes()));
    assert_eq!(bytes.len(), text.len());
    assert!(!String::from_utf8_lossy(&bytes).contains(TEXT));
}

#[test]
fn body_segments_held_out_of_order_while_the_head_was_judged_go_on_with_it() {
    let mut connection = connection();
    let text = keyed("Content-Length: 30\r\n\r\n");
    let actions = connection.segment(0, text.as_bytes());
    let id = judged(&actions);
    assert!(
        connection
            .segment(place(&text) + 10, &[b'b'; 10])
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
    let actions = connection.segment(0, keyed("\r\n").as_bytes());
    let id = judged(&actions);
    connection.decide(id, &Decision::Pass);
    assert!(connection.decide(id, &Decision::Pass).is_empty());
}

#[test]
fn a_head_cut_anywhere_is_judged_once_and_whole() {
    let text = keyed("Content-Length: 2\r\n\r\nok");
    for cut in 1..text.len() {
        let mut connection = connection();
        let mut actions = connection.segment(0, &text.as_bytes()[..cut]);
        actions.extend(connection.segment(u32::try_from(cut).unwrap(), &text.as_bytes()[cut..]));
        assert_eq!(actions.len(), 1, "cut at {cut}");
        let actions = connection.decide(judged(&actions), &Decision::Unlock("other".into()));
        assert_eq!(released(0, &actions).len(), text.len(), "cut at {cut}");
    }
}
