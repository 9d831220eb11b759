//! How a connection's frames look: read off its newest held segment, so that time stamps and
//! acknowledgements are fresh.
use std::{net::IpAddr, ops::Range};

use zeroize::Zeroizing;

use super::{
    LOOPBACK,
    headers::{ACK, FIN, IPV4_LEN, IPV6_LEN, PSH, RST, SYN, TCP, TCP_LEN, is_ipv4, write_length},
    sum,
};
use crate::spot::{Caught, HeldFrame};

const ETHERNET_LEN: usize = 14;
const VLAN_LEN: usize = 4;
/// Largest IP packet.
const IP_MAX: usize = 65_535;
/// Packets that every host takes (RFC 791, section 3.1), and every link (RFC 8200, section 5).
const IPV4_LEAST: usize = 576;
const IPV6_LEAST: usize = 1280;

/// A held frame that cannot be released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// It ends inside its headers.
    #[error("the frame ends inside its headers")]
    Short,
    /// It is neither IPv4 nor IPv6 with TCP in it.
    #[error("the frame is no TCP segment over IPv4 or IPv6")]
    NotTcp,
    /// It is not what its sender's checksum stands for, or not all of it: the stack would throw it away, and what is
    /// released has a checksum of its own.
    #[error("the segment is damaged: its checksum is wrong")]
    Damaged {
        /// Its sequence number, as it came.
        sequence: u32,
    },
}

/// A frame to be released. Holds what a caller sent: no `Debug`, wiped when dropped.
pub struct Frame {
    bytes: Zeroizing<Vec<u8>>,
    network: usize,
}

impl Frame {
    /// A frame whose IP header starts at a place.
    pub(super) fn new(bytes: Zeroizing<Vec<u8>>, network: usize) -> Self {
        Self { bytes, network }
    }

    /// From the link's header on.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Changes the Ethernet source address.
    #[cfg(feature = "host")]
    pub(super) fn set_source(&mut self, source: [u8; 6]) {
        // Every template has a link header: one is made up where the interface has none.
        self.bytes[6..12].copy_from_slice(&source);
    }

    /// From the IP header on.
    #[must_use]
    pub fn packet(&self) -> &[u8] {
        &self.bytes[self.network..]
    }

    /// Where the packet goes.
    #[must_use]
    pub fn destination(&self) -> IpAddr {
        let packet = self.packet();
        // A template has a whole header, of one of the two versions.
        if is_ipv4(packet) {
            let mut address = [0; 4];
            address.copy_from_slice(&packet[16..20]);
            address.into()
        } else {
            let mut address = [0; 16];
            address.copy_from_slice(&packet[24..40]);
            address.into()
        }
    }
}

/// The headers of a connection's frames.
#[derive(Clone)]
pub struct FrameTemplate {
    /// Ethernet header with any tag in the frame; made up for interfaces without.
    pub(super) link: Vec<u8>,
    /// IP header with its options or extension headers.
    pub(super) network: Vec<u8>,
    /// TCP header with its options.
    pub(super) transport: Vec<u8>,
    caught: Caught,
    sequence: u32,
    payload: Range<usize>,
    /// The sequence number at which the segment that was read ended the client's bytes.
    fin: Option<u32>,
    /// Most bytes of payload that a segment of the client's is known to have had.
    largest: usize,
}

impl FrameTemplate {
    /// Reads a held frame.
    ///
    /// # Errors
    /// When it is no TCP segment, cut off inside its headers, or damaged.
    pub fn of(held: &HeldFrame) -> Result<Self, BadFrame> {
        let frame = held.frame.as_slice();
        let link_length = if held.ethernet {
            link_length(frame)?
        } else {
            0
        };
        let packet = frame.get(link_length..).ok_or(BadFrame::Short)?;
        let (network_length, end) = network(packet)?;
        let tcp = packet.get(network_length..).ok_or(BadFrame::Short)?;
        let transport_length = usize::from(tcp.get(12).ok_or(BadFrame::Short)? >> 4) * 4;
        if transport_length < TCP_LEN || tcp.len() < transport_length {
            return Err(BadFrame::Short);
        }
        let start = link_length + network_length + transport_length;
        // What the link padded is none of ours; what the capture cut off comes again.
        let payload = start..frame.len().min(link_length + end).max(start);
        let sequence = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
        let whole = payload.end == link_length + end;
        let segment = &frame[link_length + network_length..payload.end];
        // What was put together has been looked at before that, and may be more than there was room for.
        let is_sound = held.verified
            || held.segment != 0
            || whole && sum::is_right(&packet[..network_length], segment);
        if !is_sound {
            return Err(BadFrame::Damaged { sequence });
        }
        let fin =
            (tcp[13] & FIN != 0 && whole).then(|| sequence.wrapping_add(payload.len() as u32));
        let largest = match held.segment {
            0 => payload.len(),
            size => size.into(),
        };
        Ok(Self {
            link: link(frame, link_length, packet, held.vlan),
            network: packet[..network_length].to_vec(),
            transport: tcp[..transport_length].to_vec(),
            caught: held.caught,
            sequence,
            payload,
            fin,
            largest,
        })
    }

    /// This one, of a connection that had another before: the client's segments may be as large as they were then.
    #[must_use]
    pub fn after(mut self, earlier: Option<&Self>) -> Self {
        let known = earlier.map_or(0, |earlier| earlier.largest);
        self.largest = self.largest.max(known);
        self
    }

    /// Where the frame was caught.
    #[must_use]
    pub fn caught(&self) -> Caught {
        self.caught
    }

    /// The segment's sequence number.
    #[must_use]
    pub fn sequence(&self) -> u32 {
        self.sequence
    }

    /// The segment's payload, from the frame that was read.
    #[must_use]
    pub fn payload<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.get(self.payload.clone()).unwrap_or_default()
    }

    /// Frames that bring these bytes from a sequence number on, none larger than the interface's MTU
    /// (bytes, without the link's header), nor than what the client sends: behind the interface there may be a link
    /// that takes no more. What every link takes is not cut.
    #[must_use]
    pub fn frames(&self, sequence: u32, bytes: &[u8], mtu: usize) -> Vec<Frame> {
        let headers = self.network.len() + self.transport.len();
        let most = mtu.min(IP_MAX).min(self.most(headers));
        let room = most.saturating_sub(headers).max(1);
        let pieces = bytes.len().div_ceil(room);
        bytes
            .chunks(room)
            .enumerate()
            .map(|(index, piece)| {
                let start = sequence.wrapping_add((index * room) as u32);
                self.frame(start, piece, index + 1 == pieces)
            })
            .collect()
    }

    /// The largest packet that is known to get through, of one with so many bytes of headers.
    fn most(&self, headers: usize) -> usize {
        // Nothing is forwarded there, and the client's segments say only how it writes.
        if self.caught.interface == LOOPBACK {
            return IP_MAX;
        }
        let least = if is_ipv4(&self.network) {
            IPV4_LEAST
        } else {
            IPV6_LEAST
        };
        least.max(headers + self.largest)
    }

    fn frame(&self, sequence: u32, payload: &[u8], last: bool) -> Frame {
        let network = self.link.len();
        let transport = network + self.network.len();
        let length = transport + self.transport.len() + payload.len();
        let mut frame = Zeroizing::new(Vec::with_capacity(length));
        frame.extend_from_slice(&self.link);
        frame.extend_from_slice(&self.network);
        frame.extend_from_slice(&self.transport);
        frame.extend_from_slice(payload);

        let tcp = &mut frame[transport..];
        tcp[4..8].copy_from_slice(&sequence.to_be_bytes());
        let ends = self.fin == Some(sequence.wrapping_add(payload.len() as u32));
        tcp[13] = tcp[13] & !(FIN | SYN | RST | PSH)
            | ACK
            | if last { PSH } else { 0 }
            | if ends { FIN } else { 0 };
        tcp[16..18].fill(0);
        // A packet is at most as long as the interface's MTU, which fits.
        let segment = (length - transport) as u16;
        let pseudo = sum::pseudo_header(&self.network).add(&segment.to_be_bytes());
        let sum = pseudo.add(tcp).finish();
        tcp[16..18].copy_from_slice(&sum);
        write_length(&mut frame[network..], self.network.len());
        Frame::new(frame, network)
    }
}

/// The link's header for a frame. A tag that the interface had stripped is put back: on its way the
/// frame comes by the place where the kernel strips it again.
fn link(frame: &[u8], length: usize, packet: &[u8], vlan: Option<u32>) -> Vec<u8> {
    if length > 0 {
        let mut link = frame[..length].to_vec();
        if let Some(tag) = vlan {
            link.splice(12..12, tag.to_be_bytes());
        }
        return link;
    }
    // The veth pair wants one; the redirect to an interface without takes it off.
    let ethertype: [u8; 2] = if is_ipv4(packet) {
        [0x08, 0x00]
    } else {
        [0x86, 0xdd]
    };
    [[0; 12].as_slice(), &ethertype].concat()
}

/// Length of the Ethernet header with its tags.
fn link_length(frame: &[u8]) -> Result<usize, BadFrame> {
    let mut length = ETHERNET_LEN;
    // 802.1ad around 802.1Q at most, as the programs read it.
    for _ in 0..2 {
        match frame.get(length - 2..length).ok_or(BadFrame::Short)? {
            [0x81, 0x00] | [0x88, 0xa8] => length += VLAN_LEN,
            _ => break,
        }
    }
    Ok(length)
}

/// Length of the IP header with all that belongs to it, and of the whole packet by its own word.
fn network(packet: &[u8]) -> Result<(usize, usize), BadFrame> {
    let word = |at: usize| {
        let bytes = packet.get(at..at + 2).ok_or(BadFrame::Short)?;
        Ok(usize::from(u16::from_be_bytes([bytes[0], bytes[1]])))
    };
    if is_ipv4(packet) {
        let header = packet.get(..IPV4_LEN).ok_or(BadFrame::Short)?;
        let length = usize::from(header[0] & 0x0f) * 4;
        return if header[9] == TCP && length >= IPV4_LEN {
            Ok((length, known(word(2)?, packet)))
        } else {
            Err(BadFrame::NotTcp)
        };
    }
    let header = packet.get(..IPV6_LEN).ok_or(BadFrame::Short)?;
    if header[0] >> 4 != 6 {
        return Err(BadFrame::NotTcp);
    }
    let payload = word(4)?;
    let end = if payload == 0 {
        packet.len()
    } else {
        IPV6_LEN + payload
    };
    let (mut next, mut length) = (header[6], IPV6_LEN);
    while next != TCP {
        // Hop-by-hop options, routing, destination options (RFC 8200, section 4).
        if ![0, 43, 60].contains(&next) {
            return Err(BadFrame::NotTcp);
        }
        let extension = packet.get(length..length + 2).ok_or(BadFrame::Short)?;
        next = extension[0];
        length += (usize::from(extension[1]) + 1) * 8;
    }
    Ok((length, end))
}

/// A packet that offloading made longer than its length field can tell says zero.
fn known(length: usize, packet: &[u8]) -> usize {
    if length == 0 { packet.len() } else { length }
}

#[cfg(test)]
mod tests;
