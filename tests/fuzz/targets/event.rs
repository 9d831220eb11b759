//! Records of the ring buffer. Whatever they hold, they are refused or give an event; a held frame is
//! what stands behind the header, and can be looked at like one from a wire.

#![no_main]

use agent_ebpf::EventHeader;
use libfuzzer_sys::fuzz_target;
use rsfaas::{release::FrameTemplate, spot::Event};

fuzz_target!(|record: &[u8]| {
    if let Ok(Event::Held(held)) = Event::parse(record) {
        assert!(record[size_of::<EventHeader>()..].starts_with(&held.frame));
        if let Ok(template) = FrameTemplate::of(&held) {
            assert_eq!(template.caught(), held.caught);
        }
    }
});
