//! Well-formed requests, in every spelling that HTTP leaves to the client.

use agent_ebpf::HeldPlace;
use arbitrary::Arbitrary;
use rsfaas::head::{Action, Connection, Decision};

use crate::{KEY_HEADER, SEALED, SECRET};

/// Longest body: longer ones only cost time.
const LONGEST: u16 = 3000;

/// What a request asks for, and how that is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum Target {
    /// The sealed function.
    Sealed,
    /// The same, with its namespace.
    Namespace,
    /// The same, through the queue.
    Async,
    /// The same, percent-encoded.
    Encoded,
    /// The same in absolute form.
    Absolute,
    /// The same behind two slashes: the gateway redirects to the clean path.
    Unclean,
    /// Anything else.
    Other,
}

/// The key header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub struct Key {
    lower_case: bool,
    spaces: u8,
    /// A second one: one too many.
    pub twice: bool,
}

/// What follows the head.
#[derive(Debug, Clone, PartialEq, Eq, Arbitrary)]
pub enum Body {
    /// Nothing.
    None,
    /// So many bytes, up to a few segments' worth.
    Length(u16),
    /// Chunks of so many bytes, and so many trailers.
    Chunked(Vec<u8>, u8),
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Arbitrary)]
pub struct Request {
    /// What it asks for.
    pub target: Target,
    /// The key, if it carries one.
    pub key: Option<Key>,
    /// What follows the head.
    pub body: Body,
    headers_before: u8,
    headers_after: u8,
    bare_newlines: bool,
}

impl Request {
    /// The head, with the empty line.
    pub fn head(&self) -> Vec<u8> {
        let path = self.path();
        let mut lines = vec![format!("POST {path} HTTP/1.1")];
        lines.extend((0..self.headers_before % 4).map(filler));
        if let Some(key) = &self.key {
            let name = if key.lower_case {
                KEY_HEADER.to_ascii_lowercase()
            } else {
                KEY_HEADER.to_owned()
            };
            let line = format!("{name}:{}{SECRET}", " ".repeat(usize::from(key.spaces % 3)));
            lines.extend(std::iter::repeat_n(line, 1 + usize::from(key.twice)));
        }
        match self.body {
            Body::None => {}
            Body::Length(length) => lines.push(format!("Content-Length: {}", length % LONGEST)),
            Body::Chunked(..) => lines.push("Transfer-Encoding: chunked".to_owned()),
        }
        lines.extend((0..self.headers_after % 4).map(filler));
        let end = if self.bare_newlines { "\n" } else { "\r\n" };
        (lines.join(end) + end + end).into_bytes()
    }

    /// The head without the key, of the same length: as the agent lets it go on.
    pub fn stripped(&self) -> Vec<u8> {
        let mut connection = Connection::new(KEY_HEADER);
        let mut actions = connection.segment(0, &self.head(), HeldPlace::default());
        while let Some(action) = actions.pop() {
            match action {
                Action::Judge { id, .. } => actions = connection.decide(id, &Decision::Strip),
                Action::Release { bytes, .. } => return bytes.to_vec(),
                Action::PassWindow { .. } | Action::Opaque | Action::OpaqueOnAnswer { .. } => {}
            }
        }
        panic!("a head that does not go on");
    }

    /// The path, as it is spelled.
    pub fn path(&self) -> String {
        match self.target {
            Target::Sealed => format!("/function/{SEALED}/more?x=1"),
            Target::Namespace => format!("/function/{SEALED}.openfaas-fn"),
            Target::Async => format!("/async-function/{SEALED}"),
            Target::Encoded => format!("/%66unction/{SEALED}"),
            Target::Absolute => format!("http://host:8080/function/{SEALED}?x=1"),
            Target::Unclean => format!("//function/{SEALED}"),
            Target::Other => "/system/functions".to_owned(),
        }
    }

    /// How many bytes it has.
    pub fn length(&self) -> usize {
        self.head().len() + self.body().len()
    }

    /// The body with its framing. Its content looks like a request itself.
    pub fn body(&self) -> Vec<u8> {
        match &self.body {
            Body::None => Vec::new(),
            Body::Length(length) => content(usize::from(length % LONGEST)),
            Body::Chunked(chunks, trailers) => {
                let mut body = Vec::new();
                // A chunk of no bytes would be the last one.
                for length in chunks.iter().filter(|length| **length > 0) {
                    body.extend(format!("{length:x};extension\r\n").bytes());
                    body.extend(content(usize::from(*length)));
                    body.extend(b"\r\n");
                }
                body.extend(b"0\r\n");
                for number in 0..trailers % 3 {
                    body.extend((filler(number) + "\r\n").bytes());
                }
                body.extend(b"\r\n");
                body
            }
        }
    }
}

fn filler(number: u8) -> String {
    format!("Filler-{number}: {}", "v".repeat(usize::from(number) * 5))
}

fn content(length: usize) -> Vec<u8> {
    let text = format!("GET /function/{SEALED} HTTP/1.1\r\n{KEY_HEADER}: in-the-body\r\n\r\n");
    text.bytes().cycle().take(length).collect()
}
