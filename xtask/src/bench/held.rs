//! A keyed connection that stays open, so that its lease does.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use crate::{
    error::{At as _, Error},
    testbed::Testbed,
};

/// Open until it is dropped.
pub(super) struct HeldConnection {
    _stream: TcpStream,
}

impl HeldConnection {
    /// Calls a function with its key, and stays when the answer has begun.
    pub(super) fn open(
        testbed: &Testbed,
        function: &str,
        body: &str,
        key: &str,
        answer: &str,
    ) -> Result<Self, Error> {
        let host = testbed
            .gateway
            .trim_start_matches("http://")
            .trim_end_matches('/');
        let mut stream = TcpStream::connect(host).at(host)?;
        stream
            .set_read_timeout(Some(Duration::from_secs(120)))
            .at(host)?;
        let request = format!(
            "POST /function/{function} HTTP/1.1\r\nHost: {host}\r\nX-RsFaaS-Key: {key}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).at(host)?;
        let mut text = Vec::new();
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&text).contains(answer) {
            let count = match stream.read(&mut buffer) {
                // Sockets with a time limit tell of it when the process was halted (signal(7)).
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => result.at(host)?,
            };
            if count == 0 {
                return Err(Error::NotSeen(format!("{answer:?} in the answer")));
            }
            text.extend_from_slice(&buffer[..count]);
        }
        Ok(Self { _stream: stream })
    }
}
