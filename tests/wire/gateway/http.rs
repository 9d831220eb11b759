//! Requests, read from a stream piece by piece.
use std::io::{self, Read};

/// A request's head.
pub(super) struct Head {
    pub(super) bytes: Vec<u8>,
    /// The path as a router has it: without an authority, decoded.
    pub(super) path: String,
    framing: Framing,
    /// Whether the connection serves further requests.
    pub(super) keeps_alive: bool,
    /// Whether the client waits for `100 Continue`.
    pub(super) expects: bool,
    /// Whether the client asks for a WebSocket.
    pub(super) upgrades: bool,
}

enum Framing {
    Length(usize),
    Chunked,
}

/// A stream, and what was read of it beyond the last request.
pub(super) struct Reader<R> {
    stream: R,
    buffer: Vec<u8>,
}

impl<R: Read> Reader<R> {
    pub(super) fn new(stream: R) -> Self {
        let buffer = Vec::new();
        Self { stream, buffer }
    }

    /// The next head; `None` where the client has ended the connection before it.
    pub(super) fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(head) = parse(&self.buffer)? {
                self.buffer.drain(..head.bytes.len());
                return Ok(Some(head));
            }
            if !self.more()? {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    /// The body that belongs to a head.
    pub(super) fn body(&mut self, head: &Head) -> io::Result<Vec<u8>> {
        match head.framing {
            Framing::Length(length) => self.take(length),
            Framing::Chunked => self.chunks(),
        }
    }

    /// What comes next, whatever it is; nothing at the end.
    pub(super) fn some(&mut self) -> io::Result<Vec<u8>> {
        if self.buffer.is_empty() {
            self.more()?;
        }
        Ok(std::mem::take(&mut self.buffer))
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.take(size)?);
            self.line()?;
        }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.take(end + 1)?;
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            self.need()?;
        }
    }

    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.need()?;
        }
        let rest = self.buffer.split_off(length);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    fn need(&mut self) -> io::Result<()> {
        if self.more()? {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    fn more(&mut self) -> io::Result<bool> {
        let mut buffer = vec![0; 1 << 16];
        let count = self.stream.read(&mut buffer)?;
        self.buffer.extend_from_slice(&buffer[..count]);
        Ok(count > 0)
    }
}

/// The path of a target, decoded; its query stays behind it.
fn path(target: &str) -> io::Result<String> {
    let path = match target.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |start| &rest[start..]),
        None => target,
    };
    let mut parts = path.split('%');
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_at_checked(2).ok_or(io::ErrorKind::InvalidData)?;
        let code = u8::from_str_radix(code, 16).map_err(io::Error::other)?;
        decoded.push(char::from(code));
        decoded += rest;
    }
    Ok(decoded)
}

fn parse(bytes: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; 256];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes).map_err(io::Error::other)? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return Ok(None),
    };
    let value = |name: &str| {
        request
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))
            .map(|header| String::from_utf8_lossy(header.value).to_ascii_lowercase())
    };
    let framing = if value("transfer-encoding").is_some() {
        Framing::Chunked
    } else {
        let length = value("content-length").map(|length| length.parse());
        Framing::Length(length.transpose().map_err(io::Error::other)?.unwrap_or(0))
    };
    let connection = value("connection");
    Ok(Some(Head {
        bytes: bytes[..length].to_vec(),
        path: path(request.path.unwrap_or_default())?,
        framing,
        keeps_alive: match request.version {
            Some(0) => connection.as_deref() == Some("keep-alive"),
            _ => connection.as_deref() != Some("close"),
        },
        expects: value("expect").as_deref() == Some("100-continue"),
        upgrades: value("upgrade").as_deref() == Some("websocket"),
    }))
}
