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
    /// Whether the first request passes by itself where it is for no function and without a key.
    first_passes: bool,
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
    /// The gateway answers what it has.
    Answer,
    /// What is held of a head is acknowledged.
    Acknowledge,
    /// The next request comes whole, and its head is one that the programs know.
    Admit,
}

/// The requests, and what has been decided about them.
struct Run {
    /// Where the first of the requests starts that do not pass by themselves.
    start: usize,
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
        let (target, direct) = match request.target {
            Target::Sealed | Target::Namespace | Target::Encoded | Target::Absolute => {
                (head::Target::Function { name }, true)
            }
            Target::Async => (head::Target::Async { name }, true),
            Target::Unclean => (head::Target::Function { name }, false),
            Target::Other => (head::Target::Other, false),
        };
        assert!(judged.request.target == target && judged.request.direct == direct);
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

    /// The next request goes on by itself if it is one that may; the place behind it.
    fn admit(&mut self) -> Option<usize> {
        let (before, rest) = self.requests.split_at(self.decided.len());
        let start = before
            .iter()
            .fold(self.start, |end, request| end + request.length());
        let request = rest.first()?;
        let is_served =
            request.target == Target::Sealed && request.key.is_some_and(|key| !key.twice);
        if !is_served || matches!(request.body, Body::Chunked(..)) {
            return None;
        }
        let (length, head) = (request.length(), request.stripped());
        if !self.wire.admit(start, &head, length) {
            return None;
        }
        self.decided.push(Decision::Strip);
        Some(start + length)
    }

    /// The client sends again what has not arrived, as TCP does until everything has, and the gateway answers.
    fn finish(&mut self) {
        while let Some(missing) = self.wire.first_missing() {
            let (count, decided) = (self.wire.count(), self.decided.len());
            self.wire.answer();
            self.wire.send(missing.max(self.wire.acknowledged()), 700);
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
        let mut rest = &arrived[self.start..];
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
                && !matches!(
                    request.target,
                    Target::Async | Target::Unclean | Target::Other
                ) =>
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
    let mut requests: Vec<Request> = input.requests.into_iter().take(8).collect();
    let mut stream = Vec::new();
    for request in &requests {
        stream.extend(request.head());
        stream.extend(request.body());
    }
    let mut wire = Wire::new(stream, input.base);
    // The spotter holds a flow from the first byte of a request on, and from a whole head on where the gateway has not
    // answered what came before.
    let mut first = 1;
    let mut start = 0;
    if let [passed, next, ..] = &requests[..]
        && input.first_passes
        && passed.target == Target::Other
        && passed.key.is_none()
    {
        start = passed.length();
        first = next.head().len();
        wire.pass_by(start);
        requests.remove(0);
    }
    let mut run = Run {
        start,
        wire,
        requests,
        choices: input.decisions,
        decided: Vec::new(),
    };
    let mut next = start;
    for step in std::iter::once(Step::Next(first as u16)).chain(input.steps) {
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
            Step::Answer => run.wire.answer(),
            Step::Acknowledge => run.wire.acknowledge(),
            Step::Admit => next = run.admit().map_or(next, |end| next.max(end)),
        }
    }
    run.finish();
    run.check();
});
