//! Sealed files. Whatever the bytes, the header is refused or has one meaning, and no key opens what
//! it has not sealed.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use rsfaas::seal::{HANDLER_LABEL, format, header::Header, key::Key};

const NAME: &str = "pydict";

static KEY: LazyLock<Key> = LazyLock::new(|| Key::generate().expect("random bytes"));
static SEALED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    format::seal(&KEY, NAME, HANDLER_LABEL, &[7; 70_000], 0).expect("what fits is sealed")
});

fuzz_target!(|data: &[u8]| {
    if let Ok(header) = Header::parse(data) {
        assert!(header.encoded_len() <= data.len());
        // What is behind the header does not change what it says.
        assert!(Header::parse(&data[..header.encoded_len()]) == Ok(header));
    }
    assert!(format::open(&KEY, NAME, HANDLER_LABEL, data).is_err());

    // One byte of a good file changed, or the file cut: the first bytes say where and how.
    let Some(([place @ .., change], _)) = data.split_first_chunk::<5>() else {
        return;
    };
    let place = u32::from_be_bytes(*place) as usize % SEALED.len();
    let mut damaged = SEALED.clone();
    if *change == 0 {
        damaged.truncate(place);
    } else {
        damaged[place] ^= change;
    }
    assert!(format::open(&KEY, NAME, HANDLER_LABEL, &damaged).is_err());
});
