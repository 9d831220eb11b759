//! From a packet to a TCP segment, by direct packet access.

use agent_ebpf::FlowKey;

use crate::{
    frame::{Frame, load},
    globals,
};

const ETHERNET_LEN: usize = 14;
const VLAN_LEN: usize = 4;
const IPV4_LEN: usize = 20;
const IPV6_LEN: usize = 40;
const TCP_LEN: usize = 20;
/// Headers lie in the first bytes; a packet whose linear part ends earlier is pulled together once.
const HEADERS_LEN: u32 = 192;
/// Longest chain of IPv6 extension headers that is followed.
const EXTENSIONS: usize = 6;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_SERVICE_VLAN: u16 = 0x88a8;
const PROTOCOL_TCP: u8 = 6;
const FRAGMENT_MASK: u16 = 0x3fff;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// What a packet starts with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Ethernet,
    Ip,
}

/// Which of the two ports is the gateway's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    ToGateway,
    FromGateway,
}

/// A TCP segment of a flow to the gateway. The flow is always seen from the client's side.
#[derive(Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) flow: FlowKey,
    pub(crate) link: Link,
    /// One where the client is a process of this host's, and what it sends is seen as it leaves. A word: older
    /// verifiers want what lies on the stack aligned.
    pub(crate) is_leaving: u32,
    pub(crate) sequence: u32,
    pub(crate) acknowledged: u32,
    /// Where TCP's header starts.
    pub(crate) transport: u32,
    pub(crate) payload_offset: u32,
    pub(crate) payload_length: u32,
    flags: u8,
}

impl Segment {
    /// Beside a SYN it ends nothing: TCP throws such a segment away.
    #[inline(always)]
    pub(crate) fn is_fin(&self) -> bool {
        self.flags & (FIN | SYN) == FIN
    }

    #[inline(always)]
    pub(crate) fn is_reset(&self) -> bool {
        self.flags & RST != 0
    }

    /// One that opens a connection, from either side.
    #[inline(always)]
    pub(crate) fn is_syn(&self) -> bool {
        self.flags & SYN != 0
    }

    /// Only a gateway's first segment: a SYN with an ACK.
    #[inline(always)]
    pub(crate) fn is_acceptance(&self) -> bool {
        self.flags & (SYN | ACK) == SYN | ACK
    }

    /// One that says nothing but what has been received.
    #[inline(always)]
    pub(crate) fn is_bare(&self) -> bool {
        self.payload_length == 0 && self.flags & (FIN | SYN | RST) == 0
    }

    /// This one, seen as it leaves.
    #[inline(always)]
    pub(crate) fn leaving(self) -> Self {
        Self {
            is_leaving: 1,
            ..self
        }
    }

    /// The segment, or `None` where the packet is none that goes this way.
    #[inline(always)]
    pub(crate) fn parse(frame: &impl Frame, link: Link, direction: Direction) -> Option<Self> {
        match parse(frame, link, direction) {
            Parsed::Segment(segment) => Some(segment),
            Parsed::OtherWay | Parsed::NotOurs => None,
        }
    }
}

/// What a packet is to one that looks for segments of a direction.
pub(crate) enum Parsed {
    /// One of them. Where both ports are the gateway's, it goes either way.
    Segment(Segment),
    /// One of the other direction, or damaged.
    OtherWay,
    /// None to or from the gateway's port.
    NotOurs,
}

/// Looks for a segment of a direction.
#[inline(always)]
pub(crate) fn parse(frame: &impl Frame, link: Link, direction: Direction) -> Parsed {
    let mut parsed = parse_linear(frame, link, direction);
    // The headers may lie outside the linear part.
    if parsed.is_none() && frame.pull(HEADERS_LEN) {
        parsed = parse_linear(frame, link, direction);
    }
    parsed.unwrap_or(Parsed::NotOurs)
}

/// `None` where the linear part ends too early.
#[inline(always)]
fn parse_linear(frame: &impl Frame, link: Link, direction: Direction) -> Option<Parsed> {
    let (ethertype, network) = match link {
        Link::Ethernet => ethernet(frame)?,
        Link::Ip => {
            // A single byte's check would be turned into a comparison that the verifier does not
            // know; the shortest header is needed anyway.
            let version = load::<[u8; IPV4_LEN]>(frame, 0)?[0] >> 4;
            (
                if version == 4 {
                    ETHERTYPE_IPV4
                } else {
                    ETHERTYPE_IPV6
                },
                0,
            )
        }
    };
    let network = match ethertype {
        ETHERTYPE_IPV4 => ipv4(frame, network)?,
        ETHERTYPE_IPV6 => ipv6(frame, network)?,
        _ => return Some(Parsed::NotOurs),
    };
    let Some(network) = network else {
        return Some(Parsed::NotOurs);
    };
    tcp(frame, link, direction, network)
}

/// What the network layer told. Addresses are read when the port is known to be the gateway's: most
/// packets are to another.
struct Network {
    /// Where its header starts.
    start: usize,
    version: Version,
    transport: usize,
    /// Bytes from the header's start on by the packet's own word, which leaves out any padding of the
    /// link.
    total: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    V4,
    V6,
}

#[inline(always)]
fn ethernet(frame: &impl Frame) -> Option<(u16, usize)> {
    let mut ethertype = u16::from_be(load::<u16>(frame, 12)?);
    let mut offset = ETHERNET_LEN;
    // At most two tags (802.1ad around 802.1Q) stand in the frame itself.
    for _ in 0..2 {
        if ethertype == ETHERTYPE_VLAN || ethertype == ETHERTYPE_SERVICE_VLAN {
            ethertype = u16::from_be(load::<u16>(frame, offset + 2)?);
            offset += VLAN_LEN;
        }
    }
    Some((ethertype, offset))
}

#[inline(always)]
fn ipv4(frame: &impl Frame, offset: usize) -> Option<Option<Network>> {
    let header = load::<[u8; IPV4_LEN]>(frame, offset)?;
    let fragment = u16::from_be_bytes([header[6], header[7]]) & FRAGMENT_MASK;
    if header[0] >> 4 != 4 || header[9] != PROTOCOL_TCP || fragment != 0 {
        return Some(None);
    }
    let header_length = (header[0] & 0x0f) as usize * 4;
    if header_length < IPV4_LEN {
        return Some(None);
    }
    let total = u16::from_be_bytes([header[2], header[3]]) as usize;
    Some(Some(Network {
        start: offset,
        version: Version::V4,
        transport: offset + header_length,
        total,
    }))
}

#[inline(always)]
fn ipv6(frame: &impl Frame, offset: usize) -> Option<Option<Network>> {
    let header = load::<[u8; IPV6_LEN]>(frame, offset)?;
    if header[0] >> 4 != 6 {
        return Some(None);
    }
    let mut next = header[6];
    let mut transport = offset + IPV6_LEN;
    for _ in 0..EXTENSIONS {
        // Hop-by-hop options, routing, destination options; a fragment is none of ours.
        if next != 0 && next != 43 && next != 60 {
            break;
        }
        let extension = load::<[u8; 2]>(frame, transport)?;
        next = extension[0];
        transport += (extension[1] as usize + 1) * 8;
    }
    if next != PROTOCOL_TCP {
        return Some(None);
    }
    let length = u16::from_be_bytes([header[4], header[5]]) as usize;
    let total = if length == 0 { 0 } else { length + IPV6_LEN };
    Some(Some(Network {
        start: offset,
        version: Version::V6,
        transport,
        total,
    }))
}

#[inline(always)]
fn tcp(frame: &impl Frame, link: Link, direction: Direction, network: Network) -> Option<Parsed> {
    // The ports alone at first: of most packets nothing more is read.
    let ports = load::<[[u8; 2]; 2]>(frame, network.transport)?;
    let [source_port, destination_port] = ports.map(u16::from_be_bytes);
    let gateway = globals::gateway_port();
    let (its, other) = match direction {
        Direction::ToGateway => (destination_port, source_port),
        Direction::FromGateway => (source_port, destination_port),
    };
    if its != gateway {
        return Some(if other == gateway {
            Parsed::OtherWay
        } else {
            Parsed::NotOurs
        });
    }
    // In words: of single bytes the compiler would put each number together again.
    let header = load::<[u32; TCP_LEN / 4]>(frame, network.transport)?.map(u32::from_be);
    let [_, sequence, acknowledged, offset_and_flags, _] = header;
    let (source, destination) = addresses(frame, &network)?;
    let flow = match direction {
        Direction::ToGateway => FlowKey {
            source,
            destination,
            source_port,
            destination_port,
        },
        Direction::FromGateway => FlowKey {
            source: destination,
            destination: source,
            source_port: destination_port,
            destination_port: source_port,
        },
    };
    // TCP would not take it: what it says of itself would have the header read for payload.
    let header_length = (offset_and_flags >> 28) as usize * 4;
    if header_length < TCP_LEN {
        return Some(Parsed::NotOurs);
    }
    let payload_offset = network.transport + header_length;
    let end = end(frame, network.start, network.total);
    Some(Parsed::Segment(Segment {
        flow,
        link,
        is_leaving: 0,
        sequence,
        acknowledged,
        transport: network.transport as u32,
        payload_offset: payload_offset as u32,
        payload_length: end.saturating_sub(payload_offset) as u32,
        flags: (offset_and_flags >> 16) as u8,
    }))
}

#[inline(always)]
fn addresses(frame: &impl Frame, network: &Network) -> Option<([u8; 16], [u8; 16])> {
    match network.version {
        Version::V4 => {
            let [source, destination] = load::<[u32; 2]>(frame, network.start + 12)?;
            Some((mapped(source), mapped(destination)))
        }
        Version::V6 => {
            let [source, destination] = load::<[[u8; 16]; 2]>(frame, network.start + 8)?;
            Some((source, destination))
        }
    }
}

/// A length of zero stands for more than the field can say (BIG TCP): then the buffer's end counts.
#[inline(always)]
fn end(frame: &impl Frame, offset: usize, total: usize) -> usize {
    let buffer = frame.len() as usize;
    if total == 0 || offset + total > buffer {
        buffer
    } else {
        offset + total
    }
}

/// In words, since the kernel hashes words: bytes that were written one by one are slow to read so.
#[inline(always)]
fn mapped(address: u32) -> [u8; 16] {
    let words = [0, 0, 0xffff_u32.to_be(), address];
    // SAFETY: both are plain bytes, as many of them.
    unsafe { core::mem::transmute::<[u32; 4], [u8; 16]>(words) }
}

/// Furthest payload whose bytes are referred to in place: behind the longest headers. A mask.
const PEEK_MAX: u32 = 1023;

/// Refers to bytes of a segment's payload in the linear part, some way behind its start. A single byte's
/// check would be turned into a comparison that the verifier does not know: `N` is more than one.
#[inline(always)]
pub(crate) fn peek<'a, const N: usize>(
    frame: &'a impl Frame,
    segment: &Segment,
    behind: u32,
) -> Option<&'a [u8; N]> {
    // SAFETY: a reference's field.
    let offset = || unsafe { core::ptr::read_volatile(&raw const segment.payload_offset) };
    if offset() > PEEK_MAX {
        return None;
    }
    // Read again, and masked, which changes nothing: of a copy that the compiler has put aside before the
    // comparison older verifiers know nothing.
    let start = frame.data() + (offset() & PEEK_MAX) as usize + behind as usize;
    if start + N > frame.data_end() {
        return None;
    }
    // SAFETY: the bytes lie between the packet's start and the end of its linear part, as checked
    // just before, and nothing writes to the packet while the reference is in use.
    Some(unsafe { &*(start as *const [u8; N]) })
}

/// The last bytes of a segment, and of its headers where it is shorter; `None` where they are not all in the linear part.
#[inline(always)]
pub(crate) fn peek_end<'a, const N: usize>(
    frame: &'a impl Frame,
    segment: &Segment,
) -> Option<&'a [u8; N]> {
    // SAFETY: a reference's fields.
    let end = unsafe {
        core::ptr::read_volatile(&raw const segment.payload_offset)
            + core::ptr::read_volatile(&raw const segment.payload_length)
    };
    if end > PEEK_MAX {
        return None;
    }
    let start = frame.data() + (end.wrapping_sub(N as u32) & PEEK_MAX) as usize;
    if start + N > frame.data_end() {
        return None;
    }
    // SAFETY: the bytes lie between the packet's start and the end of its linear part, as checked
    // just before, and nothing writes to the packet while the reference is in use.
    Some(unsafe { &*(start as *const [u8; N]) })
}
