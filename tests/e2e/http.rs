//! A client that shows each byte: tests need to say where a connection is cut, kept and closed.
use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use crate::host::{Error, Host, fail};

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// A request in the making.
pub(crate) struct Request {
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Request {
    /// A call of a function with a body.
    pub(crate) fn call(function: &str, body: &str) -> Self {
        Self::to(&format!("/function/{function}"), body)
    }

    /// A call of any path with a body.
    pub(crate) fn to(path: &str, body: &str) -> Self {
        Self {
            method: "POST",
            path: path.into(),
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// With the key.
    pub(crate) fn key(self, key: &str) -> Self {
        self.header("X-RsFaaS-Key", key)
    }

    /// With a header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The bytes that go over the wire.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut text = format!(
            "{} {} HTTP/1.1\r\nHost: 127.0.0.1\r\n",
            self.method, self.path
        );
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += &format!("Content-Length: {}\r\n\r\n{}", self.body.len(), self.body);
        text.into_bytes()
    }

    /// Sends it on a connection of its own, which is closed after the answer.
    pub(crate) fn send(&self, host: &Host) -> Result<Answer, Error> {
        self.send_to(("127.0.0.1", host.port))
    }

    /// The same where the gateway may die: `None` where it is not there or closes the connection.
    pub(crate) fn try_send(&self, host: &Host) -> Result<Option<Answer>, Error> {
        let Some(mut connection) = Connection::try_open(host)? else {
            return Ok(None);
        };
        let answer = connection
            .write(&self.bytes())
            .and_then(|()| connection.answer());
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(_) if connection.is_closed()? => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends it to another address in the same way.
    pub(crate) fn send_to(&self, address: (&str, u16)) -> Result<Answer, Error> {
        let mut connection = Connection::open_at(address)?;
        connection.write(&self.bytes())?;
        connection.answer()
    }
}

/// A connection to the gateway.
pub(crate) struct Connection(TcpStream);

impl Connection {
    pub(crate) fn open(host: &Host) -> Result<Self, Error> {
        Self::open_at(("127.0.0.1", host.port))
    }

    pub(crate) fn open_at(address: (&str, u16)) -> Result<Self, Error> {
        Self::of(TcpStream::connect(address)?)
    }

    /// `None` where nobody listens.
    fn try_open(host: &Host) -> Result<Option<Self>, Error> {
        match TcpStream::connect(("127.0.0.1", host.port)) {
            Ok(stream) => Self::of(stream).map(Some),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn of(stream: TcpStream) -> Result<Self, Error> {
        stream.set_nodelay(true)?;
        // For hangs only.
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        Ok(Self(stream))
    }

    /// Whether the other side has closed it, rather than just says nothing.
    fn is_closed(&self) -> Result<bool, Error> {
        self.0.set_read_timeout(Some(Duration::from_millis(1)))?;
        Ok(match self.0.peek(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        })
    }

    /// The client's address.
    pub(crate) fn address(&self) -> Result<String, Error> {
        Ok(self.0.local_addr()?.to_string())
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        Ok(self.0.write_all(bytes)?)
    }

    /// Reads one answer: up to its `Content-Length`, or in chunks.
    pub(crate) fn answer(&mut self) -> Result<Answer, Error> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = find(&bytes, b"\r\n\r\n") {
                break end + 4;
            }
            self.more(&mut bytes)?;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .ok_or_else(|| Error(format!("no status: {head}")))?;
        let lower = head.to_ascii_lowercase();
        let mut body = bytes.split_off(end);
        if let Some(length) = lower
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .and_then(|length| length.trim().parse::<usize>().ok())
        {
            while body.len() < length {
                self.more(&mut body)?;
            }
        } else if lower.contains("transfer-encoding: chunked") {
            while !body.ends_with(b"0\r\n\r\n") {
                self.more(&mut body)?;
            }
            body = unchunk(&body);
        }
        Ok(Answer {
            status,
            head,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    fn more(&mut self, bytes: &mut Vec<u8>) -> Result<(), Error> {
        let mut buffer = [0; 4096];
        let count = loop {
            match self.0.read(&mut buffer) {
                // Sockets with a time limit tell of it when the process was halted (signal(7)).
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        match count {
            0 => fail(format!(
                "closed early, after {:?}",
                String::from_utf8_lossy(bytes)
            )),
            count => {
                bytes.extend_from_slice(&buffer[..count]);
                Ok(())
            }
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = find(bytes, b"\r\n") {
        let size = std::str::from_utf8(&bytes[..end])
            .ok()
            .and_then(|size| usize::from_str_radix(size, 16).ok())
            .unwrap_or(0);
        let Some(chunk) = bytes
            .get(end + 2..end + 2 + size)
            .filter(|chunk| !chunk.is_empty())
        else {
            break;
        };
        body.extend_from_slice(chunk);
        bytes = bytes.get(end + 2 + size + 2..).unwrap_or(&[]);
    }
    body
}
