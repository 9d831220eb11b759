//! The programs' verdicts on crafted packets, through the kernel's test run. Needs root.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

use agent_ebpf::NameKind;
use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use rsfaas::spot::{Counters, Flows, Names, Options, Spotter};

/// `TCX_NEXT`/`TC_ACT_UNSPEC` and `TC_ACT_SHOT`, as the kernel returns them.
const PASS: u32 = u32::MAX;
const HOLD: u32 = 2;

const FIN: u8 = 0x11;
const SYN: u8 = 0x02;
const DATA: u8 = 0x18;

struct Rig {
    spotter: Spotter,
    names: Names,
    flows: Flows,
    counters: Counters,
}

impl Rig {
    fn new() -> Self {
        let mut spotter = Spotter::load(&Options {
            port: 8080,
            key_header: "X-RsFaaS-Key".into(),
            release_mark: 0x5f00_0001,
        })
        .expect("the programs load (needs root)");
        let mut names = spotter.names().unwrap();
        names.insert("pydict", NameKind::Sealed).unwrap();
        names.insert("pydict-abc123-0", NameKind::Unlocked).unwrap();
        let flows = spotter.flows().unwrap();
        let counters = spotter.counters().unwrap();
        Self {
            spotter,
            names,
            flows,
            counters,
        }
    }

    fn run(&mut self, program: &str, packet: &[u8]) -> u32 {
        let program: &mut SchedClassifier = self
            .spotter
            .ebpf()
            .program_mut(program)
            .unwrap()
            .try_into()
            .unwrap();
        let options = TestRunOptions {
            data_in: Some(packet),
            ..TestRunOptions::default()
        };
        program.test_run(options).unwrap().return_value
    }

    fn spot(&mut self, packet: &Packet) -> u32 {
        self.run("spot_ethernet", &packet.build())
    }

    fn request(&mut self, payload: &str) -> u32 {
        self.spot(&Packet::of(payload.as_bytes()))
    }

    /// Makes the programs forget the flow, so that the next request is a new one's.
    fn forget(&mut self) {
        self.flows.remove(&flow_key()).unwrap();
    }

    fn count(&self, name: &str) -> u64 {
        let counters = self.counters.read().unwrap();
        counters
            .iter()
            .find(|(counter, _)| *counter == name)
            .unwrap()
            .1
    }
}

#[derive(Clone)]
struct Packet {
    source_port: u16,
    port: u16,
    sequence: u32,
    flags: u8,
    payload: Vec<u8>,
    ip_options: usize,
    vlan: bool,
    padding: usize,
}

impl Packet {
    fn of(payload: &[u8]) -> Self {
        Self {
            source_port: 40_000,
            port: 8080,
            sequence: 1000,
            flags: DATA,
            payload: payload.to_vec(),
            ip_options: 0,
            vlan: false,
            padding: 0,
        }
    }

    fn tcp(&self) -> Vec<u8> {
        let mut tcp = Vec::new();
        tcp.extend_from_slice(&self.source_port.to_be_bytes());
        tcp.extend_from_slice(&self.port.to_be_bytes());
        tcp.extend_from_slice(&self.sequence.to_be_bytes());
        tcp.extend_from_slice(&[0, 0, 0, 1, 0x50, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
        tcp.extend_from_slice(&self.payload);
        tcp
    }

    fn ethernet(&self, ethertype: [u8; 2]) -> Vec<u8> {
        let mut frame = vec![2; 12];
        if self.vlan {
            frame.extend_from_slice(&[0x81, 0, 0, 5]);
        }
        frame.extend_from_slice(&ethertype);
        frame
    }

    fn ip(&self) -> Vec<u8> {
        let tcp = self.tcp();
        let header = 20 + self.ip_options;
        let total = u16::try_from(header + tcp.len()).unwrap();
        let mut ip = vec![0x40 | u8::try_from(header / 4).unwrap(), 0];
        ip.extend_from_slice(&total.to_be_bytes());
        ip.extend_from_slice(&[0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        ip.extend(std::iter::repeat_n(1, self.ip_options));
        ip.extend(tcp);
        ip.extend(std::iter::repeat_n(0, self.padding));
        ip
    }

    fn build(&self) -> Vec<u8> {
        let mut frame = self.ethernet([8, 0]);
        frame.extend(self.ip());
        frame
    }

    /// IPv6 with a destination options header before TCP.
    fn build_v6(&self) -> Vec<u8> {
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

const KEYED: &str = "POST /function/pydict HTTP/1.1\r\nHost: a\r\nX-RsFaaS-Key: rsfaas1x\r\n\r\n";

#[test]
fn a_keyed_request_for_a_sealed_function_is_held() {
    let mut rig = Rig::new();
    assert_eq!(rig.request(KEYED), HOLD);
    assert_eq!(rig.count("held_keyed"), 1);
}

#[test]
fn the_key_header_is_found_in_any_letter_case_and_place() {
    let mut rig = Rig::new();
    for head in [
        "GET /function/pydict HTTP/1.1\r\nx-rsfaas-key:rsfaas1x\r\nHost: a\r\n\r\n",
        "GET /function/pydict/more HTTP/1.1\r\nHost: a\r\nX-RSFAAS-KEY:  rsfaas1x\r\n\r\n",
        "PATCH /function/pydict?x=1 HTTP/1.0\nX-rsfaas-kEy: rsfaas1x\n\n",
        "DELETE /function/pydict.openfaas-fn HTTP/1.1\r\nX-RsFaaS-Key: r\r\n\r\n",
        "POST /async-function/pydict HTTP/1.1\r\nX-RsFaaS-Key: r\r\n\r\n",
    ] {
        let before = rig.count("held_keyed");
        assert_eq!(rig.request(head), HOLD, "{head}");
        assert_eq!(rig.count("held_keyed"), before + 1, "{head}");
        rig.forget();
    }
}

#[test]
fn the_key_header_is_found_far_behind_in_a_long_head() {
    let mut rig = Rig::new();
    let long = format!(
        "GET /function/pydict HTTP/1.1\r\nCookie: {}\r\nX-RsFaaS-Key: r\r\n\r\n",
        "c".repeat(3000)
    );
    assert_eq!(rig.request(&long), HOLD);
    assert_eq!(rig.count("held_keyed"), 1);
}

#[test]
fn a_keyless_request_for_a_sealed_function_passes() {
    let mut rig = Rig::new();
    for head in [
        "GET /function/pydict HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /function/pydict HTTP/1.1\r\nContent-Length: 40\r\n\r\nX-RsFaaS-Key: in the body",
        "GET /function/pydict HTTP/1.1\r\nNot-X-RsFaaS-Key: a\r\nX-RsFaaS-Keys: b\r\n\r\n",
    ] {
        assert_eq!(rig.request(head), PASS, "{head}");
    }
    assert_eq!(rig.count("passed_keyless"), 3);
}

#[test]
fn what_is_no_request_for_a_sealed_function_passes() {
    let mut rig = Rig::new();
    for payload in [
        "GET /function/other HTTP/1.1\r\nX-RsFaaS-Key: r\r\n\r\n",
        "GET /function/pydict2 HTTP/1.1\r\nX-RsFaaS-Key: r\r\n\r\n",
        "GET /system/functions HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\n\r\n",
        "{\"word\": \"night\"}",
        "\u{16}\u{3}\u{1}",
        "just some words of a body",
    ] {
        assert_eq!(rig.request(payload), PASS, "{payload}");
    }
    assert_eq!(rig.count("passed"), 8);
}

#[test]
fn targets_that_are_not_in_plain_form_are_held_for_the_agent() {
    let mut rig = Rig::new();
    for head in [
        "GET //function/pydict HTTP/1.1\r\n\r\n",
        "GET /./function/pydict HTTP/1.1\r\n\r\n",
        "GET /%66unction/pydict HTTP/1.1\r\n\r\n",
        "GET /function/py%64ict HTTP/1.1\r\n\r\n",
        "GET /function//pydict HTTP/1.1\r\n\r\n",
        "GET http://host/function/pydict HTTP/1.1\r\n\r\n",
    ] {
        let before = rig.count("held_undecided");
        assert_eq!(rig.request(head), HOLD, "{head}");
        assert_eq!(rig.count("held_undecided"), before + 1, "{head}");
        rig.forget();
    }
}

#[test]
fn a_request_that_names_an_unlocked_function_is_held_even_without_a_key() {
    let mut rig = Rig::new();
    assert_eq!(
        rig.request("GET /function/pydict-abc123-0 HTTP/1.1\r\nHost: a\r\n\r\n"),
        HOLD
    );
    assert_eq!(rig.count("held_direct"), 1);
}

#[test]
fn the_first_segment_of_a_flow_is_held_at_every_cut_until_the_key_can_be_ruled_out() {
    let mut rig = Rig::new();
    for cut in 1..KEYED.len() {
        let syn = Packet {
            flags: SYN,
            sequence: 999,
            ..Packet::of(b"")
        };
        assert_eq!(rig.spot(&syn), PASS);
        assert_eq!(rig.request(&KEYED[..cut]), HOLD, "cut at {cut}");
        rig.forget();
    }
}

#[test]
fn bytes_in_the_middle_of_a_flow_that_could_start_a_request_pass() {
    let mut rig = Rig::new();
    assert_eq!(rig.request("POST"), PASS);
    assert_eq!(rig.request("G"), PASS);
}

#[test]
fn later_segments_of_a_held_flow_are_held_but_for_those_in_the_window() {
    let mut rig = Rig::new();
    assert_eq!(rig.request(KEYED), HOLD);
    let body = Packet {
        sequence: 2000,
        ..Packet::of(b"body")
    };
    assert_eq!(rig.spot(&body), HOLD);
    assert_eq!(rig.count("held_flow"), 1);
    let flow = flow_key();
    rig.flows.hold(&flow, (2000, 2004), false).unwrap();
    assert_eq!(rig.spot(&body), PASS);
    assert_eq!(rig.request(KEYED), HOLD, "a retransmission of the head");
    rig.flows.set_opaque(&flow).unwrap();
    assert_eq!(rig.request(KEYED), PASS);
    rig.flows.remove(&flow).unwrap();
    assert_eq!(rig.spot(&body), PASS, "the flow is no longer ours");
}

fn flow_key() -> agent_ebpf::FlowKey {
    let mapped = |last| [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, last];
    agent_ebpf::FlowKey {
        source: mapped(1),
        destination: mapped(2),
        source_port: 40_000,
        destination_port: 8080,
    }
}

#[test]
fn ends_of_flows_always_pass() {
    let mut rig = Rig::new();
    assert_eq!(rig.request(KEYED), HOLD);
    assert_eq!(
        rig.spot(&Packet {
            flags: FIN,
            ..Packet::of(b"")
        }),
        PASS
    );
    assert_eq!(rig.run("watch_ethernet", &Packet::of(b"").build()), PASS);
}

#[test]
fn other_ports_pass_uncounted() {
    let mut rig = Rig::new();
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

#[test]
fn ip_options_vlan_tags_padding_and_ipv6_extension_headers_are_understood() {
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
    let mut rig = Rig::new();
    for (held, packet) in (1..).zip(packets) {
        assert_eq!(rig.run("spot_ethernet", &packet), HOLD);
        assert_eq!(rig.count("held_keyed"), held);
        rig.forget();
    }
}

#[test]
fn a_segment_without_payload_but_with_link_padding_passes() {
    let mut rig = Rig::new();
    assert_eq!(
        rig.spot(&Packet {
            padding: 6,
            ..Packet::of(b"")
        }),
        PASS
    );
    assert_eq!(rig.count("passed"), 0);
}

#[test]
fn a_name_that_is_removed_is_no_longer_looked_for() {
    let mut rig = Rig::new();
    rig.names.remove("pydict").unwrap();
    rig.names.remove("pydict").unwrap();
    assert_eq!(rig.request(KEYED), PASS);
}

#[test]
fn what_follows_a_segment_that_found_no_room_is_not_held_in_its_place() {
    let mut rig = Rig::new();
    let mut ring = rig.spotter.ring().unwrap();
    let mut large = Packet::of(KEYED.as_bytes());
    large.payload.resize(2000, b'x');
    for port in 10_000.. {
        large.source_port = port;
        assert_eq!(rig.spot(&large), HOLD);
        if rig.count("dropped_ring_full") > 0 {
            break;
        }
    }
    while ring.next().is_some() {}
    let held = rig.count("held_keyed");
    let follows = Packet {
        sequence: large.sequence + 2000,
        ..large.clone()
    };
    assert_eq!(rig.spot(&follows), HOLD);
    assert!(
        ring.next().is_none(),
        "the agent would take it for the start"
    );
    assert_eq!(rig.spot(&large), HOLD);
    assert_eq!(rig.spot(&follows), HOLD);
    assert!(ring.next().is_some() && ring.next().is_some());
    assert_eq!(rig.count("held_keyed") + rig.count("held_flow"), held + 2);
    assert_eq!(rig.count("dropped_ring_full"), 2);
}
