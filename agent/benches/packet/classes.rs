//! Nanoseconds a packet, by what the packet is.
use std::{
    collections::BTreeMap,
    net::SocketAddrV4,
    os::fd::{AsRawFd as _, OwnedFd},
};

use agent_ebpf::NameKind;
use aya::{
    programs::{SchedClassifier, TcAttachType, TestRun as _, TestRunOptions},
    sys::{Stats, enable_stats},
};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket,
};
use rsfaas::spot::{Attach, Names, ReleaseSign, Spotter};

use super::{
    ROUNDS, median,
    namespace::{PORT, block_on, interface, ip, spotter},
};

/// Packets that are sent for one average.
const PACKETS: u64 = 20_000;
const FEW: usize = 10;
const MANY: usize = 10_000;

/// A program alone on its hook.
#[derive(Clone, Copy)]
struct Hooked {
    program: &'static str,
    near: &'static str,
    far: &'static str,
    net: u8,
}

const SPOTTED: Hooked = Hooked {
    program: "spot_ethernet",
    near: "gw0",
    far: "cl0",
    net: 211,
};
const BARE: Hooked = Hooked {
    program: "null_tc",
    near: "gw1",
    far: "cl1",
    net: 212,
};

const NOT_HTTP: &[u8] = &[0x16; 240];
const UNSEALED: &str = "POST /function/other HTTP/1.1\r\nHost: gateway:8080\r\nUser-Agent: curl/8\r\n\
     Accept: */*\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{\"word\": \"night\"}";
const SEALED: &str = "POST /function/pydict HTTP/1.1\r\nHost: gateway:8080\r\nUser-Agent: curl/8\r\n\
     Accept: */*\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{\"word\": \"night\"}";

/// Medians over the rounds, by class.
pub(super) fn measure() -> BTreeMap<&'static str, f64> {
    link(SPOTTED);
    link(BARE);
    let mut spotter = spotter(&ReleaseSign::random().unwrap());
    let interface = block_on(interface("gw0"));
    spotter.attach(&interface, Attach::Tc).unwrap();
    spotter
        .classifier(BARE.program)
        .unwrap()
        .attach("gw1", TcAttachType::Ingress)
        .unwrap();
    accept(&mut spotter);
    let mut names = spotter.names().unwrap();
    fill(&mut names, 0, FEW);
    let _counted = enable_stats(Stats::RunTime).unwrap();
    let socket = socket(
        AddressFamily::Inet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::Raw,
    )
    .unwrap();
    let mut all: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
    for _ in 0..ROUNDS {
        let mut class = |name, port, payload| {
            let hooked = if name == "null" { BARE } else { SPOTTED };
            let time = average(
                &mut spotter,
                hooked,
                &socket,
                &packet(hooked.net, port, payload),
            );
            all.entry(name).or_default().push(time);
        };
        class("null", 443, NOT_HTTP);
        class("bystander", 443, NOT_HTTP);
        class("not_http", PORT, NOT_HTTP);
        class("unsealed", PORT, UNSEALED.as_bytes());
        class("keyless_10", PORT, SEALED.as_bytes());
        fill(&mut names, FEW, MANY);
        class("keyless_10000", PORT, SEALED.as_bytes());
        for index in FEW..MANY {
            names.remove(&name(index)).unwrap();
        }
    }
    all.into_iter()
        .map(|(name, values)| (name, median(values)))
        .collect()
}

/// A pair of interfaces, from the second to the first.
fn link(Hooked { near, far, net, .. }: Hooked) {
    ip(&format!("link add {near} type veth peer name {far}"));
    ip(&format!("address add 198.18.{net}.2/30 dev {far}"));
    ip(&format!("link set {near} up"));
    ip(&format!("link set {far} up"));
    // Another host's address: the packets end right behind the hook.
    ip(&format!(
        "neighbour add 198.18.{net}.1 lladdr 02:00:00:00:00:99 dev {far} nud permanent"
    ));
}

/// Has the programs know the packets' connection, as they know every one that they have seen begin.
fn accept(spotter: &mut Spotter) {
    const SYN_ACK: u8 = 0x12;
    let mut accepted = packet(SPOTTED.net, PORT, b"");
    // The other way round: addresses and ports.
    accepted[12..20].rotate_left(4);
    accepted[20..24].rotate_left(2);
    accepted[33] = SYN_ACK;
    let frame = [[0; 12].as_slice(), &[8, 0], &accepted].concat();
    let program: &mut SchedClassifier = spotter.classifier("watch_ethernet").unwrap();
    let options = TestRunOptions {
        data_in: Some(&frame),
        ..TestRunOptions::default()
    };
    program.test_run(options).unwrap();
}

/// The first is the function that is called.
fn name(index: usize) -> String {
    if index == 0 {
        "pydict".into()
    } else {
        format!("function-{index}")
    }
}

fn fill(names: &mut Names, from: usize, to: usize) {
    for index in from..to {
        names.insert(&name(index), NameKind::Sealed).unwrap();
    }
}

/// Sends packets; what each cost the program, in nanoseconds.
fn average(spotter: &mut Spotter, hooked: Hooked, socket: &OwnedFd, packet: &[u8]) -> f64 {
    let before = counted(spotter, hooked.program);
    let to = SockaddrIn::from(SocketAddrV4::new([198, 18, hooked.net, 1].into(), 0));
    for _ in 0..PACKETS {
        sendto(socket.as_raw_fd(), packet, &to, MsgFlags::empty()).unwrap();
    }
    let after = counted(spotter, hooked.program);
    let count = after.1 - before.1;
    assert!(count >= PACKETS, "{count} packets of {PACKETS} were seen");
    (after.0 - before.0) as f64 / count as f64
}

/// Nanoseconds and runs of a program so far.
fn counted(spotter: &mut Spotter, program: &'static str) -> (u128, u64) {
    let program: &mut SchedClassifier = spotter.classifier(program).unwrap();
    let info = program.info().unwrap();
    (info.run_time().as_nanos(), info.run_count())
}

/// An IPv4 packet with a TCP segment.
fn packet(net: u8, port: u16, payload: &[u8]) -> Vec<u8> {
    let total = u16::try_from(40 + payload.len()).unwrap().to_be_bytes();
    let mut packet = vec![0x45, 0, total[0], total[1], 0, 1, 0x40, 0, 64, 6, 0, 0];
    packet.extend_from_slice(&[198, 18, net, 2, 198, 18, net, 1]);
    packet.extend_from_slice(&40_000_u16.to_be_bytes());
    packet.extend_from_slice(&port.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
    packet.extend_from_slice(payload);
    packet
}
