//! Any bytes on a connection. Whatever they are:
//!
//! - what goes on has the places and the length of what came;
//! - a head that was judged, and that a second parser reads, goes on as a head of the same length, method and other headers, without
//!   the key, to the target that was decided on (or its own, where that does not fit).
//!
//! The input's first three bytes choose the decision, a name's length and the size of segments; the
//! rest is what the client sends.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rsfaas::head::Decision;
use rsfaas_fuzz::{KEY_HEADER, Wire};
use rsfaas_shim::Refusal;

/// What a head says.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    length: usize,
    method: String,
    path: String,
    /// Those that are nobody's business but the function's.
    headers: Vec<(String, Vec<u8>)>,
    keys: usize,
}

fn read(bytes: &[u8]) -> Option<Said> {
    // One more than the agent reads: a rewritten head may have a line more than it had.
    let mut headers = [httparse::EMPTY_HEADER; 129];
    let mut parsed = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(length)) = parsed.parse(bytes) else {
        return None;
    };
    let is_key = |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case(KEY_HEADER);
    let is_ours = |name: &str| {
        name.eq_ignore_ascii_case(Refusal::HEADER)
            || name.eq_ignore_ascii_case("X-RsFaaS-Pad")
            || name.bytes().all(|byte| byte == b'P')
    };
    Some(Said {
        length,
        method: parsed.method?.to_owned(),
        path: parsed.path?.to_owned(),
        headers: parsed
            .headers
            .iter()
            .filter(|header| !is_key(header) && !is_ours(header.name))
            .map(|header| (header.name.to_owned(), header.value.trim_ascii().to_vec()))
            .collect(),
        keys: parsed.headers.iter().filter(is_key).count(),
    })
}

fn check(was: &[u8], is: &[u8], decision: &Decision) {
    // The agent takes for a head all that the gateway does, which is more than this parser reads.
    let Some(was) = read(was) else {
        return;
    };
    let is = read(is).expect("a head went on that cannot be read");
    assert_eq!(was.length, is.length);
    assert_eq!(was.method, is.method);
    assert_eq!(was.headers, is.headers);
    if matches!(decision, Decision::Pass | Decision::Leave) {
        assert_eq!(was, is);
        return;
    }
    assert_eq!(is.keys, 0, "a key went on");
    let own = is.path == was.path;
    match decision {
        Decision::Unlock(name) => assert!(own || leads_to(name, &was.path, &is.path)),
        Decision::Refuse(_) => assert!(own || is.path.starts_with("/function/")),
        Decision::Hide => assert!(!was.path.starts_with("/function/a") || !own),
        Decision::Pass | Decision::Leave | Decision::Strip => assert!(own),
    }
}

/// Whether another name stands in a path, right behind a plain prefix, and what was around the former one stays there.
fn leads_to(name: &str, was: &str, is: &str) -> bool {
    let is_prefixed = |prefix: &str| {
        !was.starts_with(prefix)
            || is
                .strip_prefix(prefix)
                .is_some_and(|rest| rest.starts_with(name))
    };
    let stays_around = |start: usize| {
        let (before, rest) = is.split_at(start);
        rest.strip_prefix(name)
            .is_some_and(|behind| was.starts_with(before) && was.ends_with(behind))
    };
    ["/function/", "/async-function/"]
        .into_iter()
        .all(is_prefixed)
        && is.char_indices().any(|(start, _)| stays_around(start))
}

fuzz_target!(|data: &[u8]| {
    let Some(([choice, length, size], text)) = data.split_first_chunk() else {
        return;
    };
    let decision = match choice % 6 {
        0 => Decision::Unlock("n".repeat(1 + usize::from(length % 63))),
        1 => Decision::Refuse(Refusal::ALL[usize::from(*length) % Refusal::ALL.len()]),
        2 => Decision::Pass,
        3 => Decision::Strip,
        4 => Decision::Leave,
        _ => Decision::Hide,
    };
    let size = usize::from(*size).max(1);
    let mut wire = Wire::new(text.to_vec(), u32::MAX - u32::from(*length));
    for start in (0..text.len()).step_by(size) {
        wire.send(start, size);
        while let Some(judged) = wire.judged.pop_front() {
            let start = wire.first_missing().expect("a head that went on already");
            wire.decide(judged.id, &decision);
            check(&text[start..], &wire.arrived()[start..], &decision);
        }
    }
    wire.give_up();
});
