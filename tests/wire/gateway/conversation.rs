//! One connection of the gateway: reads, remembers, answers.
use std::{
    io::{self, Read, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Mutex,
    thread,
    time::Duration,
};

use serde_json::json;

use super::{
    http::{Head, Reader},
    lock,
};
use crate::containers::{Containers, Routed};

/// A request, as the gateway read it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) head: Vec<u8>,
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
}

/// All that came over a connection.
pub(super) struct Conversation {
    pub(super) peer: SocketAddr,
    pub(super) bytes: Mutex<Vec<u8>>,
    pub(super) seen: Mutex<Vec<Seen>>,
}

impl Conversation {
    pub(super) fn new(peer: SocketAddr) -> Self {
        Self {
            peer,
            bytes: Mutex::default(),
            seen: Mutex::default(),
        }
    }
}

/// How long a slow function takes.
const SLOW: Duration = Duration::from_secs(3);

/// The answer to a function's caller who asks for another protocol (RFC 9110, section 15.2.2).
const SWITCHING: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

/// A stream whose bytes are remembered as they are read.
struct Recorded<'a> {
    stream: &'a TcpStream,
    bytes: &'a Mutex<Vec<u8>>,
}

impl Read for Recorded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        lock(self.bytes).extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}

/// Serves a connection to its end.
pub(super) fn converse(
    stream: TcpStream,
    conversation: &Conversation,
    containers: &Containers,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = &stream;
    let mut reader = Reader::new(Recorded {
        stream: &stream,
        bytes: &conversation.bytes,
    });
    while let Some(head) = reader.head()? {
        if head.expects {
            writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let body = reader.body(&head)?;
        lock(&conversation.seen).push(Seen {
            head: head.bytes.clone(),
            path: head.path.clone(),
            body: body.clone(),
        });
        answer(writer, &head, body.len(), containers)?;
        if head.upgrades {
            return echo(writer, &mut reader);
        }
        if !head.keeps_alive {
            break;
        }
    }
    Ok(())
}

fn answer(
    mut writer: &TcpStream,
    head: &Head,
    length: usize,
    containers: &Containers,
) -> io::Result<()> {
    let name = head
        .path
        .strip_prefix("/function/")
        .and_then(|rest| rest.split(['/', '?']).next());
    let (status, body) = match name {
        _ if head.path == "/system/functions" => ("200 OK", json!([])),
        Some(name) => {
            if head.path.ends_with("/slow") {
                thread::sleep(SLOW);
            }
            let status = match containers.route(name) {
                Routed::Locked => "423 Locked",
                Routed::Unlocked if head.path.ends_with("/stream") => {
                    return stream(writer, name, containers);
                }
                Routed::Unlocked if head.upgrades => {
                    return writer.write_all(SWITCHING);
                }
                Routed::Unlocked => "200 OK",
                Routed::Gone => "502 Bad Gateway",
                Routed::Unknown => "404 Not Found",
            };
            let head = String::from_utf8_lossy(&head.bytes);
            (status, json!({"head": head, "length": length}))
        }
        None => ("404 Not Found", json!({"path": head.path})),
    };
    let body = body.to_string();
    // What HTTP/1.0 needs to keep a connection is said in any case.
    let connection = if head.keeps_alive {
        "keep-alive"
    } else {
        "close"
    };
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: {connection}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    writer.write_all(text.as_bytes())
}

/// From here on no longer HTTP: what comes goes back as it is.
fn echo(mut writer: &TcpStream, reader: &mut Reader<Recorded<'_>>) -> io::Result<()> {
    loop {
        let bytes = reader.some()?;
        if bytes.is_empty() {
            return Ok(());
        }
        writer.write_all(&bytes)?;
    }
}

/// An answer in 30 pieces over 3 seconds; broken off, as a gateway does, when the container goes.
fn stream(mut writer: &TcpStream, name: &str, containers: &Containers) -> io::Result<()> {
    writer.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    for _ in 0..30 {
        writer.write_all(b"4\r\ntick\r\n")?;
        thread::sleep(Duration::from_millis(100));
        if containers.route(name) != Routed::Unlocked {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
    }
    writer.write_all(b"0\r\n\r\n")
}
