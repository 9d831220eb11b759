//! A connection that stays open, and with it the lease that it holds.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::{
    error::{At as _, Error},
    testbed::Testbed,
};

/// Open until it is dropped.
pub(crate) struct HeldConnection {
    stream: TcpStream,
    host: String,
    request: String,
    answer: String,
}

impl HeldConnection {
    /// Calls a function, with its key where it has one, and stays when the answer has come.
    pub(crate) fn open(
        testbed: &Testbed,
        function: &str,
        body: &str,
        key: Option<&str>,
        answer: &str,
    ) -> Result<Self, Error> {
        let host = testbed
            .gateway
            .trim_start_matches("http://")
            .trim_end_matches('/')
            .to_owned();
        let stream = TcpStream::connect(&host).at(&host)?;
        stream.set_nodelay(true).at(&host)?;
        stream
            .set_read_timeout(Some(Duration::from_secs(120)))
            .at(&host)?;
        let key = key.map_or_else(String::new, |key| format!("X-RsFaaS-Key: {key}\r\n"));
        let request = format!(
            "POST /function/{function} HTTP/1.1\r\nHost: {host}\r\n{key}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut connection = Self {
            stream,
            host,
            request,
            answer: answer.to_owned(),
        };
        connection.call()?;
        Ok(connection)
    }

    /// Calls again; how long the answer takes.
    pub(crate) fn call(&mut self) -> Result<Duration, Error> {
        let start = Instant::now();
        self.stream
            .write_all(self.request.as_bytes())
            .at(&self.host)?;
        let mut text = Vec::new();
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&text).contains(&self.answer) {
            let count = match self.stream.read(&mut buffer) {
                // Sockets with a time limit tell of it when the process was halted (signal(7)).
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => result.at(&self.host)?,
            };
            if count == 0 {
                return Err(Error::NotSeen(format!("{:?} in the answer", self.answer)));
            }
            text.extend_from_slice(&buffer[..count]);
        }
        let time = start.elapsed();
        // The rest of the answer's line end, so that the next call's starts at its beginning.
        self.drain(&text)?;
        Ok(time)
    }

    /// Reads what is left of an answer of known length.
    fn drain(&mut self, read: &[u8]) -> Result<(), Error> {
        let text = String::from_utf8_lossy(read).to_ascii_lowercase();
        let wanted = text.split_once("\r\n\r\n").and_then(|(head, _)| {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))?;
            Some(head.len() + 4 + length.trim().parse::<usize>().ok()?)
        });
        let mut rest = vec![0; wanted.map_or(0, |wanted| wanted.saturating_sub(read.len()))];
        self.stream.read_exact(&mut rest).at(&self.host)
    }
}
