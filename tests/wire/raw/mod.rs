//! A client without a kernel's TCP: it says what stands in each frame, and when it is sent.
mod frame;
mod socket;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicU16, Ordering},
    time::Instant,
};

pub(crate) use frame::Shape;
use frame::{Received, flags};
use socket::Socket;

use crate::{
    check::{During as _, Outcome, PATIENCE, check, fail},
    http::{self, Answer},
    scene::{HOST, HOST6, PORT, RAW, RAW6, Scene},
};

/// Each peer has a port of its own.
static NEXT_PORT: AtomicU16 = AtomicU16::new(20_000);

/// One connection. Places in the client's stream are counted from its first byte.
pub(crate) struct Peer {
    socket: Socket,
    shape: Shape,
    source: SocketAddr,
    destination: SocketAddr,
    /// Sequence number of the stream's first byte.
    base: u32,
    /// Next byte that is awaited of the other side.
    acknowledged: u32,
    /// Time stamp of the other side, to be echoed.
    echo: u32,
    started: Instant,
    /// What came, in order.
    buffer: Vec<u8>,
    /// What came ahead of its turn.
    ahead: BTreeMap<u32, Vec<u8>>,
    /// Up to which place of the client's stream the other side has it.
    delivered: u32,
    /// How many further segments with payload are taken for lost.
    to_lose: usize,
    /// How many acknowledgements of the other side's have named what came out of its turn.
    selected: usize,
    ended: bool,
}

impl Peer {
    /// Opens a connection over IPv4 whose frames look like this.
    pub(crate) fn open(scene: &Scene, shape: Shape) -> Outcome<Self> {
        Self::between(scene, shape, RAW, HOST)
    }

    /// Opens one over IPv6.
    pub(crate) fn open6(scene: &Scene, shape: Shape) -> Outcome<Self> {
        Self::between(scene, shape, RAW6, HOST6)
    }

    fn between(scene: &Scene, shape: Shape, source: &str, destination: &str) -> Outcome<Self> {
        let source: IpAddr = source.parse()?;
        let port = NEXT_PORT.fetch_add(1, Ordering::Relaxed);
        // Near the end, so that sequence numbers wrap around in every test.
        let first = u32::MAX - 150;
        let mut peer = Self {
            socket: Socket::open(scene)?,
            shape,
            source: SocketAddr::new(source, port),
            destination: SocketAddr::new(destination.parse()?, PORT),
            base: first.wrapping_add(1),
            acknowledged: 0,
            echo: 0,
            started: Instant::now(),
            buffer: Vec::new(),
            ahead: BTreeMap::new(),
            delivered: 0,
            to_lose: 0,
            selected: 0,
            ended: false,
        };
        peer.shake_hands(first).during("the handshake")?;
        Ok(peer)
    }

    fn shake_hands(&mut self, first: u32) -> Outcome {
        self.emit(first, flags::SYN, &[])?;
        loop {
            let Some(received) = self.receive()? else {
                return fail("no SYN came back");
            };
            if received.flags & flags::SYN != 0 {
                self.acknowledged = received.sequence.wrapping_add(1);
                self.echo = received.time_stamp;
                return self.acknowledge();
            }
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.source
    }

    /// Sends a segment with these bytes, whose first is at this place of the stream.
    pub(crate) fn send(&self, place: usize, bytes: &[u8]) -> Outcome {
        self.emit(self.sequence(place)?, flags::ACK | flags::PSH, bytes)
    }

    /// The same, with the last byte changed on its way.
    pub(crate) fn send_damaged(&self, place: usize, bytes: &[u8]) -> Outcome {
        let flags = flags::ACK | flags::PSH;
        let mut frame = self.frame(self.sequence(place)?, flags, bytes)?;
        if let Some(last) = frame.last_mut() {
            *last ^= 1;
        }
        self.socket.send(&frame)
    }

    /// The same, damaged in its sequence number: another place, a little before.
    pub(crate) fn send_displaced(&self, place: usize, bytes: &[u8]) -> Outcome {
        let sequence = self.sequence(place)?;
        let mut frame = self.frame(sequence, flags::ACK | flags::PSH, bytes)?;
        let number = sequence.to_be_bytes();
        let found = frame.windows(4).position(|window| window == number);
        let Some(found) = found else {
            return fail("a frame without its number");
        };
        frame[found..found + 4].copy_from_slice(&sequence.wrapping_sub(8).to_be_bytes());
        self.socket.send(&frame)
    }

    /// Gives the connection up at a place of the stream.
    pub(crate) fn reset(&self, place: usize) -> Outcome {
        self.emit(self.sequence(place)?, flags::RST | flags::ACK, &[])
    }

    /// Takes in what comes, but for one segment, until something has come behind that.
    pub(crate) fn until_a_piece_is_missing(&mut self) -> Outcome {
        while self.buffer.is_empty() {
            check!(self.step()?, "in vain waited for a first segment");
        }
        self.to_lose = 1;
        while self.ahead.is_empty() {
            check!(self.step()?, "in vain waited for a segment behind another");
        }
        Ok(())
    }

    /// How often the other side has said that something came out of its turn.
    pub(crate) fn selected(&self) -> usize {
        self.selected
    }

    /// Waits for one answer, and acknowledges what comes.
    pub(crate) fn answer(&mut self) -> Outcome<Answer> {
        loop {
            if let Some((answer, length)) = http::answer(&self.buffer)? {
                self.buffer.drain(..length);
                return Ok(answer);
            }
            check!(
                !self.ended,
                "closed early, after {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
            check!(self.step()?, "in vain waited for an answer");
        }
    }

    /// Sends a segment again, as TCP does, unless the other side has it.
    pub(crate) fn send_unless_delivered(&self, place: usize, bytes: &[u8]) -> Outcome {
        if self.delivered >= u32::try_from(place + bytes.len())? {
            return Ok(());
        }
        self.send(place, bytes)
    }

    /// Waits until the other side has the stream up to a place.
    pub(crate) fn delivered(&mut self, place: usize) -> Outcome {
        let wanted = u32::try_from(place)?;
        while self.delivered < wanted {
            check!(
                self.step()?,
                "in vain waited for {wanted} bytes to be acknowledged, {} are",
                self.delivered
            );
        }
        Ok(())
    }

    /// Takes in one segment; `false` where none came.
    fn step(&mut self) -> Outcome<bool> {
        let Some(received) = self.receive()? else {
            return Ok(false);
        };
        check!(received.flags & flags::RST == 0, "the connection was reset");
        let delivered = received.acknowledged.wrapping_sub(self.base);
        if delivered <= i32::MAX as u32 {
            self.delivered = self.delivered.max(delivered);
        }
        self.echo = received.time_stamp;
        self.selected += usize::from(received.selected.is_some());
        if self.to_lose > 0 && !received.payload.is_empty() {
            self.to_lose -= 1;
            return Ok(true);
        }
        let ends = received.flags & flags::FIN != 0;
        if received.payload.is_empty() && !ends {
            return Ok(true);
        }
        let end = received
            .sequence
            .wrapping_add(u32::try_from(received.payload.len())?);
        self.ahead.insert(received.sequence, received.payload);
        while let Some(payload) = self.ahead.remove(&self.acknowledged) {
            self.acknowledged = self
                .acknowledged
                .wrapping_add(u32::try_from(payload.len())?);
            self.buffer.extend(payload);
        }
        if ends && end == self.acknowledged {
            self.acknowledged = self.acknowledged.wrapping_add(1);
            self.ended = true;
        }
        self.acknowledge()?;
        Ok(true)
    }

    fn acknowledge(&self) -> Outcome {
        let sequence = self.base.wrapping_add(self.delivered);
        self.emit(sequence, flags::ACK, &[])
    }

    fn sequence(&self, place: usize) -> Outcome<u32> {
        Ok(self.base.wrapping_add(u32::try_from(place)?))
    }

    fn emit(&self, sequence: u32, flags: u8, payload: &[u8]) -> Outcome {
        self.socket.send(&self.frame(sequence, flags, payload)?)
    }

    fn frame(&self, sequence: u32, flags: u8, payload: &[u8]) -> Outcome<Vec<u8>> {
        let now = u32::try_from(self.started.elapsed().as_millis())?.wrapping_add(1);
        self.shape.frame(&frame::Segment {
            source: self.source,
            destination: self.destination,
            sequence,
            acknowledged: self.acknowledged,
            flags,
            time_stamps: (now, self.echo),
            selected: self.out_of_turn()?,
            payload,
        })
    }

    /// What has come of the other side's stream behind a gap.
    fn out_of_turn(&self) -> Outcome<Option<frame::Range>> {
        let first = self
            .ahead
            .first_key_value()
            .filter(|_| self.shape.selective);
        first
            .map(|(start, bytes)| Ok((*start, start.wrapping_add(u32::try_from(bytes.len())?))))
            .transpose()
    }

    /// The next segment of this connection.
    fn receive(&self) -> Outcome<Option<Received>> {
        let deadline = Instant::now() + PATIENCE;
        while let Some(frame) = self.socket.receive(deadline)? {
            if let Some(received) = Received::parse(&frame, self.destination, self.source) {
                return Ok(Some(received));
            }
        }
        Ok(None)
    }
}
