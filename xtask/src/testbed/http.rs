//! Just enough HTTP to ask a part of the testbed whether it is well.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    time::Duration,
};

const TIMEOUT: Duration = Duration::from_secs(3);

/// The status of the answer to a GET; the place is `ADDRESS:PORT` or the path of a Unix socket.
pub(super) fn status(place: &str, path: &str) -> io::Result<u16> {
    status_accepting(place, path, "*/*")
}

/// The same for one kind of content.
pub(super) fn status_accepting(place: &str, path: &str, accept: &str) -> io::Result<u16> {
    if place.starts_with('/') {
        let stream = UnixStream::connect(place)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        exchange(stream, "localhost", path, accept)
    } else {
        exchange(connect(place)?, place, path, accept)
    }
}

/// Whether anything listens there.
pub(super) fn listens(place: &str) -> bool {
    if place.starts_with('/') {
        UnixStream::connect(place).is_ok()
    } else {
        connect(place).is_ok()
    }
}

fn connect(place: &str) -> io::Result<TcpStream> {
    let address: SocketAddr = place.parse().map_err(io::Error::other)?;
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

fn exchange(
    mut stream: impl Read + Write,
    host: &str,
    path: &str,
    accept: &str,
) -> io::Result<u16> {
    write!(
        stream,
        "GET {path} HTTP/1.0\r\nHost: {host}\r\nAccept: {accept}\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    let mut buffer = [0; 512];
    // The status line is all that is wanted.
    while !answer.contains(&b'\n') && answer.len() < 4096 {
        match stream.read(&mut buffer)? {
            0 => break,
            length => answer.extend_from_slice(&buffer[..length]),
        }
    }
    parse(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an HTTP answer"))
}

/// The number in the status line (RFC 9112, section 4).
fn parse(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?;
    line.strip_prefix("HTTP/")?
        .split(' ')
        .nth(1)?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_read_with_and_without_a_reason() {
        assert_eq!(parse(b"HTTP/1.0 200 OK\r\n\r\n"), Some(200));
        assert_eq!(parse(b"HTTP/1.1 404\r\n\r\n"), Some(404));
    }

    #[test]
    fn another_protocol_is_no_answer() {
        assert_eq!(parse(b"220 mail ready\r\n"), None);
        assert_eq!(parse(b""), None);
    }
}
