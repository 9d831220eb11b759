//! What the spotter makes of requests, at both hooks, through the kernel's test run.
use agent_ebpf::NameKind;
use aya::programs::{TestRun as _, TestRunOptions};
use libtest_mimic::Failed;
use rsfaas::spot::{Flows, Names, Options, ReleaseSign, Spotter};

use crate::{CASES, HEADER, SEALED, UNLOCKED, gateway::Gateway, random::Random};

const SYN: u8 = 0x02;
const DATA: u8 = 0x18;

/// The programs, and the one flow on which all comes.
struct Rig {
    spotter: Spotter,
    flows: Flows,
    /// The program at XDP is loaded when it is first asked for, and needs the map then.
    _names: Names,
}

impl Rig {
    fn new() -> Self {
        let mut spotter = Spotter::load(&Options {
            port: 8080,
            key_header: HEADER.into(),
            next_key_header: "X-RsFaaS-Next-Key".into(),
            release: ReleaseSign {
                mark: 1,
                source: [2, 0, 0, 0, 0, 1],
            },
        })
        .unwrap();
        let mut names = spotter.names().unwrap();
        names.insert(SEALED, NameKind::Sealed).unwrap();
        names.insert(UNLOCKED, NameKind::Unlocked).unwrap();
        let flows = spotter.flows().unwrap();
        Self {
            spotter,
            flows,
            _names: names,
        }
    }

    /// Whether a request, cut to a first segment, is held from there on, whatever hook it comes to.
    fn holds(&mut self, segment: &[u8]) -> bool {
        self.at_tc(&packet(SYN, 999, &[]));
        let data = packet(DATA, 1000, segment);
        let at_tc = self.at_tc(&data) == 2;
        self.forget();
        let run = self.spotter.xdp().unwrap().test_run(options(&data));
        let at_xdp = run.unwrap().return_value == 1;
        self.forget();
        at_tc && at_xdp
    }

    fn at_tc(&mut self, packet: &[u8]) -> u32 {
        let program = self.spotter.classifier("spot_ethernet").unwrap();
        program.test_run(options(packet)).unwrap().return_value
    }

    fn forget(&mut self) {
        let mapped = |last| [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, last];
        self.flows
            .remove(&agent_ebpf::FlowKey {
                source: mapped(1),
                destination: mapped(2),
                source_port: 40_000,
                destination_port: 8080,
            })
            .unwrap();
    }
}

fn options(packet: &[u8]) -> TestRunOptions<'_> {
    TestRunOptions {
        data_in: Some(packet),
        ..TestRunOptions::default()
    }
}

fn packet(flags: u8, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![2; 12];
    packet.extend([8, 0, 0x45, 0]);
    packet.extend(u16::try_from(40 + payload.len()).unwrap().to_be_bytes());
    packet.extend([0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    packet.extend(40_000_u16.to_be_bytes());
    packet.extend(8080_u16.to_be_bytes());
    packet.extend(sequence.to_be_bytes());
    packet.extend([0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    packet.extend(payload);
    packet
}

/// Longest first segment: the test run of TC programs takes a page at most.
const SEGMENT: usize = 1460;

/// Every request by which the gateway reaches a function is held, whole and cut anywhere.
fn held(
    random: &mut Random,
    gateway: &Gateway,
    name: &str,
    requests: &[(Vec<u8>, Vec<u8>)],
) -> Result<(), Failed> {
    let mut rig = Rig::new();
    let bytes: Vec<Vec<u8>> = requests
        .iter()
        .map(|(before, request)| [before.as_slice(), request].concat())
        .collect();
    let mut count = 0;
    for ((_, request), outcome) in requests.iter().zip(gateway.ask(&bytes)) {
        if !outcome.reached.iter().any(|reached| reached == name) {
            continue;
        }
        count += 1;
        let whole = request.len().min(SEGMENT);
        for cut in [whole, 1 + random.below(whole - 1)] {
            if !rig.holds(&request[..cut]) {
                let text = String::from_utf8_lossy(request);
                return Err(format!("passes, cut at {cut}: {text}").into());
            }
        }
    }
    println!("of {} requests {count} reach {name}", requests.len());
    if count == 0 {
        return Err("no request reached it".into());
    }
    Ok(())
}

pub(crate) fn unlocked_is_held(gateway: &Gateway) -> Result<(), Failed> {
    let mut random = Random(3);
    let requests: Vec<_> = (0..CASES).map(|_| random.odd_request(UNLOCKED)).collect();
    held(&mut random, gateway, UNLOCKED, &requests)
}

pub(crate) fn keyed_is_held(gateway: &Gateway) -> Result<(), Failed> {
    let mut random = Random(4);
    let key = format!("\r\n{HEADER}: k\r\n\r\n");
    let requests: Vec<_> = (0..CASES)
        .map(|_| {
            let mut request = random.plain_request(SEALED);
            // In place of the line that ends the head.
            request.truncate(request.len() - 4);
            request.extend_from_slice(key.as_bytes());
            (Vec::new(), request)
        })
        .collect();
    held(&mut random, gateway, SEALED, &requests)
}
