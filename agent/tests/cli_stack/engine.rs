//! A Docker Engine.
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    thread,
};

/// The socket, in a folder, of one that has neither images nor containers and keeps nothing, for as long as the tests run.
pub(crate) fn empty(folder: &Path) -> PathBuf {
    let root = folder.join("docker");
    fs::create_dir(&root).unwrap();
    let socket = folder.join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            answer(&stream.unwrap(), &root);
        }
    });
    socket
}

fn answer(mut stream: &UnixStream, root: &Path) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let Some(line) = lines.next() else {
        return;
    };
    while lines.next().is_some_and(|line| !line.is_empty()) {}
    let (status, body) = if line.starts_with("DELETE") {
        ("404 Not Found", r#"{"message":"no such image"}"#.to_owned())
    } else if line.contains("/info") {
        ("200 OK", format!(r#"{{"DockerRootDir":{root:?}}}"#))
    } else {
        ("200 OK", "[]".to_owned())
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .unwrap();
}
