//! The headers of IP (RFC 791; RFC 8200) and TCP (RFC 9293, section 3.1), as far as a frame's are read and written.
use crate::checksum::Checksum;

/// Bytes of a header without options or extensions.
pub(super) const IPV4_LEN: usize = 20;
pub(super) const IPV6_LEN: usize = 40;
pub(super) const TCP_LEN: usize = 20;
/// TCP's number among the protocols of IP.
pub(super) const TCP: u8 = 6;
/// TCP's flags.
pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const PSH: u8 = 0x08;
pub(super) const ACK: u8 = 0x10;

/// Whether a packet is one of IPv4, by its version; of IPv6 else.
pub(super) fn is_ipv4(packet: &[u8]) -> bool {
    packet.first().is_some_and(|byte| byte >> 4 == 4)
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
