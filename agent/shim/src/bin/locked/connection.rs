//! Serves one connection: head, body (read and thrown away), answer, and again. Bounded in time and
//! bytes at each step.
use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use crate::{
    answer::{Locked, unreadable},
    body::Remaining,
    head::{Head, Parsed, parse},
    load::Slot,
};

/// How long a kept connection may be silent. Longer than the idle times of the proxies before it (90 s
/// and 120 s are usual), so that they close first and never write into a closing connection.
const IDLE: Duration = Duration::from_secs(180);
/// How long a begun head, and then its body, may take.
const REQUEST: Duration = Duration::from_secs(10);
/// Body bytes that are read before the answer.
const DRAIN: u64 = 8 << 20;
/// Body bytes that are read after the answer, so that closing does not reset it away.
const LINGER: u64 = 256 << 20;
const READ: usize = 16 * 1024;

/// Bytes read ahead, and the stream they came from.
struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// Serves `stream` until one side ends it.
pub(crate) fn serve(stream: TcpStream, locked: &Locked, slot: &Slot) {
    let mut connection = Connection {
        stream,
        buffer: Vec::new(),
    };
    // A client that goes away or takes too long is its own affair: nobody is left to tell.
    let _ = connection.run(locked, slot);
}

impl Connection {
    fn run(&mut self, locked: &Locked, slot: &Slot) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        self.stream.set_write_timeout(Some(REQUEST))?;
        while !self.buffer.is_empty() || self.fill(Instant::now() + IDLE)? {
            let busy = slot.begin();
            let deadline = Instant::now() + REQUEST;
            let head = loop {
                match parse(&self.buffer, &locked.header) {
                    Parsed::Complete(head) => break head,
                    Parsed::Incomplete if self.fill(deadline)? => {}
                    Parsed::Incomplete => return Ok(()),
                    Parsed::Malformed => {
                        return self.stream.write_all(&unreadable("400 Bad Request"));
                    }
                    Parsed::TooLong => {
                        let answer = unreadable("431 Request Header Fields Too Large");
                        return self.stream.write_all(&answer);
                    }
                }
            };
            self.buffer.drain(..head.length);
            let kept = self.reply(&head, locked, slot, deadline)?;
            drop(busy);
            if !kept {
                break;
            }
        }
        Ok(())
    }

    /// Answers one request; returns whether the connection goes on.
    fn reply(
        &mut self,
        head: &Head,
        locked: &Locked,
        slot: &Slot,
        deadline: Instant,
    ) -> io::Result<bool> {
        let mut body = Remaining::new(head.body);
        // A client that waits for a go-ahead gets the answer in its place.
        let read = !head.expects_continue && self.discard_in_time(&mut body, deadline)?;
        let kept = head.keep_alive && (read || body.is_done()) && !slot.is_scarce();
        self.stream.write_all(&locked.answer(head, !kept))?;
        if !kept && !body.is_done() {
            self.stream.shutdown(Shutdown::Write)?;
            self.discard(&mut body, LINGER, Instant::now() + REQUEST)?;
        }
        Ok(kept)
    }

    /// Reads a body away that is neither too long nor too late; returns whether it ended.
    fn discard_in_time(&mut self, body: &mut Remaining, deadline: Instant) -> io::Result<bool> {
        match self.discard(body, DRAIN, deadline) {
            Err(error) if is_late(&error) => Ok(false),
            result => result,
        }
    }

    /// Reads the body away, up to `limit` bytes; returns whether it ended.
    fn discard(&mut self, body: &mut Remaining, limit: u64, deadline: Instant) -> io::Result<bool> {
        let mut seen = 0;
        loop {
            let taken = body
                .take(&self.buffer)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "broken chunks"))?;
            self.buffer.drain(..taken);
            seen += taken as u64;
            if body.is_done() {
                return Ok(true);
            }
            if seen >= limit || !self.fill(deadline)? {
                return Ok(false);
            }
        }
    }

    /// Reads some more; `false` at the end of the stream. Late is an error.
    fn fill(&mut self, deadline: Instant) -> io::Result<bool> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut chunk = vec![0; READ];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(read) => {
                    self.buffer.extend_from_slice(&chunk[..read]);
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Tells whether nothing came in time: the kernel has a word of its own for that.
fn is_late(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
    )
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, sync::Arc, thread};

    use super::*;
    use crate::load::Load;

    #[test]
    fn a_client_whose_body_does_not_end_in_time_is_answered_all_the_same() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut connection = Connection {
            stream: listener.accept().unwrap().0,
            buffer: b"bo".to_vec(),
        };
        let locked = Locked {
            function: "pydict".into(),
            header: "X-RsFaaS-Key".into(),
        };
        let request = b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n";
        let Parsed::Complete(head) = parse(request, &locked.header) else {
            panic!("it is a head");
        };
        let asked = thread::spawn(move || {
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            answer
        });
        let slot = Load::enter(&Arc::new(Load::new(8)));
        let deadline = Instant::now() + Duration::from_millis(50);
        let kept = connection.reply(&head, &locked, &slot, deadline);
        assert!(!kept.unwrap());
        let answer = asked.join().unwrap();
        assert!(answer.starts_with("HTTP/1.1 423 Locked\r\n"), "{answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    }
}
