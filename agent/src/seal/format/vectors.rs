//! The committed test vectors, reproduced byte for byte and refused reason for reason.
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::*;

#[derive(Deserialize)]
struct Vectors {
    key: VectorKey,
    sealings: Vec<Sealing>,
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
struct VectorKey {
    bytes: String,
    text: String,
    id: String,
}

#[derive(Deserialize)]
struct Sealing {
    title: String,
    function: String,
    label: String,
    time: u64,
    salt: String,
    nonce: String,
    commitment: String,
    plaintext: Option<String>,
    plaintext_len: Option<usize>,
    sealed: Option<String>,
    sealed_sha256: Option<String>,
}

#[derive(Deserialize)]
struct Refused {
    title: String,
    function: String,
    label: String,
    sealed: String,
    reason: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../tests/vectors/sealed-v1.json")).unwrap()
}

fn key() -> Key {
    Key::parse(vectors().key.text.as_bytes()).unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn key_text_and_id_are_those_of_the_vectors() {
    let vector = vectors().key;
    let key = Key::from_bytes(unhex(&vector.bytes).try_into().unwrap());
    assert_eq!(*key.to_text(), vector.text);
    assert_eq!(key.id().to_string(), vector.id);
}

#[test]
fn sealing_with_the_vectors_salt_and_nonce_gives_their_bytes() {
    for vector in vectors().sealings {
        let plaintext = match (&vector.plaintext, vector.plaintext_len) {
            (Some(text), None) => unhex(text),
            (None, Some(length)) => (0..length).map(|index| (index % 251) as u8).collect(),
            _ => panic!("{}: plaintext or plaintext_len", vector.title),
        };
        let fresh = Fresh {
            salt: unhex(&vector.salt).try_into().unwrap(),
            nonce: unhex(&vector.nonce).try_into().unwrap(),
        };
        let (name, label) = (&vector.function, &vector.label);
        let sealed = seal_with(&key(), name, label, &plaintext, vector.time, fresh).unwrap();
        let header = Header::parse(&sealed).unwrap();
        assert_eq!(
            hex(&header.commitment),
            vector.commitment,
            "{}",
            vector.title
        );
        match (vector.sealed, vector.sealed_sha256) {
            (Some(expected), None) => assert_eq!(hex(&sealed), expected, "{}", vector.title),
            (None, Some(expected)) => {
                assert_eq!(hex(&Sha256::digest(&sealed)), expected, "{}", vector.title);
            }
            _ => panic!("{}: sealed or sealed_sha256", vector.title),
        }
        let opened = open(&key(), name, label, &sealed).unwrap();
        assert!(*opened == plaintext, "{}", vector.title);
    }
}

#[test]
fn every_bad_vector_is_refused_for_its_reason() {
    for vector in vectors().refused {
        let opened = open(
            &key(),
            &vector.function,
            &vector.label,
            &unhex(&vector.sealed),
        );
        let reason = match opened.err() {
            None => "opened",
            Some(FormatError::NotSealed) => "not-sealed",
            Some(FormatError::Version { .. }) => "version",
            Some(FormatError::Truncated { .. }) => "truncated",
            Some(FormatError::Trailing { .. }) => "trailing",
            Some(FormatError::Header(_)) => "header",
            Some(FormatError::Corrupt { .. }) => "corrupt",
            Some(FormatError::WrongKey(_)) => "wrong-key",
            Some(FormatError::WrongName { .. }) => "wrong-name",
            Some(other) => panic!("{}: {other}", vector.title),
        };
        assert_eq!(reason, vector.reason, "{}", vector.title);
    }
}
