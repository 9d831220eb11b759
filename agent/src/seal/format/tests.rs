//! What the format promises, one behaviour a test.
use proptest::prelude::*;

use super::{
    super::{error::WrongKey, header::MAX_NAME, stream::CHUNK},
    *,
};

const NAME: &str = "pydict";
const LABEL: &str = "handler.tar";
const TIME: u64 = 1_700_000_000;
const HEADER: usize = 121 + NAME.len();
const SEALED_CHUNK: usize = CHUNK + TAG;

fn key() -> Key {
    Key::from_bytes(std::array::from_fn(|index| index as u8))
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

fn sealed(plaintext: &[u8]) -> Vec<u8> {
    seal(&key(), NAME, LABEL, plaintext, TIME).unwrap()
}

fn opened(sealed: &[u8]) -> Result<Vec<u8>, FormatError> {
    open(&key(), NAME, LABEL, sealed).map(|plaintext| plaintext.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn what_is_sealed_opens_to_the_same_bytes(
        length in prop_oneof![
            0_usize..300,
            (0_usize..4, -2_isize..3).prop_map(|(chunks, off)| (chunks * CHUNK).saturating_add_signed(off)),
        ],
    ) {
        let plaintext = pattern(length);
        prop_assert!(opened(&sealed(&plaintext)).unwrap() == plaintext);
    }

    #[test]
    fn any_bytes_are_refused_without_panic(bytes: Vec<u8>, version in 0_u16..3) {
        prop_assert!(opened(&bytes).is_err());
        let begun = [b"RSFAAS".as_slice(), &version.to_be_bytes(), &bytes].concat();
        prop_assert!(opened(&begun).is_err());
    }
}

#[test]
fn length_is_what_the_header_promises() {
    for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
        let sealed = sealed(&pattern(length));
        let header = Header::parse(&sealed).unwrap();
        assert_eq!(header.sealed_len(), Some(sealed.len() as u64));
        assert_eq!(header.plaintext_len(), length as u64);
    }
}

#[test]
fn header_tells_function_time_and_key_without_the_key() {
    let header = Header::parse(&sealed(b"x")).unwrap();
    assert_eq!((header.name(), header.sealed_at()), (NAME, TIME));
    assert_eq!(header.key_id(), key().id());
}

#[test]
fn header_parses_from_its_bytes_alone() {
    let sealed = sealed(&pattern(100));
    assert_eq!(Header::parse(&sealed[..HEADER]), Header::parse(&sealed));
}

#[test]
fn every_changed_byte_of_a_small_file_is_refused() {
    let good = sealed(b"def handle(req): return req");
    for position in 0..good.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[position] ^= flip;
            assert!(
                opened(&bad).is_err(),
                "byte {position} changed by {flip:#x}"
            );
        }
    }
}

#[test]
fn changed_bytes_at_every_chunk_border_are_refused_and_the_chunk_is_named() {
    let good = sealed(&pattern(2 * CHUNK + 5));
    for chunk in 0..3 {
        let start = HEADER + chunk * SEALED_CHUNK;
        let end = (start + SEALED_CHUNK).min(good.len());
        for position in [start, start + 1, end - TAG - 1, end - TAG, end - 1] {
            let mut bad = good.clone();
            bad[position] ^= 1;
            assert_eq!(
                opened(&bad),
                Err(FormatError::Corrupt {
                    chunk: chunk as u64
                })
            );
        }
    }
}

#[test]
fn a_small_file_is_refused_at_every_shorter_length() {
    let good = sealed(b"def handle(req): return req");
    for length in 0..good.len() {
        let error = opened(&good[..length]).unwrap_err();
        let expected = if length == 0 {
            FormatError::NotSealed
        } else {
            let expected = (length >= HEADER).then_some(good.len() as u64);
            FormatError::Truncated {
                found: length as u64,
                expected,
            }
        };
        assert_eq!(error, expected);
    }
}

#[test]
fn a_file_cut_at_a_chunk_border_is_refused_though_its_header_says_so_too() {
    let good = sealed(&pattern(2 * CHUNK));
    let mut cut = good[..HEADER + SEALED_CHUNK].to_vec();
    cut[112..120].copy_from_slice(&(CHUNK as u64).to_be_bytes());
    assert_eq!(opened(&cut), Err(FormatError::Corrupt { chunk: 0 }));
}

#[test]
fn bytes_after_the_end_are_refused() {
    let mut long = sealed(b"x");
    long.extend_from_slice(b"abc");
    assert_eq!(opened(&long), Err(FormatError::Trailing { extra: 3 }));
}

#[test]
fn swapped_chunks_are_refused() {
    let mut swapped = sealed(&pattern(3 * CHUNK));
    let (first, second) = swapped[HEADER..].split_at_mut(SEALED_CHUNK);
    first.swap_with_slice(&mut second[..SEALED_CHUNK]);
    assert_eq!(opened(&swapped), Err(FormatError::Corrupt { chunk: 0 }));
}

#[test]
fn a_repeated_chunk_is_refused() {
    let mut repeated = sealed(&pattern(3 * CHUNK));
    repeated.copy_within(HEADER..HEADER + SEALED_CHUNK, HEADER + SEALED_CHUNK);
    assert_eq!(opened(&repeated), Err(FormatError::Corrupt { chunk: 1 }));
}

#[test]
fn a_chunk_left_out_is_refused() {
    let mut short = sealed(&pattern(3 * CHUNK));
    short.drain(HEADER + SEALED_CHUNK..HEADER + 2 * SEALED_CHUNK);
    assert!(matches!(opened(&short), Err(FormatError::Truncated { .. })));
}

#[test]
fn a_chunk_of_another_sealing_is_refused() {
    let mut mixed = sealed(&pattern(2 * CHUNK));
    let other = sealed(&pattern(2 * CHUNK));
    mixed[HEADER + SEALED_CHUNK..].copy_from_slice(&other[HEADER + SEALED_CHUNK..]);
    assert_eq!(opened(&mixed), Err(FormatError::Corrupt { chunk: 1 }));
}

#[test]
fn another_key_is_refused_before_decryption_and_both_ids_are_told() {
    let other = Key::from_bytes([9; 32]);
    let wrong = WrongKey {
        sealed_with: key().id(),
        given: other.id(),
    };
    let sealed = sealed(b"x");
    assert_eq!(
        Header::parse(&sealed[..HEADER]).unwrap().verify_key(&other),
        Err(wrong)
    );
    assert_eq!(
        open(&other, NAME, LABEL, &sealed).err(),
        Some(FormatError::WrongKey(wrong))
    );
}

#[test]
fn a_damaged_commitment_is_not_taken_for_another_key() {
    let mut bad = sealed(b"x");
    bad[72] ^= 1;
    assert!(matches!(opened(&bad), Err(FormatError::Header(_))));
}

#[test]
fn the_right_key_is_recognised_by_the_header_alone() {
    assert_eq!(
        Header::parse(&sealed(b"x")[..HEADER])
            .unwrap()
            .verify_key(&key()),
        Ok(())
    );
}

#[test]
fn another_function_is_refused() {
    let error = open(&key(), "other", LABEL, &sealed(b"x")).err();
    let expected = FormatError::WrongName {
        expected: "other".into(),
        found: NAME.into(),
    };
    assert_eq!(error, Some(expected));
}

#[test]
fn a_name_changed_in_the_header_is_refused() {
    let mut renamed = sealed(b"x");
    renamed[121..HEADER].copy_from_slice(b"gydict");
    let error = open(&key(), "gydict", LABEL, &renamed).err();
    assert_eq!(error, Some(FormatError::Corrupt { chunk: 0 }));
}

#[test]
fn another_label_is_refused() {
    let error = open(&key(), NAME, "other.tar", &sealed(b"x")).err();
    assert_eq!(error, Some(FormatError::Corrupt { chunk: 0 }));
}

#[test]
fn a_newer_version_is_told_from_damage() {
    let mut newer = sealed(b"x");
    newer[7] = 2;
    assert_eq!(opened(&newer), Err(FormatError::Version { found: 2 }));
}

#[test]
fn a_nonce_with_a_counter_in_the_header_is_refused() {
    let mut bad = sealed(b"x");
    bad[48 + PREFIX_LEN] = 1;
    assert!(matches!(opened(&bad), Err(FormatError::Header(_))));
}

#[test]
fn a_length_beyond_all_files_is_refused_without_allocating() {
    let mut huge = sealed(b"x");
    huge[112..120].copy_from_slice(&u64::MAX.to_be_bytes());
    assert!(matches!(
        opened(&huge),
        Err(FormatError::Truncated { expected: None, .. })
    ));
}

#[test]
fn names_that_do_not_fit_are_refused() {
    for name in ["", &"n".repeat(MAX_NAME + 1)] {
        let error = seal(&key(), name, LABEL, b"x", TIME).unwrap_err();
        assert!(matches!(error, FormatError::NameLength { .. }));
    }
}

#[test]
fn two_sealings_share_neither_salt_nor_nonce_nor_ciphertext() {
    let (first, second) = (sealed(b"same"), sealed(b"same"));
    let (one, two) = (
        Header::parse(&first).unwrap(),
        Header::parse(&second).unwrap(),
    );
    assert_ne!(one.salt, two.salt);
    assert_ne!(one.nonce, two.nonce);
    assert_ne!(one.commitment, two.commitment);
    assert_ne!(first[HEADER..], second[HEADER..]);
}
