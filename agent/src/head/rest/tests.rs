use proptest::prelude::*;

use super::*;

const KEY: &KeyHeaders = KeyHeaders::DEFAULT;
const TEXT: &str = "POST /function/a HTTP/1.1\r\nHost: h\r\nX-RsFaaS-Key: secret\r\n\
                    Content-Length: 7\r\nx-rsfaas-KEY:secret\r\nX-R: x\r\n\r\n";

/// What goes on of a text that comes in pieces, and the body at its end.
fn go_on(pieces: &[&[u8]]) -> (Vec<u8>, Option<Body>) {
    let (mut rest, mut held, mut gone) = (Rest::new(), Vec::new(), Vec::new());
    for piece in pieces {
        held.extend_from_slice(piece);
        while !held.is_empty() {
            let (length, bytes) = match rest.step(&held, KEY) {
                Step::Pass(length) => (length, held[..length].to_vec()),
                Step::Replace(line) => (line.len(), line),
                Step::End(length, body) => {
                    gone.extend_from_slice(&held[..length]);
                    return (gone, Some(body));
                }
            };
            gone.extend(bytes);
            held.drain(..length);
        }
    }
    (gone, None)
}

#[test]
fn lines_with_a_key_become_others_of_their_length() {
    let (gone, body) = go_on(&[TEXT.as_bytes()]);
    assert_eq!(body, Some(Body::Length(7)));
    assert_eq!(gone.len(), TEXT.len());
    let gone = String::from_utf8(gone).unwrap();
    assert!(!gone.contains("secret"), "{gone}");
    assert!(
        gone.contains("\r\nHost: h\r\n") && gone.contains("\r\nX-R: x\r\n"),
        "{gone}"
    );
}

#[test]
fn the_next_key_becomes_another_line_as_the_key_does() {
    let text = TEXT.replace("X-RsFaaS-Key", "X-RsFaaS-Next-Key");
    for cut in 0..text.len() {
        let (start, end) = text.as_bytes().split_at(cut);
        let (gone, body) = go_on(&[start, end]);
        assert_eq!((gone.len(), body), (text.len(), Some(Body::Length(7))));
        assert!(!String::from_utf8_lossy(&gone).contains("secret"), "{cut}");
    }
}

#[test]
fn nothing_waits_for_its_line_to_end() {
    for (text, expected) in [
        ("Cookie: half a", "Cookie: half a"),
        ("X-RsF", "X-RsF"),
        ("X-RsFaaS-Key: half a", "P:000000000000000000"),
    ] {
        let (gone, _) = go_on(&[b"GET / HTTP/1.1\r\n", text.as_bytes()]);
        assert_eq!(gone[16..], *expected.as_bytes());
    }
}

#[test]
fn a_name_that_has_begun_to_go_on_becomes_another() {
    let (gone, _) = go_on(&[b"GET / HTTP/1.1\r\nX-RsF", b"aaS-Key: sec", b"ret\r\n"]);
    assert!(gone.ends_with(b"\r\nX-RsF:00000000000000\r\n"));
    let (gone, _) = go_on(&[b"GET / HTTP/1.1\r\nX-RsF", b"oo: bar\r\n"]);
    assert!(gone.ends_with(b"\r\nX-RsFoo: bar\r\n"));
}

#[test]
fn a_name_that_only_begins_as_the_key_headers_is_left_as_it_is() {
    for line in [
        "X-RsFaaS-Key-Version: 1",
        "x-rsfaas-next-keys:1",
        "X-RsFaaS-Key_: 1",
    ] {
        let text = format!("GET / HTTP/1.1\r\n{line}\r\nHost: h\r\n\r\n");
        let (gone, _) = go_on(&[text.as_bytes()]);
        assert_eq!(String::from_utf8(gone).unwrap(), text);
    }
}

#[test]
fn whatever_ends_the_name_the_line_is_the_keys() {
    for end in [":", " :", "\t:", "\r\n :", "\0:", "\u{80}:"] {
        let text = format!("GET / HTTP/1.1\r\nX-RsFaaS-Key{end}secret\r\n\r\n");
        for cut in 0..text.len() {
            let (start, rest) = text.as_bytes().split_at(cut);
            let (gone, _) = go_on(&[start, rest]);
            assert!(
                !String::from_utf8_lossy(&gone).contains("secret"),
                "{end:?} {cut}"
            );
        }
    }
}

#[test]
fn what_is_folded_behind_a_key_belongs_to_it() {
    let text = "GET / HTTP/1.1\r\nX-RsFaaS-Key:\r\n secret\r\n\tsecret\r\nHost:\r\n h\r\n\r\n";
    let expected = text
        .replace("X-RsFaaS-Key:", "P:00000000000")
        .replace("\tsecret", " 000000")
        .replace("secret", "000000");
    for cut in 0..text.len() {
        let (start, end) = text.as_bytes().split_at(cut);
        let (gone, _) = go_on(&[start, end]);
        let gone = String::from_utf8(gone).unwrap();
        assert!(
            !gone.contains("secret") && gone.len() == text.len(),
            "{cut}"
        );
    }
    let (gone, _) = go_on(&[text.as_bytes()]);
    assert_eq!(String::from_utf8(gone).unwrap(), expected);
}

#[test]
fn empty_lines_before_the_request_line_end_no_head() {
    let before = "\r\n\r\n";
    let (gone, body) = go_on(&[b"\r", b"\n\r\n", TEXT.as_bytes()]);
    assert_eq!(
        (gone.len(), body),
        (before.len() + TEXT.len(), Some(Body::Length(7)))
    );
    assert!(!String::from_utf8_lossy(&gone).contains("secret"));
}

#[test]
fn the_body_of_a_head_with_too_much_to_remember_is_not_followed() {
    let text = TEXT.replacen("/a", &"/a".repeat(KEPT), 1);
    let (gone, body) = go_on(&[text.as_bytes()]);
    assert_eq!((gone.len(), body), (text.len(), Some(Body::Opaque)));
    assert!(!String::from_utf8_lossy(&gone).contains("secret"));
}

#[test]
fn lines_that_were_judged_before_still_frame_the_body() {
    let start = "POST / HTTP/1.1\r\nX-RsFaaS-Key: k\r\nTransfer-Encoding: chunked\r\n";
    let mut rest = Rest::after(start.as_bytes(), KEY);
    assert!(matches!(
        rest.step(b"\r\n5\r\n", KEY),
        Step::End(2, Body::Chunked)
    ));
}

proptest! {
    #[test]
    fn any_cuts_leave_no_key_and_all_the_rest(cuts in proptest::collection::vec(1_usize..30, 1..40)) {
        let mut pieces = Vec::new();
        let mut left = TEXT.as_bytes();
        for cut in cuts.into_iter().chain([TEXT.len()]) {
            let (piece, rest) = left.split_at(cut.min(left.len()));
            pieces.push(piece);
            left = rest;
        }
        let (gone, body) = go_on(&pieces);
        prop_assert_eq!((gone.len(), body), (TEXT.len(), Some(Body::Length(7))));
        let gone = String::from_utf8_lossy(&gone);
        prop_assert!(!gone.contains("cret") && !gone.contains("secr"));
        for line in ["Host: h", "Content-Length: 7", "X-R: x"] {
            let line = format!("\r\n{line}\r\n");
            prop_assert!(gone.contains(&line));
        }
    }
}
