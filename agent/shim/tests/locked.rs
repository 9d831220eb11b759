//! The locked function over real connections.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
};

use tempfile::TempDir;

struct Locked {
    child: Child,
    temporary: TempDir,
    address: String,
}

impl Locked {
    fn start() -> Self {
        let temporary = TempDir::new().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_locked"))
            .env("TMPDIR", temporary.path())
            .arg("127.0.0.1:0")
            .env("RSFAAS_FUNCTION", "pydict")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines
            .map_while(Result::ok)
            .find_map(|line| Some(line.split_once("answering on ")?.1.to_owned()))
            .unwrap();
        Self {
            child,
            temporary,
            address,
        }
    }

    fn connect(&self) -> BufReader<TcpStream> {
        BufReader::new(TcpStream::connect(&self.address).unwrap())
    }

    fn terminate(&mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", "TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        self.child.wait().unwrap()
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads one answer; returns its head and body.
fn answer(stream: &mut BufReader<TcpStream>) -> (String, String) {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(
            stream.read_line(&mut head).unwrap(),
            0,
            "cut off after {head:?}"
        );
    }
    let length = head
        .split("Content-Length: ")
        .nth(1)
        .unwrap()
        .split("\r\n")
        .next()
        .unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

fn ended(stream: &mut BufReader<TcpStream>) -> bool {
    matches!(stream.read(&mut [0]), Ok(0))
}

#[test]
fn one_connection_gets_one_answer_after_the_other() {
    let locked = Locked::start();
    let mut stream = locked.connect();
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "423 Locked"),
        (
            "POST / HTTP/1.1\r\nContent-Length: 4\r\nX-RsFaaS: w\r\n\r\nbody",
            "403 Forbidden",
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX-RsFaaS: o\r\n\r\n\
             4\r\nbody\r\n0\r\n\r\n",
            "504 Gateway Timeout",
        ),
        ("GET /_/health HTTP/1.1\r\n\r\n", "200 OK"),
    ] {
        stream.get_mut().write_all(request.as_bytes()).unwrap();
        let (head, _) = answer(&mut stream);
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{head}"
        );
    }
}

#[test]
fn probes_that_look_for_the_lock_file_find_it() {
    let locked = Locked::start();
    assert!(locked.temporary.path().join(".lock").exists());
}

#[test]
fn requests_sent_ahead_are_answered_in_turn() {
    let locked = Locked::start();
    let mut stream = locked.connect();
    let requests = "POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nxGET /_/ready HTTP/1.1\r\n\r\n";
    stream.get_mut().write_all(requests.as_bytes()).unwrap();
    assert!(answer(&mut stream).0.starts_with("HTTP/1.1 423 "));
    assert!(answer(&mut stream).0.starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_client_that_sends_more_than_is_read_still_gets_its_answer() {
    let locked = Locked::start();
    let mut stream = locked.connect();
    let size = 24 << 20;
    let head = format!("POST / HTTP/1.1\r\nContent-Length: {size}\r\n\r\n");
    stream.get_mut().write_all(head.as_bytes()).unwrap();
    stream.get_mut().write_all(&vec![b'x'; size]).unwrap();
    let (head, _) = answer(&mut stream);
    assert!(head.contains("Connection: close\r\n"), "{head}");
    assert!(ended(&mut stream));
}

#[test]
fn a_client_that_waits_for_a_go_ahead_gets_the_answer_in_its_place() {
    let locked = Locked::start();
    let mut stream = locked.connect();
    let head = "POST / HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    stream.get_mut().write_all(head.as_bytes()).unwrap();
    let (head, _) = answer(&mut stream);
    assert!(head.starts_with("HTTP/1.1 423 "), "{head}");
}

#[test]
fn what_is_no_request_is_refused_and_ends_the_connection() {
    let locked = Locked::start();
    let mut stream = locked.connect();
    stream.get_mut().write_all(b"hello\r\n\r\n").unwrap();
    assert!(answer(&mut stream).0.starts_with("HTTP/1.1 400 "));
    assert!(ended(&mut stream));
}

#[test]
fn silent_clients_keep_nobody_else_waiting() {
    let locked = Locked::start();
    let silent: Vec<_> = (0..100).map(|_| locked.connect()).collect();
    let callers: Vec<_> = (0..50)
        .map(|_| locked.connect())
        .map(|mut stream| {
            thread::spawn(move || {
                stream
                    .get_mut()
                    .write_all(b"GET / HTTP/1.1\r\n\r\n")
                    .unwrap();
                answer(&mut stream).0.starts_with("HTTP/1.1 423 ")
            })
        })
        .collect();
    assert!(callers.into_iter().all(|caller| caller.join().unwrap()));
    drop(silent);
}

#[test]
fn sigterm_ends_it_at_once_when_nobody_is_being_served() {
    let mut locked = Locked::start();
    let _idle = locked.connect();
    assert!(locked.terminate().success());
}

#[test]
fn without_a_functions_name_it_says_what_is_missing() {
    let output = Command::new(env!("CARGO_BIN_EXE_locked"))
        .env_remove("RSFAAS_FUNCTION")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("RSFAAS_FUNCTION is not set")
    );
}
