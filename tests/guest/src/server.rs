//! In the gateway's place: a server that tells what reaches it, and a client.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

use crate::failure::{Failure, Trying as _, expect};

/// The port that the agent watches.
pub(crate) const PORT: u16 = 8080;
/// How long anything may take. An emulated machine is slow, and nothing is measured here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// How long nothing has to come.
const SILENCE: Duration = Duration::from_millis(300);
const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

/// The server's end, as the cases see it.
pub(crate) struct Server(Receiver<Vec<u8>>);

impl Server {
    /// Starts it, for both families.
    pub(crate) fn start() -> Result<Self, Failure> {
        let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, PORT)).trying("listen")?;
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Err(error) = serve(stream, &tell) {
                    println!("server: {error}");
                }
            }
        });
        Ok(Self(told))
    }

    /// Nothing has come, and nothing comes for a while.
    pub(crate) fn sees_nothing(&self) -> Result<(), Failure> {
        match self.0.recv_timeout(SILENCE) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(bytes) => expect(
                false,
                "a held request",
                format!("{} bytes came", bytes.len()),
            ),
            Err(source) => Err(Failure::Waited {
                what: "the server",
                source,
            }),
        }
    }

    /// The next so many bytes.
    pub(crate) fn sees(&self, length: usize) -> Result<Vec<u8>, Failure> {
        let mut all = Vec::new();
        while all.len() < length {
            let what = "the request at the server";
            let bytes = self.0.recv_timeout(PATIENCE);
            all.extend(bytes.map_err(|source| Failure::Waited { what, source })?);
        }
        Ok(all)
    }
}

/// Serves one request, whose body is as long as its head says.
fn serve(mut stream: TcpStream, tell: &Sender<Vec<u8>>) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    while !is_whole(&all) {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        all.extend_from_slice(&buffer[..length]);
        // The cases end before the server does.
        let _ = tell.send(buffer[..length].to_vec());
    }
    stream.write_all(ANSWER.as_bytes())
}

fn is_whole(request: &[u8]) -> bool {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut parsed = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(head)) = parsed.parse(request) else {
        return false;
    };
    let length = parsed
        .headers
        .iter()
        .find(|header| header.name == "Content-Length")
        .and_then(|header| std::str::from_utf8(header.value).ok())
        .and_then(|text| text.parse().ok());
    request.len() >= head + length.unwrap_or(0)
}

/// Sends a request in these pieces, a segment each at least, and checks its answer.
pub(crate) fn call(server: SocketAddr, pieces: &[&[u8]]) -> Result<(), Failure> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE).trying("connect")?;
    stream.set_nodelay(true).trying("no delay")?;
    stream.set_read_timeout(Some(PATIENCE)).trying("a limit")?;
    for piece in pieces {
        stream.write_all(piece).trying("send")?;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).trying("the answer")?;
    // The server may have closed already.
    let _ = stream.shutdown(Shutdown::Both);
    expect(
        answer == ANSWER,
        "the server's answer",
        format!("{answer:?} came"),
    )
}
