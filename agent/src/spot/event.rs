//! What the programs tell, and how it is read from a record of the ring buffer. Pure.
use agent_ebpf::{AdmittedEvent, EventHeader, EventKind, FlowKey, HeldPlace, flag};
use zeroize::Zeroizing;

/// Something that a program saw.
pub enum Event {
    /// A segment was held.
    Held(HeldFrame),
    /// The client sent a FIN: it may still wait for its answer.
    ClientFin(FlowKey),
    /// The gateway sent a FIN: the answer is complete.
    ServerFin(FlowKey),
    /// One of the two gave the connection up.
    Reset(FlowKey),
    /// The first payload of an answer went out, at this time (monotonic clock, nanoseconds).
    Answer(FlowKey, u64),
    /// An answer has begun that says that the function has failed.
    Failure(FlowKey),
    /// What was spotted before it was asked for has been told.
    Barrier,
    /// A request has gone on by itself.
    Admitted(Admitted),
}

/// A request that has gone on by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    /// The flow.
    pub flow: FlowKey,
    /// Kernel's monotonic clock when it was spotted, in nanoseconds.
    pub time: u64,
    /// The number of the admission by which it has.
    pub admission: u32,
    /// The sequence number with which it starts.
    pub sequence: u32,
}

/// Where a connection's segments are caught, and go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caught {
    /// Index of the interface.
    pub interface: u32,
    /// Whether the segments leave by that interface, as those of this host's own processes do, and what their client is
    /// told comes in there; else they come in.
    pub leaving: bool,
}

/// A held segment.
pub struct HeldFrame {
    /// The flow.
    pub flow: FlowKey,
    /// Kernel's monotonic clock when it was held, in nanoseconds.
    pub time: u64,
    /// Where it was caught.
    pub caught: Caught,
    /// The VLAN tag that the interface had stripped, as the four bytes of a frame: protocol and TCI.
    pub vlan: Option<u32>,
    /// Whether the frame starts with an Ethernet header (else with the IP header).
    pub ethernet: bool,
    /// Bytes of payload that each of the segments had of which the frame was put together; zero where it is one of the
    /// wire, or that is not known.
    pub segment: u16,
    /// Whether the interface has found the TCP checksum right.
    pub verified: bool,
    /// Where it stands.
    pub place: HeldPlace,
    /// The frame; keys pass through it.
    pub frame: Zeroizing<Vec<u8>>,
}

/// A record of the ring buffer that cannot be an event of this agent's programs.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadEvent {
    /// Shorter than its header.
    #[error("an event of {0} bytes is shorter than its header")]
    Short(usize),
    /// A kind that is not known.
    #[error("an event of unknown kind {0}")]
    Kind(u32),
    /// A frame longer than the record.
    #[error("an event's frame of {claimed} bytes does not fit its record of {room}")]
    Length {
        /// What the header says.
        claimed: usize,
        /// What there is.
        room: usize,
    },
}

impl Event {
    /// Reads an event from a record's bytes.
    ///
    /// # Errors
    /// When the record is damaged.
    pub fn parse(record: &[u8]) -> Result<Self, BadEvent> {
        parse(record)
    }
}

/// Reads an event from a record's bytes.
fn parse(record: &[u8]) -> Result<Event, BadEvent> {
    const HEADER: usize = size_of::<EventHeader>();
    let Some((header, rest)) = record.split_at_checked(HEADER) else {
        return Err(BadEvent::Short(record.len()));
    };
    let header = decode(header);
    let kind = EventKind::from_number(header.kind).ok_or(BadEvent::Kind(header.kind))?;
    Ok(match kind {
        EventKind::Held => {
            let length = header.length as usize;
            let frame = rest.get(..length).ok_or(BadEvent::Length {
                claimed: length,
                room: rest.len(),
            })?;
            Event::Held(HeldFrame {
                flow: header.flow,
                time: header.time,
                caught: Caught {
                    interface: header.interface,
                    leaving: header.flags & flag::LEAVING != 0,
                },
                vlan: (header.vlan != 0).then_some(header.vlan),
                ethernet: header.flags & flag::ETHERNET != 0,
                segment: header.segment,
                verified: header.flags & flag::VERIFIED != 0,
                place: HeldPlace::of(header.flags),
                frame: Zeroizing::new(frame.to_vec()),
            })
        }
        EventKind::ClientFin => Event::ClientFin(header.flow),
        EventKind::ServerFin => Event::ServerFin(header.flow),
        EventKind::Reset => Event::Reset(header.flow),
        EventKind::Answer => Event::Answer(header.flow, header.time),
        EventKind::Failure => Event::Failure(header.flow),
        EventKind::Barrier => Event::Barrier,
        EventKind::Admitted => {
            const REST: usize = size_of::<AdmittedEvent>() - HEADER;
            let mut rest = Reader(rest.get(..REST).ok_or(BadEvent::Short(record.len()))?);
            Event::Admitted(Admitted {
                flow: header.flow,
                time: header.time,
                admission: u32::from_ne_bytes(rest.take()),
                sequence: u32::from_ne_bytes(rest.take()),
            })
        }
    })
}

/// Field by field, in the order of [`EventHeader`], whose size and layout `agent-ebpf` asserts.
fn decode(bytes: &[u8]) -> EventHeader {
    let mut reader = Reader(bytes);
    EventHeader {
        time: u64::from_ne_bytes(reader.take()),
        kind: u32::from_ne_bytes(reader.take()),
        interface: u32::from_ne_bytes(reader.take()),
        length: u32::from_ne_bytes(reader.take()),
        vlan: u32::from_ne_bytes(reader.take()),
        flow: FlowKey {
            source: reader.take(),
            destination: reader.take(),
            source_port: u16::from_ne_bytes(reader.take()),
            destination_port: u16::from_ne_bytes(reader.take()),
        },
        flags: u16::from_ne_bytes(reader.take()),
        segment: u16::from_ne_bytes(reader.take()),
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    /// The next bytes; zeros where there are none, which the caller's length check rules out.
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (bytes, rest) = self.0.split_first_chunk().unwrap_or((&[0; N], &[]));
        self.0 = rest;
        *bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u32, length: u32, frame: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&7_u64.to_ne_bytes());
        for number in [kind, 3, length, 0x88a8_0005] {
            bytes.extend_from_slice(&number.to_ne_bytes());
        }
        bytes.extend_from_slice(&[1; 16]);
        bytes.extend_from_slice(&[2; 16]);
        bytes.extend_from_slice(&40_000_u16.to_ne_bytes());
        bytes.extend_from_slice(&8080_u16.to_ne_bytes());
        bytes.extend_from_slice(&flag::ETHERNET.to_ne_bytes());
        bytes.extend_from_slice(&1448_u16.to_ne_bytes());
        bytes.extend_from_slice(frame);
        bytes
    }

    #[test]
    fn a_held_frame_is_read_field_by_field() {
        let Ok(Event::Held(held)) = parse(&record(1, 3, b"abcde")) else {
            panic!("not a held frame");
        };
        assert_eq!(held.frame.as_slice(), b"abc");
        assert_eq!(
            (held.time, held.caught.interface, held.vlan),
            (7, 3, Some(0x88a8_0005))
        );
        assert_eq!(held.segment, 1448);
        assert!(held.ethernet && !held.verified && held.place == HeldPlace::default());
        assert_eq!(
            (held.flow.source_port, held.flow.destination_port),
            (40_000, 8080)
        );
    }

    #[test]
    fn ends_of_flows_are_told_apart() {
        assert!(matches!(parse(&record(2, 0, b"")), Ok(Event::ClientFin(_))));
        assert!(matches!(parse(&record(3, 0, b"")), Ok(Event::ServerFin(_))));
        assert!(matches!(parse(&record(4, 0, b"")), Ok(Event::Reset(_))));
    }

    #[test]
    fn answers_are_told_from_failures() {
        assert!(matches!(parse(&record(5, 0, b"")), Ok(Event::Answer(_, 7))));
        assert!(matches!(parse(&record(6, 0, b"")), Ok(Event::Failure(_))));
    }

    #[test]
    fn a_request_that_has_gone_on_is_told_by_its_admission_and_place() {
        let record = record(8, 5, &[4, 0, 0, 0, 9, 0, 0, 0]);
        let Ok(Event::Admitted(admitted)) = parse(&record) else {
            panic!("none that has gone on");
        };
        let number = |byte: u8| u32::from_ne_bytes([byte, 0, 0, 0]);
        assert_eq!(
            (admitted.admission, admitted.sequence, admitted.time),
            (number(4), number(9), 7)
        );
        assert_eq!(parse(&record[..71]).err(), Some(BadEvent::Short(71)));
    }

    #[test]
    fn damaged_records_are_refused() {
        let cases = [
            (record(1, 3, b"abc")[..63].to_vec(), BadEvent::Short(63)),
            (record(9, 0, b""), BadEvent::Kind(9)),
            (record(0, 0, b""), BadEvent::Kind(0)),
            (
                record(1, 4, b"abc"),
                BadEvent::Length {
                    claimed: 4,
                    room: 3,
                },
            ),
        ];
        for (bytes, expected) in cases {
            assert_eq!(parse(&bytes).err(), Some(expected));
        }
    }
}
