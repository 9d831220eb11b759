//! Which spellings of a request lead to a function: a real gateway is asked about thousands, and what
//! spotter and agent make of them must agree.
//!
//! Needs root, the testbed's gateway and its `routing` on the search path; without these two the tests
//! are shown as ignored.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::HashMap,
    io::Write as _,
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
};

use libtest_mimic::{Arguments, Failed, Trial};
use rsfaas::head::{Action, Connection, Decision, Request, Target};

const HEADER: &str = "X-RsFaaS-Key";
const SEALED: &str = "pydict";
const UNLOCKED: &str = "pydict-abc123-0";
/// Generated requests, each for a name of its own.
const CASES: u64 = 4000;

fn main() -> ExitCode {
    let parts = find("gateway").zip(find("routing"));
    let missing = parts.is_none();
    let trial = |name, test: fn(&Gateway) -> Result<(), Failed>| {
        let gateway = parts
            .clone()
            .map(|(gateway, routing)| Gateway { gateway, routing });
        Trial::test(name, move || test(&gateway.ok_or("no gateway")?)).with_ignored_flag(missing)
    };
    let trials = vec![
        trial(
            "a_request_leads_where_the_agent_says_and_the_plain_name_is_the_one_that_counts",
            agent_agrees,
        ),
        trial(
            "no_spelling_leads_to_an_unlocked_container",
            unlocked_is_out_of_reach,
        ),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// What became of a request.
struct Outcome {
    answered: bool,
    /// The functions that it has reached, without namespaces.
    reached: Vec<String>,
}

struct Gateway {
    gateway: PathBuf,
    routing: PathBuf,
}

impl Gateway {
    /// What becomes of each of some requests.
    fn ask(&self, requests: &[Vec<u8>]) -> Vec<Outcome> {
        let mut child = Command::new(&self.routing)
            .arg(&self.gateway)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let text: String = requests.iter().map(|bytes| hex(bytes) + "\n").collect();
        let writer = std::thread::spawn(move || input.write_all(text.as_bytes()).unwrap());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        assert!(output.status.success(), "{}", output.status);
        let answers: Vec<Outcome> = String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|line| line.split_once(' ').unwrap())
            .map(|(status, reached)| Outcome {
                answered: status != "000",
                reached: names(reached),
            })
            .collect();
        assert_eq!(answers.len(), requests.len());
        answers
    }
}

fn names(list: &str) -> Vec<String> {
    list.split(',')
        .filter(|name| *name != "-")
        .map(|name| name.split('.').next().unwrap_or_default().to_owned())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A generator of requests (`SplitMix64`), the same ones at each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap()
    }

    fn one<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    /// Mostly the first.
    fn mostly<'a>(&mut self, usual: &'a str, others: &[&'a str]) -> &'a str {
        if self.below(4) == 0 {
            self.one(others)
        } else {
            usual
        }
    }

    /// A text, some of it percent-encoded, once or twice.
    fn encoded(&mut self, text: &str, odds: usize) -> String {
        text.bytes()
            .map(|byte| match self.below(odds) {
                0 => format!("%{byte:02x}"),
                1 => format!("%{byte:02X}"),
                2 => format!("%25{byte:02x}"),
                _ => char::from(byte).to_string(),
            })
            .collect()
    }

    fn target(&mut self, name: &str) -> String {
        let odds = self.one(&["40", "200", "2000"]).parse().unwrap();
        let origin = self.mostly(
            "",
            &[
                "http://host",
                "http://host:80",
                "x:",
                "x://",
                "HTTP://h?",
                "x:?://",
                "//h",
                "host",
                "a1+.-:",
                "1:",
            ],
        );
        let mut target = origin.to_owned();
        let mut parts = vec![
            self.mostly(
                "function",
                &["Function", "function.", "functions", "async-function"],
            )
            .to_owned(),
        ];
        parts.push(self.mostly(name, &["x", "", ".", "..", "a.b"]).to_owned());
        for _ in 0..self.below(3) {
            let place = self.below(parts.len() + 1);
            let part = self.one(&[
                "", ".", "..", "x", "a:b", "\u{e4}", "<\">", ";", "@", "#a", "%", "%zz", "%0a",
                "%00", "%3f", "%23",
            ]);
            parts.insert(place, part.to_owned());
        }
        for part in parts {
            target += self.mostly(
                "/",
                &[
                    "//",
                    "/./",
                    "%2f",
                    "\\",
                    "/%2e%2e/",
                    "/%252e%252e/",
                    "/x/../",
                ],
            );
            target += &self.encoded(&part, odds);
        }
        target += self.mostly(
            "",
            &[
                "/", "//", ".ns", "?", "?a=/b", "#", "%20", ";a", "/..", "/a?b#c",
            ],
        );
        target
    }

    /// A request that is as regular as can be but for its target.
    fn plain_request(&mut self, name: &str) -> Vec<u8> {
        let target = self.target(name);
        format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").into_bytes()
    }

    /// A request that may be odd in every part.
    fn odd_request(&mut self, name: &str) -> Vec<u8> {
        let end = self.mostly("\r\n", &["\n"]);
        let target = if self.below(3) == 0 {
            self.target(name)
        } else {
            format!("/function/{name}")
        };
        let before = self.mostly("", &["\r\n", "\n\n", "\r\n\r\n", " "]);
        // Line ends before a request are skipped on a connection that has seen a POST.
        let mut bytes = if before.is_empty() {
            String::new()
        } else {
            format!("POST /function/other HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n{before}")
        };
        let method = self.mostly(
            "GET",
            &[
                "POST",
                "A!1",
                "1",
                "-",
                "get",
                "CONNECT",
                "PRI",
                "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
            ],
        );
        let version = self.mostly(
            "HTTP/1.1",
            &[
                "HTTP/1.0",
                "HTTP/1.3",
                "HTTP/2.0",
                "http/1.1",
                "HTTP/1.1 ",
                "HTTP/1",
            ],
        );
        bytes += &format!("{method} {target} {version}{end}Host: a{end}Connection: close{end}");
        let line = self.mostly(
            "A: b",
            &[
                "A: b\r\n folded",
                "A : b",
                "Upgrade: x",
                "Content-Length: 0\r\nContent-Length: 0",
                "A\u{1}: b",
                ": b",
                "A",
                "A: \u{e4}",
            ],
        );
        bytes += line;
        bytes += end;
        if self.below(8) == 0 {
            for index in 0..300 {
                bytes += &format!("A{index}: b{end}");
            }
        }
        if self.below(16) == 0 {
            bytes += &format!("A: {}{end}", "b".repeat(70_000));
        }
        bytes += end;
        bytes.into_bytes()
    }
}

/// What the agent makes of a connection's bytes, and what it lets go on if nobody may be served.
fn judge(bytes: &[u8], container: &str) -> (Vec<(Target, bool)>, Vec<u8>) {
    let mut connection = Connection::new(HEADER);
    let mut judged = Vec::new();
    let mut released = Vec::new();
    let mut actions = std::collections::VecDeque::from(connection.segment(0, bytes));
    while let Some(action) = actions.pop_front() {
        match action {
            Action::Judge { id, request } => {
                let Request { target, plain, .. } = request;
                let decision = match &target {
                    Target::Function { name } | Target::Async { name } if name == container => {
                        Decision::Hide
                    }
                    _ => Decision::Pass,
                };
                judged.push((target, plain));
                actions.extend(connection.decide(id, &decision));
            }
            Action::Release { bytes, .. } => released.extend_from_slice(&bytes),
            Action::PassWindow { .. } | Action::Opaque => {}
        }
    }
    (judged, released)
}

fn agent_agrees(gateway: &Gateway) -> Result<(), Failed> {
    let mut random = Random(1);
    let requests: Vec<Vec<u8>> = (0..CASES).map(|_| random.plain_request(SEALED)).collect();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for (request, outcome) in requests.iter().zip(gateway.ask(&requests)) {
        let text = String::from_utf8_lossy(request);
        let line = text.lines().next().unwrap_or_default();
        let (judged, _) = judge(request, UNLOCKED);
        let said: Vec<&str> = judged
            .iter()
            .filter_map(|(target, _)| match target {
                Target::Function { name } => Some(name.as_str()),
                _ => None,
            })
            .collect();
        let plain = judged
            .iter()
            .any(|(target, plain)| *plain && matches!(target, Target::Function { .. }));
        // The gateway writes the decoded path into a request of its own, and the provider decodes it
        // again; what comes of that reaches no other function.
        let forwarded = outcome.answered
            && !["%25", "%3f", "%23", "#"]
                .iter()
                .any(|code| line.contains(code));
        let reached = outcome.reached;
        if (!reached.is_empty() || (plain && forwarded)) && said != reached {
            return Err(format!("{line}: reaches {reached:?}, and the agent says {said:?}").into());
        }
        *counts
            .entry(if reached.is_empty() {
                "not reached"
            } else {
                "reached"
            })
            .or_default() += 1;
        if plain {
            *counts.entry("plain").or_default() += 1;
        }
    }
    println!("of {CASES} requests: {counts:?}");
    Ok(())
}

fn unlocked_is_out_of_reach(gateway: &Gateway) -> Result<(), Failed> {
    let mut random = Random(2);
    let requests: Vec<Vec<u8>> = (0..CASES).map(|_| random.odd_request(UNLOCKED)).collect();
    let released: Vec<Vec<u8>> = requests
        .iter()
        .map(|request| judge(request, UNLOCKED).1)
        .collect();
    let before = gateway.ask(&requests);
    let is_unlocked = |outcome: &Outcome| outcome.reached.iter().any(|name| name == UNLOCKED);
    let reachable = before.iter().filter(|outcome| is_unlocked(outcome)).count();
    println!("of {CASES} requests {reachable} reach it where no agent is");
    for (released, outcome) in released.iter().zip(gateway.ask(&released)) {
        if is_unlocked(&outcome) {
            return Err(String::from_utf8_lossy(released).into_owned().into());
        }
    }
    Ok(())
}
