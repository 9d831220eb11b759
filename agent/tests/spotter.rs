//! The programs' verdicts on crafted packets, at TC and at XDP, through the kernel's test run. Needs
//! root.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use agent_ebpf::NameKind;
use aya::programs::{TestRun as _, TestRunOptions};
use rsfaas::spot::{Counters, Flows, Names, Options, ReleaseSign, Spotter};

/// Each case as a test of the TC program and one of the XDP program.
macro_rules! at_both_hooks {
    ($($case:ident,)+) => {
        mod tc {
            $(#[test] fn $case() { super::$case(super::Rig::new(super::Hook::Tc)); })+
        }
        mod xdp {
            $(#[test] fn $case() { super::$case(super::Rig::new(super::Hook::Xdp)); })+
        }
    };
}

at_both_hooks! {
    a_keyed_request_for_a_sealed_function_is_held,
    the_key_header_is_found_in_any_letter_case_and_place,
    the_key_header_is_found_far_behind_in_a_long_head,
    a_keyless_request_for_a_sealed_function_passes,
    what_is_no_request_for_a_sealed_function_passes,
    targets_that_are_not_in_plain_form_are_held_for_the_agent,
    a_request_that_names_an_unlocked_function_is_held_even_without_a_key,
    no_method_and_no_empty_line_hides_a_request,
    a_flow_that_starts_with_a_very_long_method_is_held,
    the_first_segment_of_a_flow_is_held_at_every_cut_until_the_key_can_be_ruled_out,
    bytes_in_the_middle_of_a_flow_that_could_start_a_request_pass,
    later_segments_of_a_held_flow_are_held_but_for_those_in_the_window,
    a_flow_that_the_agent_has_let_go_of_is_judged_again_where_a_request_starts,
    ends_of_flows_always_pass,
    other_ports_pass_uncounted,
    ip_options_vlan_tags_padding_and_ipv6_extension_headers_are_understood,
    a_segment_without_payload_but_with_link_padding_passes,
    a_name_that_is_removed_is_no_longer_looked_for,
    what_the_agent_has_released_passes,
}

#[derive(Clone, Copy)]
enum Hook {
    Tc,
    Xdp,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Pass,
    Hold,
}

impl Fate {
    /// By what the kernel returns: `TCX_NEXT`, which is also `TC_ACT_UNSPEC`, and `TC_ACT_SHOT`;
    /// `XDP_PASS` and `XDP_DROP`.
    fn of(hook: Hook, returned: u32) -> Self {
        match (hook, returned) {
            (Hook::Tc, u32::MAX) | (Hook::Xdp, 2) => Self::Pass,
            (Hook::Tc, 2) | (Hook::Xdp, 1) => Self::Hold,
            (_, other) => panic!("no verdict of the programs: {other}"),
        }
    }
}

use Fate::{Hold as HOLD, Pass as PASS};

const SIGN: ReleaseSign = ReleaseSign {
    mark: 0x5f00_0001,
    source: [0x02, 0x5f, 1, 2, 3, 4],
};

const FIN: u8 = 0x11;
const SYN: u8 = 0x02;
const DATA: u8 = 0x18;

struct Rig {
    hook: Hook,
    spotter: Spotter,
    names: Names,
    flows: Flows,
    counters: Counters,
}

impl Rig {
    fn new(hook: Hook) -> Self {
        let mut spotter = Spotter::load(&Options {
            port: 8080,
            key_header: "X-RsFaaS-Key".into(),
            next_key_header: "X-RsFaaS-Next-Key".into(),
            release: SIGN,
        })
        .expect("the programs load (needs root)");
        let mut names = spotter.names().unwrap();
        names.insert("pydict", NameKind::Sealed).unwrap();
        names.insert("pydict-abc123-0", NameKind::Unlocked).unwrap();
        let flows = spotter.flows().unwrap();
        let counters = spotter.counters().unwrap();
        Self {
            hook,
            spotter,
            names,
            flows,
            counters,
        }
    }

    fn run(&mut self, packet: &[u8]) -> Fate {
        self.run_as(packet, TestRunOptions::default())
    }

    fn run_as<'a>(&mut self, packet: &'a [u8], options: TestRunOptions<'a>) -> Fate {
        let options = TestRunOptions {
            data_in: Some(packet),
            ..options
        };
        let result = match self.hook {
            Hook::Tc => {
                let program = self.spotter.classifier("spot_ethernet").unwrap();
                program.test_run(options)
            }
            Hook::Xdp => self.spotter.xdp().unwrap().test_run(options),
        };
        Fate::of(self.hook, result.unwrap().return_value)
    }

    /// What the program at TC egress says.
    fn watch(&mut self, packet: &[u8]) -> Fate {
        let options = TestRunOptions {
            data_in: Some(packet),
            ..TestRunOptions::default()
        };
        let program = self.spotter.classifier("watch_ethernet").unwrap();
        Fate::of(Hook::Tc, program.test_run(options).unwrap().return_value)
    }

    fn spot(&mut self, packet: &Packet) -> Fate {
        self.run(&packet.build())
    }

    fn request(&mut self, payload: &str) -> Fate {
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

/// A head alone, and with a body: the programs read a longer segment's start where it stands.
fn with_and_without_body(heads: &[&str]) -> Vec<String> {
    heads
        .iter()
        .flat_map(|head| [(*head).to_owned(), format!("{head}{}", "b".repeat(200))])
        .collect()
}

const KEYED: &str = "POST /function/pydict HTTP/1.1\r\nHost: a\r\nX-RsFaaS-Key: rsfaas1x\r\n\r\n";

fn a_keyed_request_for_a_sealed_function_is_held(mut rig: Rig) {
    assert_eq!(rig.request(KEYED), HOLD);
    assert_eq!(rig.count("held_keyed"), 1);
}

fn the_key_header_is_found_in_any_letter_case_and_place(mut rig: Rig) {
    for head in with_and_without_body(&[
        "GET /function/pydict HTTP/1.1\r\nx-rsfaas-key:rsfaas1x\r\nHost: a\r\n\r\n",
        "GET /function/pydict/more HTTP/1.1\r\nHost: a\r\nX-RSFAAS-KEY:  rsfaas1x\r\n\r\n",
        "PATCH /function/pydict?x=1 HTTP/1.0\nX-rsfaas-kEy: rsfaas1x\n\n",
        "DELETE /function/pydict.openfaas-fn HTTP/1.1\r\nX-RsFaaS-Key: r\r\n\r\n",
        "POST /async-function/pydict HTTP/1.1\r\nX-RsFaaS-Key: r\r\n\r\n",
        "POST /function/pydict HTTP/1.1\r\nX-RsFaaS-Next-Key: r\r\n\r\n",
    ]) {
        let before = rig.count("held_keyed");
        assert_eq!(rig.request(&head), HOLD, "{head}");
        assert_eq!(rig.count("held_keyed"), before + 1, "{head}");
        rig.forget();
    }
}

fn the_key_header_is_found_far_behind_in_a_long_head(mut rig: Rig) {
    let long = format!(
        "GET /function/pydict HTTP/1.1\r\nCookie: {}\r\nX-RsFaaS-Key: r\r\n\r\n",
        "c".repeat(3000)
    );
    assert_eq!(rig.request(&long), HOLD);
    assert_eq!(rig.count("held_keyed"), 1);
}

fn a_keyless_request_for_a_sealed_function_passes(mut rig: Rig) {
    for head in with_and_without_body(&[
        "GET /function/pydict HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /function/pydict HTTP/1.1\r\nContent-Length: 40\r\n\r\nX-RsFaaS-Key: in the body",
        "GET /function/pydict HTTP/1.1\r\nNot-X-RsFaaS-Key: a\r\nX-RsFaaS-Keys: b\r\n\r\n",
    ]) {
        assert_eq!(rig.request(&head), PASS, "{head}");
    }
    assert_eq!(rig.count("passed_keyless"), 6);
}

fn what_is_no_request_for_a_sealed_function_passes(mut rig: Rig) {
    for payload in with_and_without_body(&[
        "GET /function/other HTTP/1.1\r\nX-RsFaaS-Key: r\r\n\r\n",
        "GET /function/pydict2 HTTP/1.1\r\nX-RsFaaS-Key: r\r\n\r\n",
        "GET /system/functions HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\n\r\n",
        "CONNECT /function/other HTTP/1.1\r\n\r\n",
        "\r\n\r\n\r\nGET /function/pydict HTTP/1.1\r\nX-RsFaaS-Key: r\r\n\r\n",
        "{\"word\": \"night\"}",
        "\u{16}\u{3}\u{1}",
        "just some words of a body",
    ]) {
        assert_eq!(rig.request(&payload), PASS, "{payload}");
    }
    assert_eq!(rig.count("passed"), 20);
}

fn targets_that_are_not_in_plain_form_are_held_for_the_agent(mut rig: Rig) {
    for head in with_and_without_body(&[
        "GET //function/pydict HTTP/1.1\r\n\r\n",
        "GET /./function/pydict HTTP/1.1\r\n\r\n",
        "GET /%66unction/pydict HTTP/1.1\r\n\r\n",
        "GET /function/py%64ict HTTP/1.1\r\n\r\n",
        "GET /function//pydict HTTP/1.1\r\n\r\n",
        "GET http://host/function/pydict HTTP/1.1\r\n\r\n",
    ]) {
        let before = rig.count("held_undecided");
        assert_eq!(rig.request(&head), HOLD, "{head}");
        assert_eq!(rig.count("held_undecided"), before + 1, "{head}");
        rig.forget();
    }
}

fn a_request_that_names_an_unlocked_function_is_held_even_without_a_key(mut rig: Rig) {
    let head = "GET /function/pydict-abc123-0 HTTP/1.1\r\nHost: a\r\n\r\n";
    for (held, request) in (1..).zip(with_and_without_body(&[head])) {
        assert_eq!(rig.request(&request), HOLD);
        assert_eq!(rig.count("held_direct"), held);
        rig.forget();
    }
}

fn no_method_and_no_empty_line_hides_a_request(mut rig: Rig) {
    for head in [
        "\r\nGET /function/pydict-abc123-0 HTTP/1.1\r\n\r\n",
        "\n\n\n\nGET /function/pydict-abc123-0 HTTP/1.1\r\n\r\n",
        "A!1 /function/pydict-abc123-0 HTTP/1.1\r\n\r\n",
        "1 /function/pydict-abc123-0 HTTP/1.1\r\n\r\n",
        "ABCDEFGHIJKLMNOPQRS /function/pydict-abc123-0 HTTP/1.1\r\n\r\n",
    ] {
        let before = rig.count("held_direct");
        assert_eq!(rig.request(head), HOLD, "{head}");
        assert_eq!(rig.count("held_direct"), before + 1, "{head}");
        rig.forget();
    }
    for head in [
        "CONNECT a:80/function/pydict-abc123-0 HTTP/1.1\r\n\r\n",
        "CONNECT [::1]/function/pydict-abc123-0 HTTP/1.1\r\n\r\n",
    ] {
        assert_eq!(rig.request(head), HOLD, "{head}");
        rig.forget();
    }
}

fn a_flow_that_starts_with_a_very_long_method_is_held(mut rig: Rig) {
    let syn = Packet {
        flags: SYN,
        sequence: 999,
        ..Packet::of(b"")
    };
    rig.spot(&syn);
    let head = format!(
        "{} /function/pydict-abc123-0 HTTP/1.1\r\n\r\n",
        "A".repeat(40)
    );
    assert_eq!(rig.request(&head), HOLD);
}

fn the_first_segment_of_a_flow_is_held_at_every_cut_until_the_key_can_be_ruled_out(mut rig: Rig) {
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

fn bytes_in_the_middle_of_a_flow_that_could_start_a_request_pass(mut rig: Rig) {
    assert_eq!(rig.request("POST"), PASS);
    assert_eq!(rig.request("G"), PASS);
}

fn later_segments_of_a_held_flow_are_held_but_for_those_in_the_window(mut rig: Rig) {
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
    rig.flows.remove(&flow).unwrap();
    assert_eq!(rig.spot(&body), PASS, "the flow is no longer ours");
}

fn a_flow_that_the_agent_has_let_go_of_is_judged_again_where_a_request_starts(mut rig: Rig) {
    let flow = flow_key();
    rig.flows.set_opaque(&flow).unwrap();
    assert_eq!(rig.request("\u{81}frame"), PASS);
    assert_eq!(rig.request(KEYED), HOLD);
    assert_eq!(rig.request("\u{81}frame"), HOLD, "the agent has it again");
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

fn ends_of_flows_always_pass(mut rig: Rig) {
    assert_eq!(rig.request(KEYED), HOLD);
    assert_eq!(
        rig.spot(&Packet {
            flags: FIN,
            ..Packet::of(b"")
        }),
        PASS
    );
    assert_eq!(rig.watch(&Packet::of(b"").build()), PASS);
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

fn a_name_that_is_removed_is_no_longer_looked_for(mut rig: Rig) {
    rig.names.remove("pydict").unwrap();
    rig.names.remove("pydict").unwrap();
    assert_eq!(rig.request(KEYED), PASS);
}

fn what_the_agent_has_released_passes(mut rig: Rig) {
    let mut packet = Packet::of(KEYED.as_bytes()).build();
    // The packet's length, its type, its mark: how a test run's `__sk_buff` starts.
    let mut context = [0; 12];
    context[8..].copy_from_slice(&SIGN.mark.to_ne_bytes());
    let options = match rig.hook {
        Hook::Tc => TestRunOptions {
            ctx_in: Some(&context),
            ..TestRunOptions::default()
        },
        Hook::Xdp => {
            packet[6..12].copy_from_slice(&SIGN.source);
            TestRunOptions::default()
        }
    };
    assert_eq!(rig.run_as(&packet, options), PASS);
    assert_eq!(rig.count("released"), 1);
    packet[6..12].copy_from_slice(&[2; 6]);
    assert_eq!(rig.run(&packet), HOLD, "the same without the sign");
}

/// The kernel's test run of TC programs takes no packet as long.
#[test]
fn at_xdp_a_segment_in_several_buffers_is_held_whole() {
    let mut rig = Rig::new(Hook::Xdp);
    let head = format!("{KEYED}{}", "b".repeat(9000));
    assert_eq!(rig.request(&head), HOLD);
    let mut ring = rig.spotter.ring().unwrap();
    let record = ring.next().unwrap();
    assert!(
        record
            .windows(9000)
            .any(|window| window.iter().all(|byte| *byte == b'b'))
    );
}

/// Writes for a subscriber into memory.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_full_ring_buffer_is_told_in_the_agents_log() {
    let mut rig = Rig::new(Hook::Tc);
    let mut log = rig.spotter.log().unwrap();
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    // More than the ring buffer has room for, of which nothing is read.
    let packet = Packet::of(KEYED.as_bytes()).build();
    let options = TestRunOptions {
        repeat: 10_000,
        ..TestRunOptions::default()
    };
    assert_eq!(rig.run_as(&packet, options), HOLD);
    assert!(rig.count("dropped_ring_full") > 0);
    let told = async {
        while !written.text().contains("the ring buffer is full") {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        ended = log.forward() => panic!("the log ended: {ended:?}"),
        () = told => {}
    }
    assert!(written.text().contains("WARN"), "{}", written.text());
}

#[test]
fn the_programs_stay_well_below_the_verifiers_limit() {
    let mut rig = Rig::new(Hook::Tc);
    let tc = |rig: &mut Rig, name| rig.spotter.classifier(name).unwrap().info().unwrap();
    for (name, info) in [
        ("spot_ethernet", tc(&mut rig, "spot_ethernet")),
        ("spot_ip", tc(&mut rig, "spot_ip")),
        ("spot_xdp", rig.spotter.xdp().unwrap().info().unwrap()),
    ] {
        let instructions = info.verified_instruction_count();
        // The limit is a million; kernels differ in how many instructions they go through.
        assert!(
            instructions.is_some_and(|count| count < 750_000),
            "{name}: {instructions:?}"
        );
    }
}

#[test]
fn what_follows_a_segment_that_found_no_room_is_not_held_in_its_place() {
    let mut rig = Rig::new(Hook::Tc);
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
