//! How a connection's frames look: read off its newest held segment, so that time stamps and
//! acknowledgements are fresh.
use std::{net::IpAddr, ops::Range};

use zeroize::Zeroizing;

use super::checksum::Checksum;
use crate::spot::HeldFrame;

const ETHERNET_LEN: usize = 14;
const VLAN_LEN: usize = 4;
pub(super) const IPV4_LEN: usize = 20;
pub(super) const IPV6_LEN: usize = 40;
pub(super) const TCP_LEN: usize = 20;
pub(super) const TCP: u8 = 6;
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
const PSH: u8 = 0x08;
pub(super) const ACK: u8 = 0x10;
/// Largest IP packet.
const IP_MAX: usize = 65_535;

/// A held frame that is no TCP segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// It ends inside its headers.
    #[error("the frame ends inside its headers")]
    Short,
    /// It is neither IPv4 nor IPv6 with TCP in it.
    #[error("the frame is no TCP segment over IPv4 or IPv6")]
    NotTcp,
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
pub struct Template {
    /// Ethernet header with any tag in the frame; made up for interfaces without.
    pub(super) link: Vec<u8>,
    /// IP header with its options or extension headers.
    pub(super) network: Vec<u8>,
    /// TCP header with its options.
    pub(super) transport: Vec<u8>,
    interface: u32,
    sequence: u32,
    payload: Range<usize>,
    /// The sequence number at which the segment that was read ended the client's bytes.
    fin: Option<u32>,
}

impl Template {
    /// Reads a held frame.
    ///
    /// # Errors
    /// When it is no TCP segment, or cut off inside its headers.
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
        let fin =
            (tcp[13] & FIN != 0 && whole).then(|| sequence.wrapping_add(payload.len() as u32));
        Ok(Self {
            link: link(frame, link_length, packet, held.vlan),
            network: packet[..network_length].to_vec(),
            transport: tcp[..transport_length].to_vec(),
            interface: held.interface,
            sequence,
            payload,
            fin,
        })
    }

    /// The index of the interface on which the frame was caught.
    #[must_use]
    pub fn interface(&self) -> u32 {
        self.interface
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
    /// (bytes, without the link's header).
    #[must_use]
    pub fn frames(&self, sequence: u32, bytes: &[u8], mtu: usize) -> Vec<Frame> {
        let headers = self.network.len() + self.transport.len();
        let room = mtu.min(IP_MAX).saturating_sub(headers).max(1);
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
        let pseudo = self.pseudo_header().add(&segment.to_be_bytes());
        let sum = pseudo.add(tcp).finish();
        tcp[16..18].copy_from_slice(&sum);
        write_length(&mut frame[network..], self.network.len());
        Frame::new(frame, network)
    }

    /// Addresses and protocol, as the TCP checksum counts them (RFC 9293, section 3.1; RFC 8200,
    /// section 8.1); the length is added by the caller.
    pub(super) fn pseudo_header(&self) -> Checksum {
        let addresses = if is_ipv4(&self.network) {
            12..20
        } else {
            8..40
        };
        Checksum::default()
            .add(&self.network[addresses])
            .add(&[0, TCP])
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

pub(super) fn is_ipv4(packet: &[u8]) -> bool {
    packet.first().is_some_and(|byte| byte >> 4 == 4)
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

/// Writes a packet's length, and for IPv4 its header checksum.
pub(super) fn write_length(packet: &mut [u8], header: usize) {
    // At most the interface's MTU, which fits.
    let total = packet.len() as u16;
    if is_ipv4(packet) {
        packet[2..4].copy_from_slice(&total.to_be_bytes());
        packet[10..12].fill(0);
        let sum = Checksum::default().add(&packet[..header]).finish();
        packet[10..12].copy_from_slice(&sum);
    } else {
        packet[4..6].copy_from_slice(&(total - IPV6_LEN as u16).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use agent_ebpf::{FlowKey, HeldPlace};

    use super::*;

    fn held(frame: Vec<u8>, ethernet: bool) -> HeldFrame {
        HeldFrame {
            flow: FlowKey {
                source: [0; 16],
                destination: [0; 16],
                source_port: 1,
                destination_port: 2,
            },
            time: 0,
            interface: 3,
            vlan: None,
            ethernet,
            place: HeldPlace::default(),
            frame: Zeroizing::new(frame),
        }
    }

    fn tcp(flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut tcp = vec![
            0x9c, 0x40, 0x1f, 0x90, 0, 0, 0x03, 0xe8, 0, 0, 0, 1, 0x80, flags,
        ];
        tcp.extend_from_slice(&[0xff, 0xff, 0xaa, 0xaa, 0, 0]);
        // No-operation twice, then time stamps.
        tcp.extend_from_slice(&[1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 8]);
        tcp.extend_from_slice(payload);
        tcp
    }

    fn v4(flags: u8, payload: &[u8]) -> Vec<u8> {
        let tcp = tcp(flags, payload);
        let total = u16::try_from(20 + tcp.len()).unwrap().to_be_bytes();
        let mut packet = vec![
            0x45, 0, total[0], total[1], 0, 1, 0x40, 0, 64, 6, 0xbb, 0xbb,
        ];
        packet.extend_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
        packet.extend(tcp);
        packet
    }

    fn v6(payload: &[u8]) -> Vec<u8> {
        let tcp = tcp(0x18, payload);
        let length = u16::try_from(8 + tcp.len()).unwrap().to_be_bytes();
        // Destination options stand between.
        let mut packet = vec![0x60, 0, 0, 0, length[0], length[1], 60, 64];
        packet.extend_from_slice(&[1; 16]);
        packet.extend_from_slice(&[2; 16]);
        packet.extend_from_slice(&[6, 0, 1, 4, 0, 0, 0, 0]);
        packet.extend(tcp);
        packet
    }

    fn ethernet(ethertype: &[u8], packet: &[u8]) -> Vec<u8> {
        [[7; 12].as_slice(), ethertype, packet].concat()
    }

    /// Both checksums of an IPv4 frame count to zero.
    fn assert_sums(packet: &[u8]) {
        assert_eq!(Checksum::default().add(&packet[..20]).finish(), [0, 0]);
        let length = u16::try_from(packet.len() - 20).unwrap().to_be_bytes();
        let sum = Checksum::default()
            .add(&packet[12..20])
            .add(&[0, 6])
            .add(&length)
            .add(&packet[20..]);
        assert_eq!(sum.finish(), [0, 0]);
    }

    #[test]
    fn a_frame_comes_back_with_other_bytes_and_right_checksums() {
        let original = ethernet(&[8, 0], &v4(0x18, b"hello"));
        let template = Template::of(&held(original.clone(), true)).unwrap();
        assert_eq!(
            (template.sequence(), template.payload(&original)),
            (1000, b"hello".as_slice())
        );
        let frames = template.frames(1000, b"olleh", 1500);
        assert_eq!(frames.len(), 1);
        assert_eq!(&frames[0].bytes()[..14], &original[..14]);
        assert!(frames[0].bytes().ends_with(b"olleh"));
        assert_sums(frames[0].packet());
    }

    #[test]
    fn more_bytes_than_the_mtu_come_in_several_frames_the_last_pushed() {
        let template = Template::of(&held(ethernet(&[8, 0], &v4(0x18, b"x")), true)).unwrap();
        let frames = template.frames(u32::MAX, &[b'a'; 100], 20 + 32 + 60);
        assert_eq!(frames.len(), 2);
        let sequences: Vec<&[u8]> = frames.iter().map(|frame| &frame.bytes()[38..42]).collect();
        assert_eq!(sequences, [&u32::MAX.to_be_bytes(), &59_u32.to_be_bytes()]);
        assert_eq!(
            frames
                .iter()
                .map(|frame| frame.bytes()[47] & PSH)
                .collect::<Vec<_>>(),
            [0, PSH]
        );
        frames.iter().for_each(|frame| assert_sums(frame.packet()));
    }

    #[test]
    fn padding_of_the_link_is_no_payload() {
        let mut frame = ethernet(&[8, 0], &v4(0x18, b"hi"));
        frame.extend_from_slice(&[0; 9]);
        assert_eq!(
            Template::of(&held(frame.clone(), true))
                .unwrap()
                .payload(&frame),
            b"hi"
        );
    }

    #[test]
    fn an_end_of_the_clients_bytes_stays_at_its_place() {
        let template = Template::of(&held(ethernet(&[8, 0], &v4(0x19, b"hello")), true)).unwrap();
        let whole = template.frames(1000, b"olleh", 1500);
        assert_eq!(whole[0].bytes()[47] & FIN, FIN);
        let part = template.frames(1000, b"oll", 1500);
        assert_eq!(part[0].bytes()[47] & FIN, 0);
    }

    #[test]
    fn ipv6_with_extension_headers_and_vlan_tags_are_read() {
        let tagged = [&[0x81, 0, 0, 5], [0x86, 0xdd].as_slice()].concat();
        let frame = ethernet(&tagged, &v6(b"hello"));
        let template = Template::of(&held(frame.clone(), true)).unwrap();
        assert_eq!(template.payload(&frame), b"hello");
        let again = &template.frames(1000, b"world!", 1500)[0];
        let packet = again.packet();
        assert_eq!(again.destination(), IpAddr::from([2; 16]));
        assert_eq!(usize::from(packet[5]), packet.len() - 40);
        let length = u16::try_from(packet.len() - 48).unwrap().to_be_bytes();
        let sum = Checksum::default()
            .add(&packet[8..40])
            .add(&[0, 6])
            .add(&length)
            .add(&packet[48..]);
        assert_eq!(sum.finish(), [0, 0]);
    }

    #[test]
    fn a_tag_that_the_interface_had_stripped_is_put_back_as_the_kind_that_it_was() {
        for tag in [0x8100_0005_u32, 0x88a8_0007] {
            let caught = HeldFrame {
                vlan: Some(tag),
                ..held(ethernet(&[8, 0], &v4(0x18, b"hello")), true)
            };
            let template = Template::of(&caught).unwrap();
            let frame = &template.frames(1000, b"world", 1500)[0];
            assert_eq!(&frame.bytes()[12..16], tag.to_be_bytes());
            assert_eq!(&frame.bytes()[16..18], [8, 0]);
        }
    }

    #[test]
    fn a_packet_without_a_link_gets_one_for_the_way() {
        let packet = v4(0x18, b"hi");
        let template = Template::of(&held(packet, false)).unwrap();
        let frame = &template.frames(1000, b"hi", 1500)[0];
        assert_eq!(&frame.bytes()[12..14], [8, 0]);
        assert_sums(frame.packet());
    }

    #[test]
    fn frames_cut_off_anywhere_are_refused_or_read_as_far_as_they_go() {
        let frame = ethernet(&[8, 0], &v4(0x18, b"hello"));
        for cut in 0..frame.len() {
            let part = frame[..cut].to_vec();
            match Template::of(&held(part.clone(), true)) {
                Ok(template) => assert!(b"hello".starts_with(template.payload(&part))),
                Err(error) => assert!(cut < 66, "{cut}: {error}"),
            }
        }
    }
}
