//! Requests in thousands of spellings.
use crate::HEADER;

/// A generator of requests (`SplitMix64`), the same ones at each run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
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
    pub(crate) fn plain_request(&mut self, name: &str) -> Vec<u8> {
        let target = self.target(name);
        format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").into_bytes()
    }

    /// The same with a key, which is long enough to make room for an unlocked container's name.
    pub(crate) fn keyed_request(&mut self, name: &str) -> Vec<u8> {
        let mut request = self.plain_request(name);
        // In place of the line that ends the head.
        request.truncate(request.len() - 4);
        request.extend_from_slice(format!("\r\n{HEADER}: {}\r\n\r\n", "k".repeat(60)).as_bytes());
        request
    }

    /// What stands before a request, and what comes before that on its connection.
    pub(crate) fn before(&mut self) -> (&'static str, &'static str) {
        let before = self.mostly("", &["\r\n", "\n\n", "\r\n\r\n", " "]);
        // Line ends before a request are skipped on a connection that has seen a POST.
        let first = if before.is_empty() {
            ""
        } else {
            "POST /function/other HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
        };
        (first, before)
    }

    /// A request that may be odd in every part, and what comes before it on its connection.
    pub(crate) fn odd_request(&mut self, name: &str) -> (Vec<u8>, Vec<u8>) {
        let end = self.mostly("\r\n", &["\n"]);
        let target = if self.below(3) == 0 {
            self.target(name)
        } else {
            format!("/function/{name}")
        };
        let (first, before) = self.before();
        let mut bytes = before.to_owned();
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
        (first.as_bytes().to_vec(), bytes.into_bytes())
    }
}
