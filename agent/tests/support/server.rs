//! A server of tests: an engine, a registry, a gateway.
use std::{
    io::{self, BufRead as _, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    sync::{Arc, Mutex},
    thread,
};

/// A socket that connections come in at.
pub(crate) trait Listener: Send + 'static {
    type Stream: Read + Write + Send;

    fn next(&self) -> io::Result<Self::Stream>;

    /// Says that nothing else is sent.
    fn end(stream: &Self::Stream) -> io::Result<()>;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    fn next(&self) -> io::Result<TcpStream> {
        Ok(self.accept()?.0)
    }

    fn end(stream: &TcpStream) -> io::Result<()> {
        stream.shutdown(Shutdown::Write)
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    fn next(&self) -> io::Result<UnixStream> {
        Ok(self.accept()?.0)
    }

    fn end(stream: &UnixStream) -> io::Result<()> {
        stream.shutdown(Shutdown::Write)
    }
}

/// Answers one request a connection, by its head and its body, for as long as the tests run.
pub(crate) fn serve<L: Listener>(
    listener: L,
    answer: impl FnMut(&str, &[u8]) -> Vec<u8> + Send + 'static,
) {
    let answer = Arc::new(Mutex::new(answer));
    thread::spawn(move || {
        while let Ok(stream) = listener.next() {
            let answer = Arc::clone(&answer);
            // Who asks finds out what goes wrong here; it may also have gone away, to see what its own user does then.
            thread::spawn(move || {
                exchange::<L>(stream, |head, body| (*answer.lock().unwrap())(head, body))
            });
        }
    });
}

fn exchange<L: Listener>(
    stream: L::Stream,
    answer: impl FnOnce(&str, &[u8]) -> Vec<u8>,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while stream.read_line(&mut head)? > 0 && !head.ends_with("\r\n\r\n") {}
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = lengths.next().and_then(|(_, value)| value.parse().ok());
    let mut body = vec![0; length.unwrap_or_default()];
    stream.read_exact(&mut body)?;
    // At once: a client that has read enough of an answer may close before its end is sent.
    stream.get_mut().write_all(&answer(&head, &body))?;
    L::end(stream.get_ref())?;
    // What has no length, a build's context, comes still: a client whose server closes before fails.
    io::copy(&mut stream, &mut io::sink()).map(drop)
}

/// Where everything is answered so.
pub(crate) fn answering(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = answer.into();
    serve(listener, move |_, _| answer.clone());
    address
}

/// An answer with its length.
pub(crate) fn tell(status: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}
