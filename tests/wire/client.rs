//! A client with a kernel's TCP, that says where its segments are cut.
use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::{
    check::{During as _, Outcome, PATIENCE},
    http::{self, Answer},
    scene::Route,
};

/// By then a client's TCP has sent again what was not acknowledged, and sends nothing new before that is.
pub(crate) const SENT_AGAIN: Duration = Duration::from_millis(600);

/// A connection; what is written at once goes out at once.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) fn open(route: Route<'_>) -> Outcome<Self> {
        let stream = route
            .from
            .enter(|| TcpStream::connect(route.to).during(format!("connecting to {}", route.to)))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let buffer = Vec::new();
        Ok(Self { stream, buffer })
    }

    /// From here on small writes wait until earlier ones are acknowledged, as by default.
    pub(crate) fn join_small_writes(&self) -> Outcome {
        Ok(self.stream.set_nodelay(false)?)
    }

    /// The client's own address.
    pub(crate) fn address(&self) -> Outcome<SocketAddr> {
        Ok(self.stream.local_addr()?)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Outcome {
        self.stream.write_all(bytes).during("sending")
    }

    /// Reads one answer.
    pub(crate) fn answer(&mut self) -> Outcome<Answer> {
        loop {
            if let Some((answer, length)) = http::answer(&self.buffer)? {
                self.buffer.drain(..length);
                return Ok(answer);
            }
            self.some_answer()?;
        }
    }

    /// Reads what there is of an answer, once there is something.
    pub(crate) fn some_answer(&mut self) -> Outcome {
        let mut buffer = [0; 1 << 14];
        let count = loop {
            match self.stream.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result.during("waiting for an answer")?,
            }
        };
        crate::check::check!(
            count > 0,
            "closed early, after {:?}",
            String::from_utf8_lossy(&self.buffer)
        );
        self.buffer.extend_from_slice(&buffer[..count]);
        Ok(())
    }

    /// Reads so many bytes, whatever they are.
    pub(crate) fn bytes(&mut self, count: usize) -> Outcome<Vec<u8>> {
        while self.buffer.len() < count {
            self.some_answer()?;
        }
        Ok(self.buffer.drain(..count).collect())
    }

    /// Whether the other side ends the connection without a further byte.
    pub(crate) fn is_ended(&mut self) -> Outcome<bool> {
        let mut byte = [0];
        Ok(self.buffer.is_empty() && self.stream.read(&mut byte)? == 0)
    }

    /// Whether the other side ends the connection without a further byte, perhaps before it has read all.
    pub(crate) fn is_broken_off(&mut self) -> Outcome<bool> {
        match self.stream.read(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(self.buffer.is_empty()),
            result => Ok(self.buffer.is_empty() && result? == 0),
        }
    }
}
