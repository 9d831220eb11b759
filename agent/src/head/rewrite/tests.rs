use proptest::prelude::*;

use super::{
    super::request::{Parsed, parse},
    *,
};

const KEY: &KeyHeaders = KeyHeaders::DEFAULT;
const TEXT: &str = "rsfaas1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq";

fn head(text: &[u8]) -> Head {
    match parse(text, KEY) {
        Parsed::Whole(head) => *head,
        _ => panic!("no head"),
    }
}

fn keyed(path: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nX-RsFaaS-Key: {TEXT}\r\nAccept: */*\r\n\r\n")
}

#[test]
fn an_unlocked_request_has_the_same_length_another_name_and_no_key() {
    let text = keyed("/function/pydict/more?x=1");
    let bytes = to_function(
        text.as_bytes(),
        &head(text.as_bytes()),
        KEY,
        "pydict-abc123-0",
    )
    .unwrap();
    assert_eq!(bytes.len(), text.len());
    let rewritten = head(&bytes);
    assert_eq!(rewritten.length, text.len());
    assert!(rewritten.keys.is_empty());
    let text = std::str::from_utf8(&bytes).unwrap();
    assert!(text.starts_with("POST /function/pydict-abc123-0/more?x=1 HTTP/1.1\r\nHost: a\r\n"));
    assert!(text.contains("Accept: */*\r\n"));
    assert!(!text.contains("rsfaas1"));
}

#[test]
fn a_refused_request_tells_the_locked_function_why() {
    let text = keyed("/function/pydict");
    let bytes = refused(
        text.as_bytes(),
        &head(text.as_bytes()),
        KEY,
        Refusal::KeyWrong,
    )
    .unwrap();
    assert_eq!(bytes.len(), text.len());
    let text = std::str::from_utf8(&bytes).unwrap();
    assert!(text.contains("\r\nX-RsFaaS: w\r\n"));
    assert!(!text.contains("rsfaas1"));
}

#[test]
fn the_next_key_goes_on_as_little_as_the_key() {
    let text = keyed("/function/pydict").replace(
        "Accept:",
        &format!("x-rsfaas-NEXT-key: {TEXT}\r\n {TEXT}\r\nAccept:"),
    );
    let whole = head(text.as_bytes());
    for bytes in [
        to_function(text.as_bytes(), &whole, KEY, "pydict-abc123-0"),
        refused(text.as_bytes(), &whole, KEY, Refusal::KeyWrong),
        stripped(text.as_bytes(), &whole, KEY),
        hidden(text.as_bytes(), &whole, KEY),
    ] {
        let bytes = bytes.unwrap();
        assert_eq!(bytes.len(), text.len());
        assert!(head(&bytes).next_keys.is_empty());
        assert!(!String::from_utf8_lossy(&bytes).contains("rsfaas1"));
    }
}

#[test]
fn even_an_empty_key_leaves_room_for_the_reason() {
    let text = "GET /function/a HTTP/1.1\r\nX-RsFaaS-Key:\r\n\r\n";
    let bytes = refused(
        text.as_bytes(),
        &head(text.as_bytes()),
        KEY,
        Refusal::KeyMalformed,
    );
    assert!(String::from_utf8_lossy(&bytes.unwrap()).contains("\r\nX-RsFaaS: m"));
}

#[test]
fn a_refused_asynchronous_request_goes_to_the_function_itself() {
    let text = keyed("/async-function/pydict");
    let bytes = refused(
        text.as_bytes(),
        &head(text.as_bytes()),
        KEY,
        Refusal::AsyncUnsupported,
    )
    .unwrap();
    assert!(bytes.starts_with(b"POST /function/pydict HTTP/1.1\r\n"));
    assert_eq!(bytes.len(), text.len());
}

#[test]
fn a_refused_asynchronous_request_in_any_spelling_goes_to_the_function_itself() {
    for path in [
        "http://host/async-function/pydict",
        "/%61sync-function/pydict/more",
        "//async-function/pydict?a=b",
        "/async-function/x/../pydict.openfaas-fn",
        "/async-function%2Fpydict",
        "/async-function/py%64ict",
    ] {
        let text = keyed(path);
        let head = head(text.as_bytes());
        let bytes = refused(text.as_bytes(), &head, KEY, Refusal::AsyncUnsupported).unwrap();
        let refused = self::head(&bytes);
        let name = "pydict".to_owned();
        assert_eq!(refused.target, Target::Function { name }, "{path}");
        assert!(refused.name_range.is_some(), "{path}: redirected");
        assert_eq!(bytes.len(), text.len(), "{path}");
    }
}

#[test]
fn a_reason_that_the_client_sent_is_taken_out() {
    let text = format!("GET /function/a HTTP/1.1\r\nx-rsfaas: x\r\nX-RsFaaS-Key: {TEXT}\r\n\r\n");
    let bytes = refused(
        text.as_bytes(),
        &head(text.as_bytes()),
        KEY,
        Refusal::KeyWrong,
    )
    .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&bytes)
            .to_lowercase()
            .matches("x-rsfaas:")
            .count(),
        1
    );
}

#[test]
fn a_request_that_names_an_unlocked_container_leads_nowhere() {
    for path in ["/function/pydict-abc123-0/a", "/%66unction/pydict-abc123-0"] {
        let text = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let bytes = hidden(text.as_bytes(), &head(text.as_bytes()), KEY).unwrap();
        assert_eq!(bytes.len(), text.len());
        assert!(
            !String::from_utf8_lossy(&bytes).contains("pydict"),
            "{path}"
        );
    }
}

#[test]
fn empty_lines_before_the_request_line_stay_there() {
    let text = format!("\r\n\n{}", keyed("/function/pydict"));
    let head = head(text.as_bytes());
    let unlocked = to_function(text.as_bytes(), &head, KEY, "pydict-abc123-0").unwrap();
    assert!(unlocked.starts_with(b"\r\n\nPOST /function/pydict-abc123-0 HTTP/1.1\r\n"));
    let hidden = hidden(text.as_bytes(), &head, KEY).unwrap();
    assert!(hidden.starts_with(b"\r\n\nPOST /function/------ HTTP/1.1\r\n"));
    for bytes in [unlocked, hidden] {
        assert_eq!(bytes.len(), text.len());
        assert!(!String::from_utf8_lossy(&bytes).contains("rsfaas1"));
    }
}

#[test]
fn a_name_that_does_not_fit_is_an_error() {
    let text = "GET /function/a HTTP/1.1\r\nX-RsFaaS-Key: k\r\n\r\n";
    let long = "a".repeat(40);
    assert_eq!(
        to_function(text.as_bytes(), &head(text.as_bytes()), KEY, &long),
        Err(NoRoom)
    );
}

proptest! {
    #[test]
    fn any_room_is_filled_with_a_head_that_reads_the_same(
        room in 0_usize..200,
        line_end in prop_oneof![Just("\n"), Just("\r\n")],
    ) {
        let value = "v".repeat(room);
        let text = format!(
            "GET /function/a HTTP/1.1{line_end}X-RsFaaS-Key:{value}{line_end}Host: h{line_end}{line_end}"
        );
        let bytes = stripped(text.as_bytes(), &head(text.as_bytes()), KEY).unwrap();
        prop_assert_eq!(bytes.len(), text.len());
        let rewritten = head(&bytes);
        prop_assert_eq!(rewritten.length, text.len());
        prop_assert!(rewritten.keys.is_empty());
        let kept = String::from_utf8_lossy(&bytes).contains("Host: h");
        prop_assert!(kept);
    }

    #[test]
    fn names_of_any_length_that_fit_leave_a_readable_head(length in 1_usize..70) {
        let text = keyed("/function/a");
        let name = "n".repeat(length);
        let bytes = to_function(text.as_bytes(), &head(text.as_bytes()), KEY, &name).unwrap();
        prop_assert_eq!(bytes.len(), text.len());
        prop_assert_eq!(head(&bytes).length, text.len());
    }
}
