//! Packets made by hand.

pub(crate) const FIN: u8 = 0x11;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const SYN_ACK: u8 = 0x12;
pub(crate) const DATA: u8 = 0x18;

pub(crate) const KEYED: &str =
    "POST /function/pydict HTTP/1.1\r\nHost: a\r\nX-RsFaaS-Key: rsfaas1x\r\n\r\n";

/// A segment between the client, 10.0.0.1, and the gateway, 10.0.0.2.
#[derive(Clone)]
pub(crate) struct Packet {
    pub(crate) source_port: u16,
    pub(crate) port: u16,
    pub(crate) hosts: [u8; 2],
    pub(crate) sequence: u32,
    pub(crate) acknowledged: u32,
    pub(crate) flags: u8,
    pub(crate) payload: Vec<u8>,
    pub(crate) ip_options: usize,
    pub(crate) vlan: bool,
    pub(crate) padding: usize,
}

impl Packet {
    /// Where the flow's first byte is.
    pub(crate) const SEQUENCE: u32 = 1000;

    /// From the gateway, which has received what comes before a sequence number.
    pub(crate) fn answer(acknowledged: u32, payload: &[u8]) -> Self {
        Self {
            source_port: 8080,
            port: 40_000,
            hosts: [2, 1],
            acknowledged,
            ..Self::of(payload)
        }
    }

    /// From the client.
    pub(crate) fn of(payload: &[u8]) -> Self {
        Self {
            source_port: 40_000,
            port: 8080,
            hosts: [1, 2],
            sequence: Self::SEQUENCE,
            acknowledged: 1,
            flags: DATA,
            payload: payload.to_vec(),
            ip_options: 0,
            vlan: false,
            padding: 0,
        }
    }

    pub(crate) fn tcp(&self) -> Vec<u8> {
        let mut tcp = Vec::new();
        tcp.extend_from_slice(&self.source_port.to_be_bytes());
        tcp.extend_from_slice(&self.port.to_be_bytes());
        tcp.extend_from_slice(&self.sequence.to_be_bytes());
        tcp.extend_from_slice(&self.acknowledged.to_be_bytes());
        tcp.extend_from_slice(&[0x50, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
        tcp.extend_from_slice(&self.payload);
        tcp
    }

    pub(crate) fn ethernet(&self, ethertype: [u8; 2]) -> Vec<u8> {
        let mut frame = vec![2; 12];
        if self.vlan {
            frame.extend_from_slice(&[0x81, 0, 0, 5]);
        }
        frame.extend_from_slice(&ethertype);
        frame
    }

    pub(crate) fn ip(&self) -> Vec<u8> {
        let tcp = self.tcp();
        let header = 20 + self.ip_options;
        let total = u16::try_from(header + tcp.len()).unwrap();
        let mut ip = vec![0x40 | u8::try_from(header / 4).unwrap(), 0];
        ip.extend_from_slice(&total.to_be_bytes());
        let [from, to] = self.hosts;
        ip.extend_from_slice(&[0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, from, 10, 0, 0, to]);
        ip.extend(std::iter::repeat_n(1, self.ip_options));
        ip.extend(tcp);
        ip.extend(std::iter::repeat_n(0, self.padding));
        ip
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let mut frame = self.ethernet([8, 0]);
        frame.extend(self.ip());
        frame
    }

    /// IPv6 with a destination options header before TCP.
    pub(crate) fn build_v6(&self) -> Vec<u8> {
        let tcp = self.tcp();
        let mut frame = self.ethernet([0x86, 0xdd]);
        frame.extend_from_slice(&[0x60, 0, 0, 0]);
        frame.extend_from_slice(&u16::try_from(8 + tcp.len()).unwrap().to_be_bytes());
        frame.extend_from_slice(&[60, 64]);
        frame.extend([1; 32]);
        frame.extend_from_slice(&[6, 0, 1, 4, 0, 0, 0, 0]);
        frame.extend(tcp);
        frame
    }
}
