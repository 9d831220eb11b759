//! Small programs on the ingress hooks of an interface, beside the agent's: written in the kernel's own
//! instructions, so that they share nothing with what is tested.
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::net::if_::if_nametoindex;
use rsfaas_tests::bpf::{self, Command, Kind, instruction, words};

use crate::{
    check::{During as _, Outcome},
    netns::Namespace,
};

const MAP_TYPE_ARRAY: u32 = 2;
const TCX_INGRESS: u32 = 46;
const XDP: u32 = 37;

/// Where a program stands.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// At TC, before all others.
    First,
    /// At TC, after all others.
    Last,
    /// At XDP, where there is one only.
    Xdp,
}

impl Place {
    fn kind(self) -> Kind {
        match self {
            Self::First | Self::Last => Kind::Tc,
            Self::Xdp => Kind::Xdp,
        }
    }

    fn hook(self) -> u32 {
        match self {
            Self::First | Self::Last => TCX_INGRESS,
            Self::Xdp => XDP,
        }
    }

    /// `BPF_F_BEFORE` or `BPF_F_AFTER` without another program: before or after all.
    fn flags(self) -> u32 {
        match self {
            Self::First => 1 << 3,
            Self::Last => 1 << 4,
            Self::Xdp => 0,
        }
    }

    /// r0 = what leaves the packet to others: `TCX_NEXT`, `XDP_PASS`.
    const fn next(self) -> [u8; 8] {
        let verdict = match self {
            Self::First | Self::Last => u32::MAX,
            Self::Xdp => 2,
        };
        instruction(0xb7, 0, 0, verdict)
    }
}

/// Counts packets and leaves them to others. Detached when dropped.
pub(crate) struct PacketCounter {
    map: OwnedFd,
    _link: OwnedFd,
}

impl PacketCounter {
    pub(crate) fn attach(host: &Namespace, interface: &str, place: Place) -> Outcome<Self> {
        let mut attributes = words(&[MAP_TYPE_ARRAY, 4, 8, 1]);
        // SAFETY: the attributes are numbers, and point to nothing.
        let map = unsafe { bpf::descriptor(Command::MapCreate, &mut attributes) };
        let map = map.during("a map")?;
        let number = map.as_raw_fd() as u32;
        let link = attach(
            host,
            interface,
            place,
            &[
                // r1 = the address of the map's value (BPF_PSEUDO_MAP_VALUE)
                instruction(0x18, 1, 2, number),
                instruction(0, 0, 0, 0),
                // r0 = 1; lock *(u64 *)r1 += r0
                instruction(0xb7, 0, 0, 1),
                instruction(0xdb, 1, 0, 0),
                place.next(),
                EXIT,
            ],
        )?;
        Ok(Self { map, _link: link })
    }

    pub(crate) fn packets(&self) -> Outcome<u64> {
        let (key, mut value) = (0_u32, 0_u64);
        let mut attributes = words(&[self.map.as_raw_fd() as u32, 0]);
        attributes.extend((&raw const key as u64).to_ne_bytes());
        attributes.extend((&raw mut value as u64).to_ne_bytes());
        attributes.extend([0; 8]);
        // SAFETY: key and value are as large as the map was made for.
        unsafe { bpf::call(Command::MapLookup, &mut attributes) }.during("reading a map")?;
        Ok(value)
    }
}

/// Takes 802.1Q tags off, as a VLAN interface would. Detached when dropped.
pub(crate) struct VlanEnd {
    _link: OwnedFd,
}

impl VlanEnd {
    pub(crate) fn attach(host: &Namespace, interface: &str) -> Outcome<Self> {
        // bpf_skb_vlan_pop
        let pop = instruction(0x85, 0, 0, 19);
        let link = attach(
            host,
            interface,
            Place::Last,
            &[pop, Place::Last.next(), EXIT],
        )?;
        Ok(Self { _link: link })
    }
}

const EXIT: [u8; 8] = instruction(0x95, 0, 0, 0);

fn attach(
    host: &Namespace,
    interface: &str,
    place: Place,
    instructions: &[[u8; 8]],
) -> Outcome<OwnedFd> {
    let program = bpf::load(place.kind(), instructions).during("a program")?;
    host.enter(|| {
        let index = if_nametoindex(interface)?;
        let number = program.as_raw_fd() as u32;
        let mut attributes = words(&[number, index, place.hook(), place.flags(), 0, 0, 0, 0]);
        // SAFETY: the attributes are numbers, and point to nothing.
        unsafe { bpf::descriptor(Command::LinkCreate, &mut attributes) }
            .during("attaching (TCX came with Linux 6.6)")
    })
}
