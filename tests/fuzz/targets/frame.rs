//! Held frames. Whatever they hold, they are refused or give a template; frames that are built from
//! it are read again as what went into them, none larger than the MTU.
//!
//! The input's first three bytes say how the frame was caught and how large the MTU is; the rest is
//! the frame.

#![no_main]

use agent_ebpf::{FlowKey, HeldPlace};
use libfuzzer_sys::fuzz_target;
use rsfaas::{release::Template, spot::HeldFrame};

const INTERFACE: u32 = 7;
const ETHERNET_LEN: usize = 14;
const VLAN_LEN: usize = 4;

fn held(frame: &[u8], ethernet: bool, vlan: Option<u32>) -> HeldFrame {
    HeldFrame {
        flow: FlowKey {
            source: [0; 16],
            destination: [0; 16],
            source_port: 40_000,
            destination_port: 8080,
        },
        time: 0,
        interface: INTERFACE,
        vlan,
        ethernet,
        segment: 0,
        place: HeldPlace::default(),
        frame: frame.to_vec().into(),
    }
}

fuzz_target!(|data: &[u8]| {
    let Some(([how, mtu @ ..], frame)) = data.split_first_chunk::<3>() else {
        return;
    };
    let (ethernet, tagged) = (how & 1 != 0, how & 2 != 0);
    let caught = held(frame, ethernet, tagged.then_some(0x8100_0005));
    let Ok(template) = Template::of(&caught) else {
        return;
    };
    let payload = template.payload(frame);
    assert!(payload.len() <= frame.len());

    let mtu = usize::from(u16::from_be_bytes(*mtu));
    let mut sequence = template.sequence();
    let mut bytes = Vec::new();
    let frames = template.frames(sequence, payload, mtu);
    for built in &frames {
        let mut copy = built.bytes().to_vec();
        assert!(built.packet().len() <= mtu || frames.len() == payload.len());
        let _ = built.destination();
        if tagged && ethernet {
            // The kernel strips the tag again.
            copy.drain(ETHERNET_LEN - 2..ETHERNET_LEN - 2 + VLAN_LEN);
        }
        let again = Template::of(&held(&copy, true, None)).expect("a frame that cannot be read");
        assert_eq!(again.sequence(), sequence);
        let piece = again.payload(&copy);
        sequence = sequence.wrapping_add(piece.len() as u32);
        bytes.extend_from_slice(piece);
    }
    assert_eq!(bytes, payload);
});
