//! What the agent tells a client in the gateway's name: that a part of a request's head has come, which is held.
//!
//! Nothing else that is held is acknowledged: whatever happens to the agent, the client sends it again. But a client
//! whose first bytes nobody acknowledges soon sends nothing new (RFC 5681, section 3.1; RFC 1122, section 4.2.3.4), and
//! a head that comes in parts never comes to its end.
use zeroize::Zeroizing;

use super::{
    headers::{ACK, IPV4_LEN, IPV6_LEN, RST, TCP, TCP_LEN, is_ipv4, write_length},
    sum,
    template::{Frame, FrameTemplate},
};

/// What is left of the gateway's window, as it stands in a header. How it is scaled is not known; at Linux's usual
/// scale it is what a new socket has, 64 KiB, and without one enough for some lines.
const WINDOW: u16 = 512;
const HOPS: u8 = 64;
const DONT_FRAGMENT: [u8; 2] = [0x40, 0];

/// TCP's options (RFC 9293, section 3.1; RFC 7323, section 3).
const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const TIMESTAMPS: u8 = 8;
const TIMESTAMPS_LEN: u8 = 10;

impl FrameTemplate {
    /// A frame to the client: all its bytes before a sequence number have come.
    #[must_use]
    pub fn acknowledgement(&self, sequence: u32) -> Frame {
        self.reply(sequence, ACK)
    }

    /// A frame to the client: its connection has ended.
    #[must_use]
    pub fn reset(&self) -> Frame {
        self.reply(self.sequence(), ACK | RST)
    }

    fn reply(&self, acknowledged: u32, flags: u8) -> Frame {
        let transport = self.reply_transport(acknowledged, flags);
        let mut frame = Zeroizing::new(self.link.clone());
        let (to, from) = frame.split_at_mut(6);
        to.swap_with_slice(&mut from[..6]);
        let network = frame.len();
        frame.extend_from_slice(&self.reply_network());
        let header = frame.len() - network;
        frame.extend_from_slice(&transport);
        write_length(&mut frame[network..], header);
        Frame::new(frame, network)
    }

    /// Without options or extension headers.
    fn reply_network(&self) -> Vec<u8> {
        let mut header = vec![
            0;
            if is_ipv4(&self.network) {
                IPV4_LEN
            } else {
                IPV6_LEN
            }
        ];
        if is_ipv4(&self.network) {
            header[0] = 0x45;
            header[6..8].copy_from_slice(&DONT_FRAGMENT);
            header[8] = HOPS;
            header[9] = TCP;
            header[12..16].copy_from_slice(&self.network[16..20]);
            header[16..20].copy_from_slice(&self.network[12..16]);
        } else {
            header[0] = 0x60;
            header[6] = TCP;
            header[7] = HOPS;
            header[8..24].copy_from_slice(&self.network[24..40]);
            header[24..40].copy_from_slice(&self.network[8..24]);
        }
        header
    }

    fn reply_transport(&self, acknowledged: u32, flags: u8) -> Vec<u8> {
        let own = &self.transport;
        let mut tcp = vec![0; TCP_LEN];
        tcp[..2].copy_from_slice(&own[2..4]);
        tcp[2..4].copy_from_slice(&own[..2]);
        tcp[4..8].copy_from_slice(&own[8..12]);
        tcp[8..12].copy_from_slice(&acknowledged.to_be_bytes());
        tcp[13] = flags;
        tcp[14..16].copy_from_slice(&WINDOW.to_be_bytes());
        if let Some((value, echo)) = timestamps(own) {
            // The gateway's clock stands where the client last saw it.
            tcp.extend_from_slice(&[NO_OPERATION, NO_OPERATION, TIMESTAMPS, TIMESTAMPS_LEN]);
            tcp.extend_from_slice(&echo);
            tcp.extend_from_slice(&value);
        }
        // Twenty bytes, or twelve more.
        tcp[12] = (tcp.len() as u8 / 4) << 4;
        let sum = sum::pseudo_header(&self.network)
            .add(&(tcp.len() as u16).to_be_bytes())
            .add(&tcp)
            .finish();
        tcp[16..18].copy_from_slice(&sum);
        tcp
    }
}

/// The time stamps in a TCP header: its sender's clock, and the other's as it was last seen.
fn timestamps(header: &[u8]) -> Option<([u8; 4], [u8; 4])> {
    let mut options = header.get(TCP_LEN..)?;
    loop {
        options = match *options.first()? {
            END => return None,
            NO_OPERATION => &options[1..],
            TIMESTAMPS => {
                let (value, rest) = options.get(2..)?.split_first_chunk()?;
                return Some((*value, *rest.first_chunk()?));
            }
            // One that says it is shorter than its own head would never end.
            _ => options.get(usize::from(*options.get(1)?).max(2)..)?,
        }
    }
}
