//! Ethernet, IP and TCP headers, written and read.
use std::net::{IpAddr, SocketAddr};

use crate::{
    check::{Outcome, fail},
    scene::{CLIENT_MAC, HOST_MAC},
};

/// TCP's (RFC 9293, section 3.1).
pub(super) mod flags {
    pub(crate) const FIN: u8 = 0x01;
    pub(crate) const SYN: u8 = 0x02;
    pub(crate) const RST: u8 = 0x04;
    pub(crate) const PSH: u8 = 0x08;
    pub(crate) const ACK: u8 = 0x10;
}

const TCP: u8 = 6;
const HOP_BY_HOP: u8 = 0;
const DESTINATION_OPTIONS: u8 = 60;

/// What stands in a connection's frames beside the segment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shape {
    /// An 802.1Q tag.
    pub(crate) vlan: Option<u16>,
    /// No-operation options behind an IPv4 header, in 32-bit words.
    pub(crate) ipv4_options: u8,
    /// Hop-by-hop and destination options behind an IPv6 header.
    pub(crate) ipv6_options: bool,
    /// TCP time stamps.
    pub(crate) time_stamps: bool,
    /// Selective acknowledgements.
    pub(crate) selective: bool,
}

/// A range of the other side's stream, from the first byte's sequence number to the one behind the last.
pub(super) type Range = (u32, u32);

/// A segment to send.
pub(super) struct Segment<'a> {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) sequence: u32,
    pub(super) acknowledged: u32,
    pub(super) flags: u8,
    pub(super) time_stamps: (u32, u32),
    /// What has come out of its turn.
    pub(super) selected: Option<Range>,
    pub(super) payload: &'a [u8],
}

impl Shape {
    /// The segment as a frame from the client's end to the host's.
    pub(super) fn frame(&self, segment: &Segment<'_>) -> Outcome<Vec<u8>> {
        let mut frame = [HOST_MAC, CLIENT_MAC].concat();
        if let Some(tag) = self.vlan {
            frame.extend([0x81, 0x00]);
            frame.extend(tag.to_be_bytes());
        }
        let tcp = self.tcp(segment)?;
        match (segment.source.ip(), segment.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let addresses = [source.octets(), destination.octets()].concat();
                frame.extend([0x08, 0x00]);
                frame.extend(self.ipv4(&addresses, tcp)?);
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let addresses = [source.octets(), destination.octets()].concat();
                frame.extend([0x86, 0xdd]);
                frame.extend(self.ipv6(&addresses, tcp)?);
            }
            _ => return fail("addresses of two kinds"),
        }
        Ok(frame)
    }

    fn tcp(&self, segment: &Segment<'_>) -> Outcome<Vec<u8>> {
        let mut options = Vec::new();
        if segment.flags & flags::SYN != 0 {
            // Maximum segment size (RFC 9293, section 3.7.1).
            options.extend([2, 4, 0x05, 0xb4]);
            if self.selective {
                // "Permitted" (RFC 2018, section 2).
                options.extend([1, 1, 4, 2]);
            }
        }
        if self.time_stamps {
            // Two no-operations before, so that it ends at a word (RFC 7323, appendix A).
            options.extend([1, 1, 8, 10]);
            options.extend(segment.time_stamps.0.to_be_bytes());
            options.extend(segment.time_stamps.1.to_be_bytes());
        }
        if let Some((start, end)) = segment.selected {
            // RFC 2018, section 3.
            options.extend([1, 1, 5, 10]);
            options.extend(start.to_be_bytes());
            options.extend(end.to_be_bytes());
        }
        let words = u8::try_from(5 + options.len() / 4)?;
        let mut tcp = Vec::new();
        tcp.extend(segment.source.port().to_be_bytes());
        tcp.extend(segment.destination.port().to_be_bytes());
        tcp.extend(segment.sequence.to_be_bytes());
        tcp.extend(segment.acknowledged.to_be_bytes());
        tcp.extend([words << 4, segment.flags, 0xff, 0xff, 0, 0, 0, 0]);
        tcp.extend(options);
        tcp.extend_from_slice(segment.payload);
        Ok(tcp)
    }

    fn ipv4(&self, addresses: &[u8], mut tcp: Vec<u8>) -> Outcome<Vec<u8>> {
        put_checksum(&mut tcp, addresses)?;
        let header = 20 + usize::from(self.ipv4_options) * 4;
        let total = u16::try_from(header + tcp.len())?;
        let mut packet = vec![0x45 + self.ipv4_options, 0];
        packet.extend(total.to_be_bytes());
        packet.extend([0, 1, 0x40, 0, 64, TCP, 0, 0]);
        packet.extend_from_slice(addresses);
        packet.resize(header, 1);
        let sum = checksum(&packet);
        packet[10..12].copy_from_slice(&sum);
        packet.extend(tcp);
        Ok(packet)
    }

    fn ipv6(&self, addresses: &[u8], mut tcp: Vec<u8>) -> Outcome<Vec<u8>> {
        put_checksum(&mut tcp, addresses)?;
        let (first, extensions): (u8, &[u8]) = if self.ipv6_options {
            // Each of eight bytes, filled up by PadN (RFC 8200, section 4.2).
            let hop_by_hop = [DESTINATION_OPTIONS, 0, 1, 4, 0, 0, 0, 0];
            let destination = [TCP, 0, 1, 4, 0, 0, 0, 0];
            (HOP_BY_HOP, &[hop_by_hop, destination].concat())
        } else {
            (TCP, &[])
        };
        let length = u16::try_from(extensions.len() + tcp.len())?;
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend(length.to_be_bytes());
        packet.extend([first, 64]);
        packet.extend_from_slice(addresses);
        packet.extend_from_slice(extensions);
        packet.extend(tcp);
        Ok(packet)
    }
}

fn put_checksum(tcp: &mut [u8], addresses: &[u8]) -> Outcome {
    let mut pseudo = addresses.to_vec();
    pseudo.extend([0, TCP]);
    pseudo.extend(u16::try_from(tcp.len())?.to_be_bytes());
    pseudo.extend_from_slice(tcp);
    let sum = checksum(&pseudo);
    tcp[16..18].copy_from_slice(&sum);
    Ok(())
}

/// The internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)))
        .sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    (!(sum as u16)).to_be_bytes()
}

/// A segment that came.
pub(super) struct Received {
    pub(super) sequence: u32,
    pub(super) acknowledged: u32,
    pub(super) flags: u8,
    pub(super) time_stamp: u32,
    /// The first range that is acknowledged out of its turn.
    pub(super) selected: Option<Range>,
    pub(super) payload: Vec<u8>,
}

impl Received {
    /// Reads a frame; `None` where it is no segment of this connection.
    pub(super) fn parse(frame: &[u8], source: SocketAddr, destination: SocketAddr) -> Option<Self> {
        let packet = frame.get(14..)?;
        let (addresses, tcp) = match (frame.get(12..14)?, source.ip(), destination.ip()) {
            ([0x08, 0x00], IpAddr::V4(source), IpAddr::V4(destination)) => {
                let total = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
                let tcp = packet.get(20..total)?;
                let expected = [source.octets(), destination.octets()].concat();
                (packet.get(12..20)? == expected, tcp)
            }
            ([0x86, 0xdd], IpAddr::V6(source), IpAddr::V6(destination)) => {
                let length = usize::from(u16::from_be_bytes([*packet.get(4)?, *packet.get(5)?]));
                let tcp = packet.get(40..40 + length)?;
                let expected = [source.octets(), destination.octets()].concat();
                (packet.get(8..40)? == expected, tcp)
            }
            _ => return None,
        };
        let port = |at: usize| Some(u16::from_be_bytes(tcp.get(at..at + 2)?.try_into().ok()?));
        let ours = addresses && port(0)? == source.port() && port(2)? == destination.port();
        let word = |at: usize| Some(u32::from_be_bytes(tcp.get(at..at + 4)?.try_into().ok()?));
        let header = usize::from(*tcp.get(12)? >> 4) * 4;
        ours.then_some(())?;
        let options = tcp.get(20..header)?;
        let range = |value: &[u8]| {
            let (start, rest) = value.split_first_chunk()?;
            Some((
                u32::from_be_bytes(*start),
                u32::from_be_bytes(*rest.first_chunk()?),
            ))
        };
        Some(Self {
            sequence: word(4)?,
            acknowledged: word(8)?,
            flags: *tcp.get(13)?,
            time_stamp: option(8, options)
                .and_then(|value| Some(u32::from_be_bytes(*value.first_chunk()?)))
                .unwrap_or(0),
            selected: option(5, options).and_then(range),
            payload: tcp.get(header..)?.to_vec(),
        })
    }
}

/// The value of one of TCP's options.
fn option(kind: u8, mut options: &[u8]) -> Option<&[u8]> {
    loop {
        options = match options {
            [1, rest @ ..] => rest,
            [found, length, rest @ ..] if *found == kind => {
                return rest.get(..usize::from(*length).checked_sub(2)?);
            }
            [_, length, ..] => options.get(usize::from(*length).max(2)..)?,
            _ => return None,
        };
    }
}
