//! The programs, loaded but not attached, and a way to run them on a packet.
use agent_ebpf::{FlowKey, NameKind};
use aya::programs::{TestRun as _, TestRunOptions};
use rsfaas::spot::{
    AdmissionKey, Admissions, Counters, Flows, Names, Options, ReleaseSign, Spotter,
};

use crate::packet::{Packet, SYN_ACK};

#[derive(Clone, Copy)]
pub(crate) enum Hook {
    Tc,
    /// TC's, where one program has both directions.
    Loopback,
    Xdp,
}

impl Hook {
    /// The programs at TC for what goes to the gateway, and for what comes from it.
    fn at_tc(self) -> (&'static str, &'static str) {
        match self {
            Self::Loopback => ("spot_loopback", "spot_loopback"),
            Self::Tc | Self::Xdp => ("spot_ethernet", "watch_ethernet"),
        }
    }
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Hold,
}

impl Verdict {
    /// By what the kernel returns: `TCX_NEXT`, which is also `TC_ACT_UNSPEC`, and `TC_ACT_SHOT`;
    /// `XDP_PASS` and `XDP_DROP`.
    pub(crate) fn of(hook: Hook, returned: u32) -> Self {
        match (hook, returned) {
            (Hook::Tc | Hook::Loopback, u32::MAX) | (Hook::Xdp, 2) => Self::Pass,
            (Hook::Tc | Hook::Loopback, 2) | (Hook::Xdp, 1) => Self::Hold,
            (_, other) => panic!("no verdict of the programs: {other}"),
        }
    }
}

pub(crate) const SIGN: ReleaseSign = ReleaseSign {
    mark: 0x5f00_0001,
    source: [0x02, 0x5f, 1, 2, 3, 4],
};

pub(crate) struct Rig {
    pub(crate) hook: Hook,
    pub(crate) spotter: Spotter,
    pub(crate) names: Names,
    pub(crate) flows: Flows,
    pub(crate) counters: Counters,
    pub(crate) admissions: Admissions,
    pub(crate) admission_key: AdmissionKey,
}

impl Rig {
    pub(crate) fn new(hook: Hook) -> Self {
        Self::with_headers(hook, "X-RsFaaS-Key", "X-RsFaaS-Next-Key")
    }

    /// Programs that look for other headers.
    pub(crate) fn with_headers(hook: Hook, key: &str, next: &str) -> Self {
        let admission_key = AdmissionKey::random().unwrap();
        let mut spotter = Spotter::load(&Options {
            port: 8080,
            key_header: key.into(),
            next_key_header: next.into(),
            release: SIGN,
            admission: admission_key,
        })
        .expect("the programs load (needs root)");
        let mut names = spotter.names().unwrap();
        names.insert("pydict", NameKind::Sealed).unwrap();
        names.insert("pydict-abc123-0", NameKind::Unlocked).unwrap();
        let flows = spotter.flows().unwrap();
        let counters = spotter.counters().unwrap();
        let admissions = spotter.admissions().unwrap();
        Self {
            hook,
            spotter,
            names,
            flows,
            counters,
            admissions,
            admission_key,
        }
    }

    pub(crate) fn run(&mut self, packet: &[u8]) -> Verdict {
        self.run_as(packet, TestRunOptions::default())
    }

    pub(crate) fn run_as<'a>(&mut self, packet: &'a [u8], options: TestRunOptions<'a>) -> Verdict {
        let options = TestRunOptions {
            data_in: Some(packet),
            ..options
        };
        let result = match self.hook {
            Hook::Tc | Hook::Loopback => {
                let (program, _) = self.hook.at_tc();
                self.spotter.classifier(program).unwrap().test_run(options)
            }
            Hook::Xdp => self.spotter.xdp().unwrap().test_run(options),
        };
        Verdict::of(self.hook, result.unwrap().return_value)
    }

    /// Runs the program on a packet that the agent has released.
    pub(crate) fn release(&mut self, packet: &Packet) -> Verdict {
        let mut packet = packet.build();
        // The packet's length, its type, its mark: how a test run's `__sk_buff` starts.
        let mut context = [0; 12];
        let mut options = TestRunOptions::default();
        match self.hook {
            Hook::Tc | Hook::Loopback => {
                context[8..].copy_from_slice(&SIGN.mark.to_ne_bytes());
                options.ctx_in = Some(&context);
            }
            Hook::Xdp => packet[6..12].copy_from_slice(&SIGN.source),
        }
        self.run_as(&packet, options)
    }

    /// What the program for what comes from the gateway says.
    pub(crate) fn watch(&mut self, packet: &Packet) -> Verdict {
        let packet = packet.build();
        let options = TestRunOptions {
            data_in: Some(&packet),
            ..TestRunOptions::default()
        };
        let (_, program) = self.hook.at_tc();
        let program = self.spotter.classifier(program).unwrap();
        Verdict::of(Hook::Tc, program.test_run(options).unwrap().return_value)
    }

    pub(crate) fn spot(&mut self, packet: &Packet) -> Verdict {
        self.run(&packet.build())
    }

    pub(crate) fn request(&mut self, payload: &str) -> Verdict {
        self.spot(&Packet::of(payload.as_bytes()))
    }

    /// Starts the flow: its first byte has the sequence number of [`Packet::of`].
    pub(crate) fn open(&mut self) {
        let accepted = Packet {
            flags: SYN_ACK,
            ..Packet::answer(Packet::SEQUENCE, b"")
        };
        assert_eq!(self.watch(&accepted), Verdict::Pass);
    }

    /// The gateway answers what has come up to a sequence number.
    pub(crate) fn answer(&mut self, acknowledged: u32, payload: &str) {
        let answer = Packet::answer(acknowledged, payload.as_bytes());
        assert_eq!(self.watch(&answer), Verdict::Pass);
    }

    /// Makes the programs forget the flow, so that the next request is a new one's.
    pub(crate) fn forget(&mut self) {
        self.flows.remove(&flow_key()).unwrap();
    }

    pub(crate) fn count(&self, name: &str) -> u64 {
        let counters = self.counters.read().unwrap();
        counters
            .iter()
            .find(|(counter, _)| *counter == name)
            .unwrap()
            .1
    }
}

/// The flow of [`Packet::of`].
pub(crate) fn flow_key() -> FlowKey {
    let mapped = |last| [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, last];
    FlowKey {
        source: mapped(1),
        destination: mapped(2),
        source_port: 40_000,
        destination_port: 8080,
    }
}
