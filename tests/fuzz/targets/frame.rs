//! Held frames. Whatever they hold, they are refused or give a template; frames that are built from
//! it are read again as what went into them, with a right checksum, none larger than the MTU; answers to its client have
//! no payload.
//!
//! The input's first five bytes say how the frame was caught, how large the MTU is, and of what segments the frame was
//! put together; the rest is the frame.

#![no_main]

use agent_ebpf::{FlowKey, HeldPlace};
use libfuzzer_sys::fuzz_target;
use rsfaas::{
    release::{Frame, FrameTemplate},
    spot::{Caught, HeldFrame},
};

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
        caught: Caught {
            interface: INTERFACE,
            leaving: false,
        },
        vlan,
        ethernet,
        segment: 0,
        verified: false,
        place: HeldPlace::default(),
        frame: frame.to_vec().into(),
    }
}

/// The bytes of a frame; the kernel strips a tag that was put back.
fn untagged(frame: &Frame, is_tagged: bool) -> Vec<u8> {
    let mut bytes = frame.bytes().to_vec();
    if is_tagged {
        bytes.drain(ETHERNET_LEN - 2..ETHERNET_LEN - 2 + VLAN_LEN);
    }
    bytes
}

fuzz_target!(|data: &[u8]| {
    let Some(([how, mtu, mtu_low, segment, segment_low], frame)) = data.split_first_chunk::<5>()
    else {
        return;
    };
    let (ethernet, tagged, verified) = (how & 1 != 0, how & 2 != 0, how & 4 == 0);
    let caught = HeldFrame {
        segment: u16::from_be_bytes([*segment, *segment_low]),
        verified,
        ..held(frame, ethernet, tagged.then_some(0x8100_0005))
    };
    let Ok(template) = FrameTemplate::of(&caught) else {
        return;
    };
    let payload = template.payload(frame);
    assert!(payload.len() <= frame.len());

    let mtu = usize::from(u16::from_be_bytes([*mtu, *mtu_low]));
    let mut sequence = template.sequence();
    let mut bytes = Vec::new();
    let frames = template.frames(sequence, payload, mtu);
    for built in &frames {
        let copy = untagged(built, tagged && ethernet);
        assert!(built.packet().len() <= mtu || frames.len() == payload.len());
        let _ = built.destination();
        let again =
            FrameTemplate::of(&held(&copy, true, None)).expect("a frame that cannot be read");
        assert_eq!(again.sequence(), sequence);
        let piece = again.payload(&copy);
        sequence = sequence.wrapping_add(piece.len() as u32);
        bytes.extend_from_slice(piece);
    }
    assert_eq!(bytes, payload);

    for reply in [template.acknowledgement(sequence), template.reset()] {
        let copy = untagged(&reply, tagged && ethernet);
        let read =
            FrameTemplate::of(&held(&copy, true, None)).expect("a reply that cannot be read");
        assert!(read.payload(&copy).is_empty());
    }
});
