//! Requests that are sent ahead, or may be, and connections that are left.
use super::*;

#[test]
fn a_request_sent_ahead_is_judged_once_what_came_before_is_answered() {
    let mut connection = connection();
    let text = keyed("\r\n");
    assert!(
        connection
            .segment(7, text.as_bytes(), UNANSWERED)
            .is_empty()
    );
    assert!(
        connection
            .segment(7, text.as_bytes(), UNANSWERED)
            .is_empty()
    );
    let actions = connection.answered();
    let actions = connection.decide(judged(&actions), &Decision::Unlock("other".into()));
    assert!(released(7, &actions).starts_with(b"POST /function/other "));
}

#[test]
fn what_comes_before_a_request_sent_ahead_goes_on_at_once() {
    for (before, method) in [
        ("a body", ""),
        ("{\"a\": 1}", ""),
        (": a\r\n\r\n", ""),
        ("", "word"),
    ] {
        let mut connection = connection();
        let text = keyed("\r\n").replace("POST", &format!("{method}POST"));
        let actions = connection.segment(7, format!("{before}{text}").as_bytes(), UNANSWERED);
        let behind = place(before) + place(method);
        assert_eq!(
            released(7, &actions),
            format!("{before}{method}").as_bytes()
        );
        assert!(connection.is_doubtful());
        let actions = connection.answered();
        let actions = connection.decide(judged(&actions), &Decision::Unlock("other".into()));
        assert!(released(7 + behind, &actions).starts_with(b"POST /function/other "));
    }
}

#[test]
fn keys_behind_a_line_that_has_gone_on_are_taken_out_once_what_came_before_is_answered() {
    for (before, waiting) in [
        ("", 0),
        ("dict HTTP/1.1\r\n", 0),
        (" /function/pydict HTTP/1.1\r\nA: b\r\n", 0),
        (": a\r\nAccept: */*\r\n", 18),
    ] {
        let mut connection = connection();
        let text = format!("{before}X-RsFaaS-Key: {TEXT}\r\nContent-Length: 4\r\n\r\nword");
        let behind = keyed("\r\n");
        let all = format!("{text}{behind}");
        let mut actions = connection.segment(7, all.as_bytes(), UNANSWERED);
        assert_eq!(released(7, &actions).len(), waiting);
        assert!(connection.is_doubtful());
        actions.extend(connection.answered());
        // What follows lines of which the head is not known may be its body.
        actions.extend(connection.answered());
        let id = judged(&actions);
        actions.extend(connection.decide(id, &Decision::Unlock("other".into())));
        actions.retain(|action| !matches!(action, Action::Judge { .. }));
        let bytes = released(7, &actions);
        assert_eq!(bytes.len(), all.len());
        let bytes = String::from_utf8_lossy(&bytes);
        assert!(bytes.starts_with(before), "{bytes}");
        assert!(
            bytes.contains("\r\nContent-Length: 4\r\n\r\nwordPOST /function/other "),
            "{bytes}"
        );
        assert!(!bytes.contains(TEXT), "{bytes}");
    }
}

#[test]
fn a_key_whose_line_is_cut_behind_one_that_has_gone_on_is_taken_out() {
    let text = format!("dict HTTP/1.1\r\nX-RsFaaS-Key: {TEXT}\r\n\r\n");
    for cut in 15..text.len() {
        let mut connection = connection();
        let (first, second) = text.split_at(cut);
        connection.segment(7, first.as_bytes(), UNANSWERED);
        let mut actions = connection.answered();
        actions.extend(connection.segment(7 + place(first), second.as_bytes(), FURTHER));
        let bytes = released(7, &actions);
        assert_eq!(bytes.len(), text.len(), "cut at {cut}");
        let bytes = String::from_utf8_lossy(&bytes);
        assert!(!bytes.contains(TEXT), "cut at {cut}: {bytes}");
    }
}

#[test]
fn what_holds_neither_goes_on_at_once() {
    let mut connection = connection();
    let text = "{\"line\": \"\nGET /other HTTP/1.1\n\"}";
    let actions = connection.segment(7, text.as_bytes(), UNANSWERED);
    assert_eq!(released(7, &actions[..1]), text.as_bytes());
    assert!(matches!(actions[1..], [Action::Opaque]));
}

const OTHER: &str = "GET /other HTTP/1.1\r\nContent-Length: 2\r\n\r\n";

/// A connection that is left behind a request for something else.
fn left() -> Connection {
    let mut connection = connection();
    let text = format!("{OTHER}ok");
    let actions = connection.segment(7, text.as_bytes(), FIRST);
    connection.decide(judged(&actions), &Decision::Leave);
    assert!(connection.answered().is_empty());
    connection
}

#[test]
fn a_connection_is_left_with_the_answer_if_nothing_has_come_behind_its_last_request() {
    for (behind, is_left) in [("ok", true), ("o", false), ("okG", false)] {
        let mut connection = connection();
        let actions = connection.segment(7, format!("{OTHER}{behind}").as_bytes(), FIRST);
        let actions = connection.decide(judged(&actions), &Decision::Leave);
        let left = matches!(actions.last(), Some(Action::OpaqueOnAnswer { end })
            if *end == 7 + place(OTHER) + 2);
        assert_eq!(left, is_left, "{behind}");
    }
}

#[test]
fn a_call_behind_a_line_that_may_be_a_keys_is_judged() {
    let mut connection = connection();
    let text = "X-RsFaaS-Key: of a body\nwordGET /function/pydict-abc123-0 HTTP/1.1\r\n\r\n";
    let actions = connection.segment(7, text.as_bytes(), UNANSWERED);
    assert!(actions.is_empty() && connection.doubtful_calls().count() == 1);
    let actions = connection.take_for_requests();
    let actions = connection.decide(judged(&actions), &Decision::Hide);
    let bytes = released(7 + place("X-RsFaaS-Key: of a body\nword"), &actions);
    assert!(bytes.starts_with(b"GET /function/---"));
}

#[test]
fn what_waits_behind_a_gap_goes_on_too_where_a_connection_is_left() {
    let mut connection = connection();
    connection.segment(7, keyed("\r\n").as_bytes(), UNANSWERED);
    let far = 7 + place(&keyed("\r\n")) + 100;
    connection.segment(far, b"far", FURTHER);
    let actions = connection.give_up();
    let last = actions.iter().rev().find_map(|action| match action {
        Action::Release { sequence, bytes } => Some((*sequence, bytes.to_vec())),
        _ => None,
    });
    assert_eq!(last, Some((far, b"far".to_vec())));
}

#[test]
fn what_was_held_before_the_spotter_heard_that_a_connection_is_left_is_judged() {
    let mut connection = left();
    let next = 7 + place(OTHER) + 2;
    let actions = connection.segment(next, keyed("\r\n").as_bytes(), FURTHER);
    assert!(
        matches!(actions[0], Action::PassWindow { start, end } if (start, end) == (next, next))
    );
    judged(&actions);
}

#[test]
fn what_comes_again_with_the_next_request_goes_on_and_that_is_judged() {
    let mut connection = left();
    let text = format!("{OTHER}ok{}", keyed("\r\n"));
    let actions = connection.segment(7, text.as_bytes(), FIRST);
    assert_eq!(released(7, &actions), format!("{OTHER}ok").as_bytes());
    judged(&actions);
}

#[test]
fn a_request_that_comes_again_on_a_connection_that_was_left_leaves_it_so() {
    let mut connection = left();
    let actions = connection.segment(7, OTHER.as_bytes(), FIRST);
    assert_eq!(released(7, &actions), OTHER.as_bytes());
    assert!(matches!(actions.last(), Some(Action::Opaque)));
}

#[test]
fn what_is_taken_for_a_body_is_one_until_the_gateway_answers() {
    let mut connection = connection();
    let text = keyed("\r\n");
    connection.segment(7, text.as_bytes(), UNANSWERED);
    connection.give_up();
    assert!(connection.is_body());
    let next = 7 + place(&text);
    connection.segment(next, text.as_bytes(), FURTHER);
    assert!(connection.is_body() && connection.is_doubtful());
    assert_eq!(connection.doubtful_calls().count(), 1);
    connection.give_up();
    connection.segment(next + place(&text), text.as_bytes(), ANSWERED);
    assert!(!connection.is_body());
}

#[test]
fn what_no_answer_comes_before_goes_on_as_it_is_and_is_left_alone() {
    let mut connection = connection();
    let text = keyed("\r\n");
    connection.segment(7, text.as_bytes(), UNANSWERED);
    let actions = connection.give_up();
    assert_eq!(released(7, &actions[..1]), text.as_bytes());
    assert!(matches!(actions[1..], [Action::Opaque]));
    assert!(connection.answered().is_empty());
}
