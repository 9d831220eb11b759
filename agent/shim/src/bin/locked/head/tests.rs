use super::*;

fn parse(bytes: &[u8]) -> Parsed {
    super::parse(bytes, "X-Key")
}

fn complete(text: &str) -> Head {
    match parse(text.as_bytes()) {
        Parsed::Complete(head) => head,
        other => panic!("{other:?}"),
    }
}

fn with(headers: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: x\r\n{headers}\r\n")
}

#[test]
fn a_request_without_a_reason_is_locked() {
    let text = with("");
    let head = complete(&text);
    assert_eq!(head.refusal, Refusal::Locked);
    assert_eq!(head.length, text.len());
    assert!(head.keep_alive);
}

#[test]
fn the_reason_is_found_in_any_letter_case() {
    assert_eq!(
        complete(&with("x-rsfaas: w\r\n")).refusal,
        Refusal::KeyWrong
    );
}

#[test]
fn a_key_header_is_noted_in_any_letter_case_and_its_value_is_nowhere() {
    let head = complete(&with("x-key: rsfaas1secret\r\n"));
    assert!(head.has_key && head.refusal == Refusal::Locked);
    assert!(!format!("{head:?}").contains("secret"));
    assert!(!complete(&with("X-Next-Key: rsfaas1secret\r\n")).has_key);
}

#[test]
fn bytes_that_are_no_text_change_nothing() {
    let mut bytes = b"GET /caf\xe9 HTTP/1.1\r\nX-Name: \xe9\xff\r\nX-RsFaaS: w\r\n\r\n".to_vec();
    let length = bytes.len();
    bytes.extend(b"body \xe9");
    let Parsed::Complete(head) = parse(&bytes) else {
        panic!("{:?}", parse(&bytes));
    };
    assert_eq!((head.refusal, head.length), (Refusal::KeyWrong, length));
}

#[test]
fn an_unknown_reason_is_locked() {
    assert_eq!(
        complete(&with("X-RsFaaS: whatever\r\n")).refusal,
        Refusal::Locked
    );
}

#[test]
fn probes_are_known_by_their_path_alone() {
    for (target, probe) in [
        ("/_/health", true),
        ("/_/ready?full=1", true),
        ("/_/healthy", false),
        ("/?/_/health", false),
    ] {
        assert_eq!(
            complete(&format!("GET {target} HTTP/1.1\r\n\r\n")).probe,
            probe,
            "{target}"
        );
    }
}

#[test]
fn every_cut_of_a_head_is_incomplete() {
    let text = with("Content-Length: 3\r\n");
    for end in 0..text.len() {
        assert_eq!(
            parse(&text.as_bytes()[..end]),
            Parsed::Incomplete,
            "cut at {end}"
        );
    }
}

#[test]
fn a_head_without_end_is_too_long() {
    assert_eq!(parse(&vec![b'a'; MAX_HEAD]), Parsed::TooLong);
}

#[test]
fn body_lengths_are_read() {
    assert_eq!(complete(&with("")).body, BodyLength::Known(0));
    assert_eq!(
        complete(&with("content-length: 17\r\n")).body,
        BodyLength::Known(17)
    );
    assert_eq!(
        complete(&with("Transfer-Encoding: Chunked\r\n")).body,
        BodyLength::Chunked
    );
}

#[test]
fn ambiguous_or_broken_heads_are_malformed() {
    for text in [
        with("Content-Length: 3\r\nContent-Length: 4\r\n"),
        with("Content-Length: +3\r\n"),
        with("Content-Length: 99999999999999999999\r\n"),
        with("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
        with("Transfer-Encoding: gzip, chunked\r\n"),
        with("No colon\r\n"),
        with("Content-Length : 3\r\n"),
        with(" folded: 1\r\n"),
        "GET  / HTTP/1.1\r\n\r\n".into(),
        "GET / HTTP/2.0\r\n\r\n".into(),
        "GET /\r\n\r\n".into(),
    ] {
        assert_eq!(parse(text.as_bytes()), Parsed::Malformed, "{text:?}");
    }
}

#[test]
fn connections_are_kept_as_the_version_and_the_client_say() {
    assert!(!complete(&with("Connection: Close\r\n")).keep_alive);
    assert!(!complete("GET / HTTP/1.0\r\n\r\n").keep_alive);
    assert!(complete("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").keep_alive);
}
