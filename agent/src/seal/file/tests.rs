//! Sealed files: replaced whole or not at all.
use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
};

use nix::sys::stat::Mode;

use super::*;
use crate::{
    replace::power::{Found, Recorded},
    seal::archive::Survey,
};

fn sealed() -> (tempfile::TempDir, Key, SealedFile) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("handler.py"),
        "def handle(req): return req\n",
    )
    .unwrap();
    let archive = Survey::of(folder.path()).unwrap().read().unwrap();
    let (key, file) = (
        Key::generate().unwrap(),
        SealedFile::in_folder(folder.path()),
    );
    file.store(&key, "pydict", &archive, 1).unwrap();
    (folder, key, file)
}

#[test]
fn resealing_changes_the_bytes_and_keeps_content_mode_and_owner() {
    let (_folder, key, file) = sealed();
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o640)).unwrap();
    let before = file.read().unwrap();
    file.rekey(&key, &key, "pydict", 2).unwrap();
    let after = file.read().unwrap();
    assert_eq!(before.len(), after.len());
    assert_ne!(before[16..48], after[16..48], "salt");
    assert_eq!(file.header().unwrap().sealed_at(), 2);
    assert_eq!(fs::metadata(file.path()).unwrap().mode() & 0o777, 0o640);
    assert_eq!(file.open(&key, "pydict").unwrap().entries().len(), 1);
}

#[test]
fn after_the_key_has_changed_the_new_one_opens_and_the_old_one_does_not() {
    let (_folder, key, file) = sealed();
    let next = Key::generate().unwrap();
    file.rekey(&key, &next, "pydict", 2).unwrap();
    assert_eq!(file.header().unwrap().key_id(), next.id());
    assert_eq!(file.open(&next, "pydict").unwrap().entries().len(), 1);
    let refused = file.open(&key, "pydict").err();
    assert!(matches!(
        refused,
        Some(FileError::Format {
            source: FormatError::WrongKey(_),
            ..
        })
    ));
}

#[test]
fn what_is_no_file_is_refused_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = SealedFile::in_folder(folder.path());
    let key = Key::generate().unwrap();
    let refused = || {
        for error in [file.header().err(), file.open(&key, "pydict").err()] {
            let text = crate::chain::of(&error.unwrap());
            assert!(
                text.ends_with("handler.sealed: it is not a regular file"),
                "{text}"
            );
        }
    };
    symlink("/dev/null", file.path()).unwrap();
    refused();
    fs::remove_file(file.path()).unwrap();
    nix::unistd::mkfifo(file.path(), Mode::S_IRWXU).unwrap();
    refused();
}

#[test]
fn a_failed_resealing_leaves_the_file_and_nothing_beside_it() {
    let (folder, _key, file) = sealed();
    let before = file.read().unwrap();
    let other = Key::generate().unwrap();
    assert!(matches!(
        file.rekey(&other, &other, "pydict", 2),
        Err(FileError::Format { .. })
    ));
    assert_eq!(file.read().unwrap(), before);
    assert!(Survey::of(folder.path()).unwrap().leftovers.is_empty());
}

#[test]
fn the_header_of_a_file_cut_short_in_its_payload_is_still_told() {
    let (_folder, key, file) = sealed();
    let bytes = file.read().unwrap();
    fs::write(file.path(), &bytes[..200]).unwrap();
    assert_eq!(file.header().unwrap().key_id(), key.id());
    assert!(matches!(
        file.open(&key, "pydict").err(),
        Some(FileError::Format {
            source: FormatError::Truncated { .. },
            ..
        })
    ));
}

/// What may be found after a power failure while the handler is encrypted under `next`.
fn cut_off(file: &SealedFile, key: &Key, next: &Key) -> Recorded {
    let mut recorded = Recorded::default();
    let archive = file.open(key, "pydict").unwrap();
    file.store_by(&mut recorded, next, "pydict", &archive, 2)
        .unwrap();
    recorded
}

#[test]
fn whenever_the_power_goes_during_reencryption_exactly_one_key_opens_the_whole_handler() {
    let (_folder, key, file) = sealed();
    let next = Key::generate().unwrap();
    let old = file.read().unwrap();
    let before = file.open(&key, "pydict").unwrap();
    let found = cut_off(&file, &key, &next).found();
    assert_eq!(
        found.len(),
        2,
        "the old ciphertext and the new one, nothing else"
    );
    for found in found {
        let (content, right, other) = match found {
            Found::Old => (old.clone(), &key, &next),
            Found::New(content) => (content, &next, &key),
        };
        fs::write(file.path(), content).unwrap();
        let opened = file.open(right, "pydict").unwrap();
        assert_eq!(opened.as_tar(), before.as_tar());
        assert!(file.open(other, "pydict").is_err());
    }
}

#[test]
fn once_reencrypted_only_the_new_ciphertext_is_found() {
    let (_folder, key, file) = sealed();
    let next = Key::generate().unwrap();
    let found = cut_off(&file, &key, &next).found_at_the_end();
    let [Found::New(content)] = &found[..] else {
        panic!("{} may be found", found.len());
    };
    fs::write(file.path(), content).unwrap();
    assert!(file.open(&next, "pydict").is_ok());
}
