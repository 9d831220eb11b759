use agent_ebpf::{FlowKey, HeldPlace};

use super::*;
use crate::checksum::Checksum;

fn held(frame: Vec<u8>, ethernet: bool) -> HeldFrame {
    HeldFrame {
        flow: FlowKey {
            source: [0; 16],
            destination: [0; 16],
            source_port: 1,
            destination_port: 2,
        },
        time: 0,
        caught: Caught {
            interface: 3,
            leaving: false,
        },
        vlan: None,
        ethernet,
        segment: 0,
        verified: false,
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
    put_sum(&mut packet, 20, 12..20);
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
    put_sum(&mut packet, 48, 8..40);
    packet
}

/// The sum of a packet's addresses, its protocol and its segment's length, without that of the segment.
fn pseudo(packet: &[u8], transport: usize, addresses: Range<usize>) -> Checksum {
    let length = u16::try_from(packet.len() - transport).unwrap();
    Checksum::default()
        .add(&packet[addresses])
        .add(&[0, 6])
        .add(&length.to_be_bytes())
}

/// Writes the checksum of a segment that starts at a place of its packet.
fn put_sum(packet: &mut [u8], transport: usize, addresses: Range<usize>) {
    packet[transport + 16..transport + 18].fill(0);
    let pseudo = pseudo(packet, transport, addresses);
    let sum = pseudo.add(&packet[transport..]).finish();
    packet[transport + 16..transport + 18].copy_from_slice(&sum);
}

/// Writes what a sender's stack leaves to a device.
fn leave_sum(packet: &mut [u8], transport: usize, addresses: Range<usize>) {
    let sum = pseudo(packet, transport, addresses).finish();
    packet[transport + 16..transport + 18].copy_from_slice(&sum.map(|byte| !byte));
}

fn ethernet(ethertype: &[u8], packet: &[u8]) -> Vec<u8> {
    [[7; 12].as_slice(), ethertype, packet].concat()
}

/// Both checksums of an IPv4 frame count to zero.
fn assert_sums(packet: &[u8]) {
    assert_eq!(Checksum::default().add(&packet[..20]).finish(), [0, 0]);
    assert_eq!(
        pseudo(packet, 20, 12..20).add(&packet[20..]).finish(),
        [0, 0]
    );
}

#[test]
fn a_frame_comes_back_with_other_bytes_and_right_checksums() {
    let original = ethernet(&[8, 0], &v4(0x18, b"hello"));
    let template = FrameTemplate::of(&held(original.clone(), true)).unwrap();
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
    let template = FrameTemplate::of(&held(ethernet(&[8, 0], &v4(0x18, b"x")), true)).unwrap();
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

/// Lengths of the packets that bring so many bytes through an interface with an MTU of 9000.
fn lengths(template: &FrameTemplate, bytes: usize) -> Vec<usize> {
    let frames = template.frames(0, &vec![b'a'; bytes], 9000);
    frames.iter().map(|frame| frame.packet().len()).collect()
}

#[test]
fn no_frame_is_larger_than_what_the_client_sends() {
    let whole = |payload: usize| {
        let frame = ethernet(&[8, 0], &v4(0x18, &vec![b'x'; payload]));
        FrameTemplate::of(&held(frame, true)).unwrap()
    };
    // By its only segment, by what the interface has put together, and by the largest so far.
    assert_eq!(lengths(&whole(1398), 2000), [1450, 654]);
    let caught = HeldFrame {
        segment: 1398,
        ..held(ethernet(&[8, 0], &v4(0x18, &[b'x'; 4000])), true)
    };
    let merged = FrameTemplate::of(&caught).unwrap();
    assert_eq!(lengths(&merged, 2000), [1450, 654]);
    assert_eq!(
        lengths(&whole(1000).after(Some(&merged)), 2000),
        [1450, 654]
    );
    assert_eq!(lengths(&merged.after(Some(&whole(5000))), 2000), [2052]);
}

#[test]
fn what_every_link_takes_is_not_cut() {
    let short = ethernet(&[8, 0], &v4(0x18, b"x"));
    let template = FrameTemplate::of(&held(short.clone(), true)).unwrap();
    assert_eq!(lengths(&template, 600), [576, 128]);
    let short_v6 = ethernet(&[0x86, 0xdd], &v6(b"x"));
    let template = FrameTemplate::of(&held(short_v6, true)).unwrap();
    assert_eq!(lengths(&template, 1200), [1280]);
    // On loopback a short segment says nothing of what gets through.
    let caught = HeldFrame {
        caught: Caught {
            interface: LOOPBACK,
            leaving: false,
        },
        ..held(short, true)
    };
    let template = FrameTemplate::of(&caught).unwrap();
    assert_eq!(lengths(&template, 8000), [8052]);
}

#[test]
fn padding_of_the_link_is_no_payload() {
    let mut frame = ethernet(&[8, 0], &v4(0x18, b"hi"));
    frame.extend_from_slice(&[0; 9]);
    assert_eq!(
        FrameTemplate::of(&held(frame.clone(), true))
            .unwrap()
            .payload(&frame),
        b"hi"
    );
}

#[test]
fn an_end_of_the_clients_bytes_stays_at_its_place() {
    let template = FrameTemplate::of(&held(ethernet(&[8, 0], &v4(0x19, b"hello")), true)).unwrap();
    let whole = template.frames(1000, b"olleh", 1500);
    assert_eq!(whole[0].bytes()[47] & FIN, FIN);
    let part = template.frames(1000, b"oll", 1500);
    assert_eq!(part[0].bytes()[47] & FIN, 0);
}

#[test]
fn ipv6_with_extension_headers_and_vlan_tags_are_read() {
    let tagged = [&[0x81, 0, 0, 5], [0x86, 0xdd].as_slice()].concat();
    let frame = ethernet(&tagged, &v6(b"hello"));
    let template = FrameTemplate::of(&held(frame.clone(), true)).unwrap();
    assert_eq!(template.payload(&frame), b"hello");
    let again = &template.frames(1000, b"world!", 1500)[0];
    let packet = again.packet();
    assert_eq!(again.destination(), IpAddr::from([2; 16]));
    assert_eq!(usize::from(packet[5]), packet.len() - 40);
    assert_eq!(
        pseudo(packet, 48, 8..40).add(&packet[48..]).finish(),
        [0, 0]
    );
}

#[test]
fn a_tag_that_the_interface_had_stripped_is_put_back_as_the_kind_that_it_was() {
    for tag in [0x8100_0005_u32, 0x88a8_0007] {
        let caught = HeldFrame {
            vlan: Some(tag),
            ..held(ethernet(&[8, 0], &v4(0x18, b"hello")), true)
        };
        let template = FrameTemplate::of(&caught).unwrap();
        let frame = &template.frames(1000, b"world", 1500)[0];
        assert_eq!(&frame.bytes()[12..16], tag.to_be_bytes());
        assert_eq!(&frame.bytes()[16..18], [8, 0]);
    }
}

#[test]
fn a_packet_without_a_link_gets_one_for_the_way() {
    let packet = v4(0x18, b"hi");
    let template = FrameTemplate::of(&held(packet, false)).unwrap();
    let frame = &template.frames(1000, b"hi", 1500)[0];
    assert_eq!(&frame.bytes()[12..14], [8, 0]);
    assert_sums(frame.packet());
}

#[test]
fn frames_cut_off_anywhere_are_refused_or_read_as_far_as_they_go() {
    let frame = ethernet(&[8, 0], &v4(0x18, b"hello"));
    for cut in 0..frame.len() {
        let part = frame[..cut].to_vec();
        assert!(
            FrameTemplate::of(&held(part.clone(), true)).is_err(),
            "{cut}"
        );
        // What was put together, of which there was no room for more.
        let merged = HeldFrame {
            segment: 1,
            ..held(part.clone(), true)
        };
        match FrameTemplate::of(&merged) {
            Ok(template) => assert!(b"hello".starts_with(template.payload(&part))),
            Err(error) => assert!(cut < 66, "{cut}: {error}"),
        }
    }
}

/// Frames of every kind, with where the TCP header starts and where the packet has its addresses: IPv4, IPv6 with
/// options behind a VLAN tag, and one that the link has padded.
fn frames() -> [(Vec<u8>, usize, Range<usize>); 3] {
    let tagged = [0x81, 0, 0, 5, 0x86, 0xdd];
    let padded = [&v4(0x18, b"odd")[..], &[0xee; 9]].concat();
    [
        (ethernet(&[8, 0], &v4(0x18, b"hello")), 34, 26..34),
        (ethernet(&tagged, &v6(b"hello, you")), 66, 26..58),
        (ethernet(&[8, 0], &padded), 34, 26..34),
    ]
}

#[test]
fn a_segment_that_was_damaged_on_its_way_is_refused_wherever_that_was() {
    for (frame, transport, addresses) in frames() {
        assert!(FrameTemplate::of(&held(frame.clone(), true)).is_ok());
        let end = frame.iter().rposition(|byte| *byte != 0xee).unwrap() + 1;
        for place in addresses.chain(transport..end) {
            let mut damaged = frame.clone();
            damaged[place] ^= 0x10;
            let Err(error) = FrameTemplate::of(&held(damaged.clone(), true)) else {
                panic!("damaged at {place}");
            };
            // But for where its header, it says, ends behind it.
            if place != transport + 12 {
                let sequence = damaged[transport + 4..transport + 8].try_into().unwrap();
                let sequence = u32::from_be_bytes(sequence);
                assert_eq!(error, BadFrame::Damaged { sequence }, "{place}");
            }
        }
    }
}

#[test]
fn a_checksum_that_the_senders_stack_left_to_a_device_is_none() {
    let mut packet = v4(0x18, b"hello");
    leave_sum(&mut packet, 20, 12..20);
    assert!(FrameTemplate::of(&held(ethernet(&[8, 0], &packet), true)).is_ok());
    let mut packet = v6(b"hello");
    leave_sum(&mut packet, 48, 8..40);
    assert!(FrameTemplate::of(&held(packet, false)).is_ok());
}

#[test]
fn what_was_verified_before_or_put_together_needs_no_checksum() {
    let mut packet = v4(0x18, b"hello");
    packet[36..38].fill(0xaa);
    let frame = ethernet(&[8, 0], &packet);
    assert!(FrameTemplate::of(&held(frame.clone(), true)).is_err());
    for (verified, segment) in [(true, 0), (false, 1448)] {
        let caught = HeldFrame {
            verified,
            segment,
            ..held(frame.clone(), true)
        };
        assert!(FrameTemplate::of(&caught).is_ok());
    }
}

#[test]
fn an_acknowledgement_goes_the_other_way_with_the_clients_clock_echoed() {
    let template = FrameTemplate::of(&held(ethernet(&[8, 0], &v4(0x18, b"GET")), true)).unwrap();
    let frame = template.acknowledgement(1003);
    assert_eq!(&frame.bytes()[12..14], &[8, 0]);
    let packet = frame.packet();
    assert_sums(packet);
    assert_eq!(&packet[12..20], &[10, 0, 0, 2, 10, 0, 0, 1]);
    assert_eq!(&packet[2..4], &52_u16.to_be_bytes());
    let tcp = &packet[20..];
    assert_eq!(&tcp[..4], &[0x1f, 0x90, 0x9c, 0x40]);
    // What the client waits for next, what has come of its bytes, and nothing but that.
    assert_eq!(&tcp[4..12], &[0, 0, 0, 1, 0, 0, 0x03, 0xeb]);
    assert_eq!(&tcp[12..14], &[0x80, ACK]);
    assert_eq!(&tcp[20..], &[1, 1, 8, 10, 0, 0, 0, 8, 0, 0, 0, 9]);
}

#[test]
fn a_reply_has_no_time_stamps_where_the_client_sends_none() {
    for options in [[1; 12], [0; 12], [2, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 9]] {
        let mut packet = v4(0x18, b"GET");
        packet[40..52].copy_from_slice(&options);
        put_sum(&mut packet, 20, 12..20);
        let template = FrameTemplate::of(&held(ethernet(&[8, 0], &packet), true)).unwrap();
        let reply = template.acknowledgement(1003);
        assert_sums(reply.packet());

        assert_eq!(reply.packet().len(), 40, "{options:?}");
    }
}

#[test]
fn a_reset_over_ipv6_has_no_extension_headers() {
    let template = FrameTemplate::of(&held(v6(b"GET"), false)).unwrap();
    let frame = template.reset();
    let packet = frame.packet();
    assert_eq!(&packet[4..8], &[0, 32, 6, 64]);
    assert_eq!(
        (&packet[8..24], &packet[24..40]),
        (&[2; 16][..], &[1; 16][..])
    );
    assert_eq!(packet[40 + 13], ACK | RST);
    assert_eq!(
        pseudo(packet, 40, 8..40).add(&packet[40..]).finish(),
        [0, 0]
    );
}
