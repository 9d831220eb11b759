//! Nanoseconds a packet, by what the packet is.
use std::{
    collections::BTreeMap,
    net::SocketAddrV4,
    os::fd::{AsRawFd as _, OwnedFd},
};

use agent_ebpf::NameKind;
use aya::{
    programs::{SchedClassifier, TcAttachType},
    sys::{Stats, enable_stats},
};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket,
};
use rsfaas::spot::{Attach, Names, Spotter};

use super::{
    ROUNDS,
    host::{self, PORT, ip},
    median,
};

/// Packets that are sent for one average.
const PACKETS: u64 = 20_000;
const FEW: usize = 10;
const MANY: usize = 10_000;

const NULL: &str = "null_tc";
const SPOT: &str = "spot_ethernet";

const NOT_HTTP: &[u8] = &[0x16; 240];
const UNSEALED: &str = "POST /function/other HTTP/1.1\r\nHost: gateway:8080\r\nUser-Agent: curl/8\r\n\
     Accept: */*\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{\"word\": \"night\"}";
const SEALED: &str = "POST /function/pydict HTTP/1.1\r\nHost: gateway:8080\r\nUser-Agent: curl/8\r\n\
     Accept: */*\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{\"word\": \"night\"}";

/// Medians over the rounds, by class.
pub(super) fn measure() -> BTreeMap<&'static str, f64> {
    ip("link add gw0 type veth peer name cl0");
    ip("address add 198.18.211.2/30 dev cl0");
    ip("link set gw0 up");
    ip("link set cl0 up");
    // Another host's address: the packets end right behind the hook.
    ip("neighbour add 198.18.211.1 lladdr 02:00:00:00:00:99 dev cl0 nud permanent");
    let (mut spotter, interface) = host::spotter("gw0");
    spotter.attach(&interface, Attach::Tc).unwrap();
    // Behind the spotter, which lets all of these packets pass: both see each.
    attach_null(&mut spotter);
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
            let (null, spot) = average(&mut spotter, &socket, &packet(port, payload));
            all.entry(name).or_default().push(spot);
            all.entry("null").or_default().push(null);
        };
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

fn attach_null(spotter: &mut Spotter) {
    spotter
        .classifier(NULL)
        .unwrap()
        .attach("gw0", TcAttachType::Ingress)
        .unwrap();
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

/// Sends packets; what each cost the null program and the spotter.
fn average(spotter: &mut Spotter, socket: &OwnedFd, packet: &[u8]) -> (f64, f64) {
    let before = [NULL, SPOT].map(|program| counted(spotter, program));
    let to = SockaddrIn::from(SocketAddrV4::new([198, 18, 211, 1].into(), 0));
    for _ in 0..PACKETS {
        sendto(socket.as_raw_fd(), packet, &to, MsgFlags::empty()).unwrap();
    }
    let after = [NULL, SPOT].map(|program| counted(spotter, program));
    let each = |index: usize| {
        let (time, count) = (
            after[index].0 - before[index].0,
            after[index].1 - before[index].1,
        );
        assert!(count >= PACKETS, "{count} packets of {PACKETS} were seen");
        time as f64 / count as f64
    };
    (each(0), each(1))
}

/// Nanoseconds and runs of a program so far.
fn counted(spotter: &mut Spotter, program: &'static str) -> (u128, u64) {
    let program: &mut SchedClassifier = spotter.classifier(program).unwrap();
    let info = program.info().unwrap();
    (info.run_time().as_nanos(), info.run_count())
}

/// An IPv4 packet with a TCP segment.
fn packet(port: u16, payload: &[u8]) -> Vec<u8> {
    let total = u16::try_from(40 + payload.len()).unwrap().to_be_bytes();
    let mut packet = vec![0x45, 0, total[0], total[1], 0, 1, 0x40, 0, 64, 6, 0, 0];
    packet.extend_from_slice(&[198, 18, 211, 2, 198, 18, 211, 1]);
    packet.extend_from_slice(&40_000_u16.to_be_bytes());
    packet.extend_from_slice(&port.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
    packet.extend_from_slice(payload);
    packet
}
