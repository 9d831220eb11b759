//! The checksum of a TCP segment: what it covers, and whether it is right.
use super::headers::{TCP, is_ipv4};
use crate::checksum::Checksum;

/// Addresses and protocol behind an IP header, as the checksum counts them (RFC 9293, section 3.1; RFC 8200,
/// section 8.1); the length is added by the caller.
pub(super) fn pseudo_header(network: &[u8]) -> Checksum {
    let addresses = if is_ipv4(network) { 12..20 } else { 8..40 };
    Checksum::default().add(&network[addresses]).add(&[0, TCP])
}

/// Whether a whole segment is what its checksum stands for. Where it has come by no wire, its sender's stack may have left
/// the sum to a device that never was: then the field has that of the pseudo header (`CHECKSUM_PARTIAL`,
/// <https://www.kernel.org/doc/html/v6.12/networking/checksum-offloads.html>).
pub(super) fn is_right(network: &[u8], segment: &[u8]) -> bool {
    // What offloading has put together may be longer than sixteen bits can tell.
    let length = segment.len() as u32;
    let pseudo = pseudo_header(network).add(&length.to_be_bytes());
    let left = [!segment[16], !segment[17]];
    [segment, &left]
        .iter()
        .any(|bytes| pseudo.add(bytes).finish() == [0, 0])
}
