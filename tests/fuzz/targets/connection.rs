//! Well-formed requests on one connection, cut into segments that come in any order and any number of
//! times. Whatever the order:
//!
//! - each request is judged once, in turn, as what it is;
//! - no key reaches the gateway;
//! - every byte reaches it, heads in a readable form of the same length, bodies as they are.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rsfaas::head::{self, Decision};
use rsfaas_fuzz::{Body, KEY_HEADER, Request, SEALED, SECRET, Target, Wire, contains};
use rsfaas_shim::Refusal;

#[derive(Debug, Arbitrary)]
struct Input {
    base: u32,
    requests: Vec<Request>,
    decisions: Vec<Choice>,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Choice {
    Unlock(u8),
    Refuse(u8),
    Strip,
    Hide,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Step {
    /// New bytes, in turn.
    Next(u16),
    /// Bytes that were sent before, and perhaps some new ones.
    Again { back: u16, length: u16 },
    /// Bytes behind a gap.
    Ahead { skip: u16, length: u16 },
    /// The oldest request is decided about.
    Decide,
}

/// The requests, and what has been decided about them.
struct Run {
    requests: Vec<Request>,
    choices: Vec<Choice>,
    decided: Vec<Decision>,
    wire: Wire,
}

impl Run {
    fn decide(&mut self) {
        let Some(judged) = self.wire.judged.pop_front() else {
            return;
        };
        let index = self.decided.len();
        let request = self.requests.get(index).expect("a request too many");
        let name = SEALED.to_owned();
        let (target, plain) = match request.target {
            Target::Sealed | Target::Namespace => (head::Target::Function { name }, true),
            Target::Async => (head::Target::Async { name }, true),
            Target::Encoded => (head::Target::Function { name }, false),
            Target::Other => (head::Target::Other, false),
        };
        assert!(judged.request.target == target && judged.request.plain == plain);
        let keys = request.key.map_or(0, |key| 1 + usize::from(key.twice));
        assert!(judged.request.keys.len() == keys);
        assert!(
            judged
                .request
                .keys
                .iter()
                .all(|key| key.as_slice() == SECRET.as_bytes())
        );

        let choice = self.choices.get(index % self.choices.len().max(1));
        let decision = match choice.copied().unwrap_or(Choice::Strip) {
            Choice::Unlock(length) => Decision::Unlock("n".repeat(1 + usize::from(length % 63))),
            Choice::Refuse(number) => {
                Decision::Refuse(Refusal::ALL[usize::from(number) % Refusal::ALL.len()])
            }
            Choice::Strip => Decision::Strip,
            Choice::Hide => Decision::Hide,
        };
        self.wire.decide(judged.id, &decision);
        self.decided.push(decision);
    }

    /// The client sends again what has not arrived, as TCP does until everything has.
    fn finish(&mut self) {
        while let Some(missing) = self.wire.first_missing() {
            let (count, decided) = (self.wire.count(), self.decided.len());
            self.wire.send(missing, 700);
            self.decide();
            assert!(
                self.wire.count() > count || self.decided.len() > decided,
                "stuck at {missing}"
            );
        }
    }

    fn check(&self) {
        let arrived = self.wire.arrived();
        assert!(!contains(&arrived, SECRET.as_bytes()), "a key went on");
        assert!(self.decided.len() == self.requests.len());
        let mut rest = arrived.as_slice();
        for (request, decision) in self.requests.iter().zip(&self.decided) {
            let (head, behind) = rest.split_at(request.head().len());
            check_head(head, request, decision);
            let body = request.body();
            assert!(behind.starts_with(&body), "a body was changed");
            rest = &behind[body.len()..];
        }
    }
}

fn check_head(head: &[u8], request: &Request, decision: &Decision) {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Request::new(&mut headers);
    assert!(parsed.parse(head) == Ok(httparse::Status::Complete(head.len())));
    assert!(
        parsed
            .headers
            .iter()
            .all(|header| !header.name.eq_ignore_ascii_case(KEY_HEADER))
    );
    let framed = matches!(request.body, Body::Length(_) | Body::Chunked(..));
    let framing = ["Content-Length", "Transfer-Encoding"];
    assert!(
        framed
            == parsed
                .headers
                .iter()
                .any(|header| framing.contains(&header.name))
    );

    let (path, was) = (parsed.path.unwrap_or_default(), request.path());
    match decision {
        // The key leaves room for any name; without a key there may be too little of it.
        Decision::Unlock(name)
            if request.key.is_some()
                && matches!(request.target, Target::Sealed | Target::Namespace) =>
        {
            assert!(path == was.replace(SEALED, name));
        }
        Decision::Refuse(refusal) if request.key.is_some() => {
            assert!(path == was.replace("/async-", "/"));
            let reason = parsed
                .headers
                .iter()
                .find(|header| header.name == Refusal::HEADER);
            assert!(reason.is_some_and(|header| header.value == refusal.code().as_bytes()));
        }
        Decision::Strip => assert!(path == was),
        Decision::Hide => assert!(path != was && !path.contains(SEALED)),
        _ => {}
    }
}

fuzz_target!(|input: Input| {
    let requests: Vec<Request> = input.requests.into_iter().take(8).collect();
    let mut stream = Vec::new();
    for request in &requests {
        stream.extend(request.head());
        stream.extend(request.body());
    }
    let mut run = Run {
        wire: Wire::new(stream, input.base),
        requests,
        choices: input.decisions,
        decided: Vec::new(),
    };
    let mut next = 0;
    // The spotter holds a flow from the first byte of a request on.
    for step in std::iter::once(Step::Next(1)).chain(input.steps) {
        match step {
            Step::Next(length) => {
                run.wire.send(next, usize::from(length));
                next += usize::from(length);
            }
            Step::Again { back, length } => {
                run.wire
                    .send(next.saturating_sub(usize::from(back)), usize::from(length));
            }
            Step::Ahead { skip, length } => {
                run.wire.send(next + usize::from(skip), usize::from(length));
            }
            Step::Decide => run.decide(),
        }
    }
    run.finish();
    run.check();
});
