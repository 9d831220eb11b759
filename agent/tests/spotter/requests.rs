//! Which requests are held.
use agent_ebpf::NameKind;

use crate::{
    packet::KEYED,
    rig::{
        Rig,
        Verdict::{Hold as HOLD, Pass as PASS},
    },
};

at_each_hook! {
    a_keyed_request_for_a_sealed_function_is_held,
    the_key_header_is_found_in_any_letter_case_and_place,
    the_key_header_is_found_far_behind_in_a_long_head,
    a_keyless_request_for_a_sealed_function_passes,
    what_may_be_a_key_behind_a_keyless_head_is_held_for_the_agent,
    what_may_be_a_key_behind_a_request_for_something_else_is_held_for_the_agent,
    a_request_behind_one_for_something_else_is_held_for_the_agent,
    what_follows_the_start_of_a_head_is_looked_at_where_no_body_is_to_be_expected,
    what_is_no_request_for_a_sealed_function_passes,
    targets_that_are_not_in_plain_form_are_held_for_the_agent,
    a_request_that_names_an_unlocked_function_is_held_even_without_a_key,
    no_method_and_no_empty_line_hides_a_request,
    no_empty_line_hides_a_key,
    a_name_of_any_length_that_functions_have_is_found,
    a_name_that_is_removed_is_no_longer_looked_for,
}

/// Each as it is, and longer: the programs read a longer segment's start where it stands.
fn short_and_long(payloads: &[&str]) -> Vec<String> {
    let padding = "b".repeat(200);
    let longer = |payload: &str| {
        for end in ["\r\n\r\n", "\n\n"] {
            if let Some(head) = payload.strip_suffix(end) {
                return format!("{head}\nPadding: {padding}{end}");
            }
        }
        format!("{payload}{padding}")
    };
    let pairs = payloads
        .iter()
        .map(|payload| [(*payload).to_owned(), longer(payload)]);
    pairs.flatten().collect()
}

/// Whether a segment is held for the agent to decide.
fn is_left_to_the_agent(rig: &mut Rig, segment: &str) -> bool {
    let before = rig.count("held_undecided");
    let verdict = rig.request(segment);
    let now = rig.count("held_undecided");
    rig.forget();
    verdict == HOLD && now == before + 1
}

fn a_keyed_request_for_a_sealed_function_is_held(mut rig: Rig) {
    assert_eq!(rig.request(KEYED), HOLD);
    assert_eq!(rig.count("held_keyed"), 1);
}

fn the_key_header_is_found_in_any_letter_case_and_place(mut rig: Rig) {
    for head in short_and_long(&[
        "GET /function/pydict HTTP/1.1\r\nx-rsfaas-key:rsfaas1x\r\nHost: a\r\n\r\n",
        "GET /function/pydict/more HTTP/1.1\r\nHost: a\r\nX-RSFAAS-KEY:  rsfaas1x\r\n\r\n",
        "PATCH /function/pydict?x=1 HTTP/1.0\nX-rsfaas-kEy: rsfaas1x\n\n",
        "DELETE /function/pydict.openfaas-fn HTTP/1.1\r\nX-RsFaaS-Key: r\r\n\r\n",
        "POST /async-function/pydict HTTP/1.1\r\nX-RsFaaS-Key: r\r\n\r\n",
        "POST /function/pydict HTTP/1.1\r\nX-RsFaaS-Next-Key: r\r\n\r\n",
    ]) {
        let before = rig.count("held_keyed");
        assert_eq!(rig.request(&head), HOLD, "{head}");
        assert_eq!(rig.count("held_keyed"), before + 1, "{head}");
        rig.forget();
    }
}

fn the_key_header_is_found_far_behind_in_a_long_head(mut rig: Rig) {
    let long = format!(
        "GET /function/pydict HTTP/1.1\r\nCookie: {}\r\nX-RsFaaS-Key: r\r\n\r\n",
        "c".repeat(3000)
    );
    assert_eq!(rig.request(&long), HOLD);
    assert_eq!(rig.count("held_keyed"), 1);
}

fn a_keyless_request_for_a_sealed_function_passes(mut rig: Rig) {
    for head in short_and_long(&[
        "GET /function/pydict HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /function/pydict HTTP/1.1\r\nContent-Length: 40\r\n\r\n{\"X-RsFaaS-Key\": \"in the body\"}\r\n",
        "GET /function/pydict HTTP/1.1\r\nNot-X-RsFaaS-Key: a\r\nX-RsFaaS-Keys: b\r\n\r\n",
    ]) {
        assert_eq!(rig.request(&head), PASS, "{head}");
    }
    assert_eq!(rig.count("passed_keyless"), 6);
}

fn what_may_be_a_key_behind_a_keyless_head_is_held_for_the_agent(mut rig: Rig) {
    let keyless = "POST /function/pydict HTTP/1.1\r\nHost: a\r\n\r\n";
    for (held, behind) in (1..).zip([
        KEYED,
        "X-RsFaaS-Key: in the body",
        "text\nx-rsfaas-next-key:",
    ]) {
        assert_eq!(rig.request(&format!("{keyless}{behind}")), HOLD, "{behind}");
        assert_eq!(rig.count("held_undecided"), held, "{behind}");
        rig.forget();
    }
    let no_text = format!("{keyless}\0{KEYED}");
    assert_eq!(rig.request(&no_text), PASS);
    assert_eq!(rig.count("passed_keyless"), 1);
}

fn what_may_be_a_key_behind_a_request_for_something_else_is_held_for_the_agent(mut rig: Rig) {
    let long = format!("/function/{}", "f".repeat(80));
    let mut is_held = |segment: &str| is_left_to_the_agent(&mut rig, segment);
    for target in [
        "/function/other",
        "/function/other/path?a=b",
        "/healthz",
        "/",
        "*",
        &long,
    ] {
        let first = |length| format!("OPTIONS {target} HTTP/1.1\nHost:{}\n\n", "a".repeat(length));
        assert!(!is_held(&first(0)), "{target}");
        let keyed = "A /function/pydict HTTP/1.0\n";
        // Wherever it stands, and whatever of the key the next segment brings.
        for length in (0..70).chain([255, 1000, 3000]) {
            for rest in [
                "x-rsFaas-KEY:",
                "X-RsFaaS-Key: key\n\n",
                "X-RsFaaS-Next-Key: next\nHost: a\n\n",
            ] {
                let segment = format!("{}{keyed}{rest}", first(length));
                assert!(is_held(&segment), "{segment}");
            }
        }
        let own = format!("GET {target} HTTP/1.1\nX-RsFaaS-Key: key\nHost: a\n\n");
        assert!(!is_held(&own), "{target}");
    }
    let shortest = "A / HTTP/1.1\nHost:\n\nA /function/a HTTP/1.0\nX-RsFaaS-Key:";
    assert!(is_held(shortest));
}

fn a_request_behind_one_for_something_else_is_held_for_the_agent(mut rig: Rig) {
    let mut is_held = |segment: &str| is_left_to_the_agent(&mut rig, segment);
    let long_query = format!("/function/other?{}", "q".repeat(100));
    for target in [
        "/function/other?a=b",
        "/function/pydict",
        "/",
        "*",
        &long_query,
    ] {
        for length in (0..36).step_by(3).chain([255, 3000]) {
            let host = "a".repeat(length);
            let first =
                format!("POST {target} HTTP/1.1\nHost:{host}\n\n{{\"http/1.1\": \"HTTP/1.1\"}}");
            assert!(!is_held(&first), "{first}");
            let line = "A /function/a HTTP/1.0\n";
            for behind in 0..40 {
                let segment = format!("{first}{line}{}", "a".repeat(behind));
                assert!(is_held(&segment), "{segment}");
            }
        }
    }
    for target in ["/", "/function/other", &long_query] {
        let own = format!("POST {target} HTTP/1.1\r\nX-RsFaaS-Key: key\r\nHost: a\r\n\r\n");
        assert!(is_held(&format!("{own}{KEYED}")), "{target}");
    }
}

fn what_follows_the_start_of_a_head_is_looked_at_where_no_body_is_to_be_expected(mut rig: Rig) {
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE"] {
        for target in ["/function/other", "/function/pydict", "/healthz"] {
            let first = format!("{method} {target} HTTP/1.1\r\nHost: gateway\r\n\r\n");
            assert_eq!(rig.request(&first), PASS, "{first}");
            let second = "GET /function/pydict-abc123-0 HTTP/1.1";
            for cut in 1..second.len() {
                let segment = format!("{first}{}", &second[..cut]);
                assert_eq!(rig.request(&segment), HOLD, "{segment}");
                rig.forget();
            }
        }
    }
    assert_eq!(rig.count("held_undecided"), 5 * 3 * 37);
}

fn what_is_no_request_for_a_sealed_function_passes(mut rig: Rig) {
    for payload in short_and_long(&[
        "GET /function/other HTTP/1.1\r\nX-RsFaaS-Key: r\r\n\r\n",
        "GET /function/pydict2 HTTP/1.1\r\nX-RsFaaS-Key: r\r\n\r\n",
        "GET /system/functions HTTP/1.1\r\n\r\n",
        "GET /system/functions?path=/../%2f//function/pydict HTTP/1.1\r\n\r\n",
        "GET /a.b/c..d/e-f/ HTTP/1.1\r\n\r\n",
        "GET /function/other/users/42/ HTTP/1.1\r\n\r\n",
        "GET /function/other/a.b/c..d HTTP/1.1\r\n\r\n",
        "GET /function/other.openfaas-fn/a?b=/../c HTTP/1.1\r\n\r\n",
        "GET /function/other?path=/../%2f//function/pydict HTTP/1.1\r\n\r\n",
        "PUT /async-function/other/a?b=/%2e./pydict HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\n\r\n",
        "CONNECT /function/other HTTP/1.1\r\n\r\n",
        "{\"word\": \"night\"}",
        "\u{16}\u{3}\u{1}",
        "just some words of a body",
        "2026-01-02 12:00:07 a line of a log",
        "INFO worker-3: another one",
        "GET http:x is what the next line is about",
    ]) {
        assert_eq!(rig.request(&payload), PASS, "{payload}");
    }
    assert_eq!(rig.count("passed"), 38);
}

fn targets_that_are_not_in_plain_form_are_held_for_the_agent(mut rig: Rig) {
    for head in short_and_long(&[
        "GET //function/pydict HTTP/1.1\r\n\r\n",
        "GET /./function/pydict HTTP/1.1\r\n\r\n",
        "GET /x/../function/pydict HTTP/1.1\r\n\r\n",
        "PROPPATCH /system/functions//..//../function/pydict HTTP/1.1\r\n\r\n",
        "GET /x/%2e%2e/function/pydict HTTP/1.1\r\n\r\n",
        "GET /%66unction/pydict HTTP/1.1\r\n\r\n",
        "GET /function/py%64ict HTTP/1.1\r\n\r\n",
        "GET /function//pydict HTTP/1.1\r\n\r\n",
        "GET http://host/function/pydict HTTP/1.1\r\n\r\n",
        "GET /function/other/../pydict HTTP/1.1\r\n\r\n",
        "POST /function/other/",
        "PROPPATCH /function/other/..",
        "POST /function/other/1234567/../../pydict HTTP/1.1\r\n\r\n",
        "POST /function/other/%2e%2e/pydict HTTP/1.1\r\n\r\n",
        "POST /function/other/a/%2E./.%2e/pydict?a=b HTTP/1.1\r\n\r\n",
        "PUT /function/other.openfaas-fn/../pydict HTTP/1.1\r\n\r\n",
        "PUT /async-function/other/../../function/pydict HTTP/1.1\r\n\r\n",
        &format!(
            "GET /function/other/{}/../pydict HTTP/1.1\r\n\r\n",
            "1234567".repeat(30)
        ),
    ]) {
        let before = rig.count("held_undecided");
        assert_eq!(rig.request(&head), HOLD, "{head}");
        assert_eq!(rig.count("held_undecided"), before + 1, "{head}");
        rig.forget();
    }
}

fn a_request_that_names_an_unlocked_function_is_held_even_without_a_key(mut rig: Rig) {
    let head = "GET /function/pydict-abc123-0 HTTP/1.1\r\nHost: a\r\n\r\n";
    for (held, request) in (1..).zip(short_and_long(&[head])) {
        assert_eq!(rig.request(&request), HOLD);
        assert_eq!(rig.count("held_direct"), held);
        rig.forget();
    }
}

fn no_method_and_no_empty_line_hides_a_request(mut rig: Rig) {
    for head in [
        "\r\nGET /function/pydict-abc123-0 HTTP/1.1\r\n\r\n",
        "\n\n\n\nGET /function/pydict-abc123-0 HTTP/1.1\r\n\r\n",
        "A!1 /function/pydict-abc123-0 HTTP/1.1\r\n\r\n",
        "1 /function/pydict-abc123-0 HTTP/1.1\r\n\r\n",
        "ABCDEFGHIJKLMNOPQRS /function/pydict-abc123-0 HTTP/1.1\r\n\r\n",
    ] {
        let before = rig.count("held_direct");
        assert_eq!(rig.request(head), HOLD, "{head}");
        assert_eq!(rig.count("held_direct"), before + 1, "{head}");
        rig.forget();
    }
    for head in [
        "CONNECT a:80/function/pydict-abc123-0 HTTP/1.1\r\n\r\n",
        "CONNECT [::1]/function/pydict-abc123-0 HTTP/1.1\r\n\r\n",
    ] {
        assert_eq!(rig.request(head), HOLD, "{head}");
        rig.forget();
    }
}

fn no_empty_line_hides_a_key(mut rig: Rig) {
    for before in ["\r\n", "\n", "\r\n\r\n", "\n\n\n\n", "\r"] {
        let held = rig.count("held_keyed");
        for request in short_and_long(&[&format!("{before}{KEYED}")]) {
            assert_eq!(rig.request(&request), HOLD, "{request:?}");
            rig.forget();
        }
        assert_eq!(rig.count("held_keyed"), held + 2, "{before:?}");
    }
    // The next one's line ends are its own.
    assert_eq!(rig.request(KEYED), HOLD);
    rig.forget();
    let keyless = "\r\nPOST /function/pydict HTTP/1.1\r\nHost: a\r\n\r\nNo-X-RsFaaS-Key: body";
    assert_eq!(rig.request(keyless), PASS);
    assert_eq!(rig.count("passed_keyless"), 1);
}

fn a_name_of_any_length_that_functions_have_is_found(mut rig: Rig) {
    for length in [1, 32, 62, 63] {
        let name = "n".repeat(length);
        rig.names.insert(&name, NameKind::Sealed).unwrap();
        for request in short_and_long(&[&KEYED.replace("pydict", &name)]) {
            let held = rig.count("held_keyed");
            assert_eq!(rig.request(&request), HOLD, "{request}");
            assert_eq!(rig.count("held_keyed"), held + 1, "{request}");
            rig.forget();
        }
        rig.names.remove(&name).unwrap();
    }
    assert!(rig.names.insert(&"n".repeat(64), NameKind::Sealed).is_err());
}

fn a_name_that_is_removed_is_no_longer_looked_for(mut rig: Rig) {
    rig.names.remove("pydict").unwrap();
    rig.names.remove("pydict").unwrap();
    assert_eq!(rig.request(KEYED), PASS);
}
