//! How packets are framed.
use aya::programs::TestRunOptions;
use rsfaas::spot::Event;

use crate::{
    packet::{KEYED, Packet},
    rig::{
        Hook, Rig, SIGN,
        Verdict::{Hold as HOLD, Pass as PASS},
        flow_key,
    },
};

at_each_hook! {
    other_ports_pass_uncounted,
    ip_options_vlan_tags_padding_and_ipv6_extension_headers_are_understood,
    packets_in_fragments_pass_and_are_not_looked_at,
    a_segment_without_payload_but_with_link_padding_passes,
    a_header_shorter_than_tcps_own_is_not_read_as_payload,
    what_the_agent_has_released_passes,
}

/// XDP sees the packets of the wire, and nothing put together.
#[test]
fn the_agent_is_told_of_what_segments_a_packet_was_put_together() {
    let mut rig = Rig::new(Hook::Tc);
    let mut ring = rig.spotter.ring().unwrap();
    let packet = Packet::of(KEYED.as_bytes()).build();
    for size in [0, 30_u16] {
        // As it stands in a test run's `__sk_buff`.
        let mut context = [0; 192];
        context[176..178].copy_from_slice(&size.to_ne_bytes());
        let options = TestRunOptions {
            ctx_in: Some(&context),
            ..TestRunOptions::default()
        };
        assert_eq!(rig.run_as(&packet, options), HOLD);
        let record = ring.next().expect("nothing is told");
        let Ok(Event::Held(held)) = Event::parse(&record) else {
            panic!("no held frame");
        };
        assert_eq!(held.segment, size);
    }
}

fn other_ports_pass_uncounted(mut rig: Rig) {
    assert_eq!(
        rig.spot(&Packet {
            port: 8081,
            ..Packet::of(KEYED.as_bytes())
        }),
        PASS
    );
    assert!(
        rig.counters
            .read()
            .unwrap()
            .iter()
            .all(|(_, count)| *count == 0)
    );
}

fn ip_options_vlan_tags_padding_and_ipv6_extension_headers_are_understood(mut rig: Rig) {
    let plain = Packet::of(KEYED.as_bytes());
    let packets = [
        Packet {
            ip_options: 8,
            ..plain.clone()
        }
        .build(),
        Packet {
            ip_options: 40,
            ..plain.clone()
        }
        .build(),
        Packet {
            vlan: true,
            ..plain.clone()
        }
        .build(),
        Packet {
            padding: 12,
            ..plain.clone()
        }
        .build(),
        plain.build_v6(),
    ];
    for (held, packet) in (1..).zip(packets) {
        assert_eq!(rig.run(&packet), HOLD);
        assert_eq!(rig.count("held_keyed"), held);
        rig.forget();
    }
}

fn packets_in_fragments_pass_and_are_not_looked_at(mut rig: Rig) {
    let whole = Packet::of(KEYED.as_bytes());
    let mut packets = Vec::new();
    // The first of several, a later one, the last: by flag and offset, which is in units of eight bytes.
    for bits in [0x2000_u16, 0x2001, 1] {
        let mut packet = whole.build();
        packet[14 + 6..14 + 8].copy_from_slice(&bits.to_be_bytes());
        packets.push(packet);
    }
    // In place of the destination options a fragment header, as long: the first, a later one, and one that is whole.
    for bits in [1_u16, 8 | 1, 0] {
        let mut packet = whole.build_v6();
        packet[14 + 6] = 44;
        packet[14 + 40 + 1] = 0;
        packet[14 + 40 + 2..14 + 40 + 4].copy_from_slice(&bits.to_be_bytes());
        packets.push(packet);
    }
    for packet in packets {
        assert_eq!(rig.run(&packet), PASS);
    }
    let counters = rig.counters.read().unwrap();
    assert!(counters.iter().all(|(_, count)| *count == 0));
    assert!(rig.flows.get(&flow_key()).unwrap().is_none());
}

fn a_segment_without_payload_but_with_link_padding_passes(mut rig: Rig) {
    assert_eq!(
        rig.spot(&Packet {
            padding: 6,
            ..Packet::of(b"")
        }),
        PASS
    );
    assert_eq!(rig.count("passed"), 0);
}

fn a_header_shorter_than_tcps_own_is_not_read_as_payload(mut rig: Rig) {
    let mut packet = Packet {
        sequence: u32::from_be_bytes(*b"GET "),
        acknowledged: u32::from_be_bytes(*b"//xx"),
        ..Packet::of(b"")
    }
    .build();
    // TCP's data offset, in the 13th byte behind Ethernet and IP.
    packet[14 + 20 + 12] = 0x10;
    assert_eq!(rig.run(&packet), PASS);
    assert!(rig.flows.get(&flow_key()).unwrap().is_none());
}

fn what_the_agent_has_released_passes(mut rig: Rig) {
    let packet = Packet::of(KEYED.as_bytes());
    assert_eq!(rig.release(&packet), PASS);
    assert_eq!(rig.count("released"), 1);
    assert_eq!(rig.spot(&packet), HOLD, "the same without the sign");
}

/// At TC the sign is a mark, which stays within this host; a bridge would send the address on.
#[test]
fn at_xdp_the_sign_of_a_release_goes_no_further() {
    let mut rig = Rig::new(Hook::Xdp);
    let mut packet = Packet::of(KEYED.as_bytes()).build();
    packet[6..12].copy_from_slice(&SIGN.source);
    let mut passed = vec![0; packet.len()];
    let options = TestRunOptions {
        data_out: Some(&mut passed),
        ..TestRunOptions::default()
    };
    assert_eq!(rig.run_as(&packet, options), PASS);
    assert_eq!(rig.count("released"), 1);
    packet[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 0]);
    assert_eq!(passed, packet);
}
