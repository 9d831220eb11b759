use super::*;

fn whole(head: &str) -> Head {
    match parse(head.as_bytes(), KeyHeaders::DEFAULT) {
        Parsed::Whole(head) => *head,
        Parsed::Incomplete => panic!("incomplete: {head}"),
        Parsed::Invalid => panic!("invalid: {head}"),
    }
}

#[test]
fn a_plain_target_and_its_name_are_found_behind_empty_lines_too() {
    for before in ["", "\r\n", "\n\n", "\r\n\r\n"] {
        let text = format!("{before}POST /function/pydict.openfaas-fn/a HTTP/1.1\r\n\r\n");
        let head = whole(&text);
        assert_eq!(head.start, before.len());
        assert_eq!(&text[head.name_range.unwrap()], "pydict");
        assert_eq!(&text[head.target_range], "/function/pydict.openfaas-fn/a");
    }
}

#[test]
fn what_the_gateway_reads_leniently_is_a_head() {
    let many: String = (0..300).map(|index| format!("A{index}: b\r\n")).collect();
    for head in [
        "GET /function/a HTTP/1.3\r\nHost: a\r\n\r\n",
        "GET /function/a HTTP/1.1\r\nA: b\r\n folded\r\nHost: a\r\n\r\n",
        "A!1 /function/a HTTP/1.1\nHost: a\n\n",
        "GET /function/a/\u{e4}<\"> HTTP/1.1\r\nHost: a\r\n\r\n",
        &format!("GET /function/a HTTP/1.1\r\n{many}\r\n"),
    ] {
        assert_eq!(
            whole(head).target,
            Target::Function { name: "a".into() },
            "{head}"
        );
    }
}

#[test]
fn what_is_no_request_is_told_as_early_as_possible() {
    for bytes in [
        b"\x16\x03\x01\x00".as_slice(),
        b"{\"word\"",
        b"The word: text",
        b"GET\n",
        b"GET /\n",
        b" /function/a HTTP/1.1\r\n\r\n",
        b"GET  /function/a HTTP/1.1\r\n\r\n",
    ] {
        assert!(
            matches!(parse(bytes, KeyHeaders::DEFAULT), Parsed::Invalid),
            "{}",
            String::from_utf8_lossy(bytes)
        );
    }
}

#[test]
fn an_unfinished_request_line_that_may_lead_to_a_function_is_told_from_a_text() {
    for start in ["GET", "GET ", "GET /fun", "\r\n", "GET http://host/fun"] {
        assert!(may_become_a_call(start.as_bytes()), "{start}");
    }
    for text in ["The word:and", "GET / HTTP/1.1\r\n"] {
        assert!(!may_become_a_call(text.as_bytes()), "{text}");
    }
}

#[test]
fn the_start_of_a_head_is_read_up_to_its_last_whole_line() {
    let text = "\r\nGET /function/a HTTP/1.1\r\nX-RsFaaS-Key: k\r\nHost: h";
    let head = parse_start(text.as_bytes(), KeyHeaders::DEFAULT).unwrap();
    assert_eq!(&text[head.length..], "Host: h");
    assert_eq!((head.body, head.keys.len()), (Body::Unknown, 1));
    let line = "GET /function/a HTTP/1.1\r";
    assert!(parse_start(line.as_bytes(), KeyHeaders::DEFAULT).is_none());
}

#[test]
fn every_key_header_is_found_in_any_letter_case() {
    let head =
        whole("GET / HTTP/1.1\r\nx-RSFAAS-key:  a \r\nX-RsFaaS-Key: b\r\nX-Other: c\r\n\r\n");
    let keys: Vec<&[u8]> = head.keys.iter().map(|key| key.as_slice()).collect();
    assert_eq!(keys, [b"a".as_slice(), b"b"]);
}

#[test]
fn the_next_key_is_told_from_the_key() {
    let head = whole("GET / HTTP/1.1\r\nX-RsFaaS-Next-Key: n\r\nX-RsFaaS-Key: k\r\n\r\n");
    assert_eq!(head.keys, [Zeroizing::new(b"k".to_vec())]);
    assert_eq!(head.next_keys, [Zeroizing::new(b"n".to_vec())]);
}

#[test]
fn the_body_is_framed_as_the_headers_say_and_opaque_where_they_contradict() {
    let cases = [
        ("", Body::Length(0)),
        ("Content-Length: 12\r\n", Body::Length(12)),
        ("Transfer-Encoding: Chunked\r\n", Body::Chunked),
        ("Content-Length: 12\r\nContent-Length: 12\r\n", Body::Opaque),
        (
            "Content-Length: 12\r\nTransfer-Encoding: chunked\r\n",
            Body::Opaque,
        ),
        ("Content-Length: +12\r\n", Body::Opaque),
        ("Transfer-Encoding: gzip, chunked\r\n", Body::Opaque),
        (
            "Connection: Upgrade\r\nUpgrade: websocket\r\n",
            Body::BeforeUpgrade(Some(0)),
        ),
        (
            "Upgrade: h2c\r\nTransfer-Encoding: chunked\r\n",
            Body::BeforeUpgrade(None),
        ),
    ];
    for (headers, expected) in cases {
        let head = whole(&format!("POST / HTTP/1.1\r\n{headers}\r\n"));
        assert_eq!(head.body, expected, "{headers}");
    }
}

#[test]
fn in_http_1_0_the_length_alone_frames_a_body() {
    let chunked = "Transfer-Encoding: chunked\r\n";
    let cases = [
        (chunked, Body::Length(0)),
        ("Transfer-Encoding: gzip\r\n", Body::Length(0)),
        ("Content-Length: 12\r\n", Body::Length(12)),
        (
            &format!("{chunked}Content-Length: 12\r\n{chunked}"),
            Body::Length(12),
        ),
        ("Content-Length: x\r\n", Body::Opaque),
    ];
    for (headers, expected) in cases {
        let text = format!("POST / HTTP/1.0\r\n{headers}\r\n");
        assert_eq!(whole(&text).body, expected, "{headers}");
        assert_eq!(framing(text.as_bytes()), expected, "{headers}");
    }
}

#[test]
fn a_head_is_incomplete_until_its_last_byte() {
    let text = "GET /function/pydict HTTP/1.1\r\nX-RsFaaS-Key: k\r\n\r\n";
    for cut in 0..text.len() {
        assert!(
            matches!(
                parse(&text.as_bytes()[..cut], KeyHeaders::DEFAULT),
                Parsed::Incomplete
            ),
            "{cut}"
        );
    }
}
