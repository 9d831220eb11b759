//! Sealing and unsealing a folder, and what an interruption leaves.
use std::os::unix::fs::{PermissionsExt as _, chown};

use super::*;
use crate::little_memory::with_little_memory;

const SOURCE: &str = "def handle(req): return 'canary-5b1f'\n";

fn handler() -> (tempfile::TempDir, Key) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir_all(root.join("pkg/__pycache__")).unwrap();
    fs::write(root.join("handler.py"), SOURCE).unwrap();
    fs::write(root.join("pkg/more.py"), SOURCE).unwrap();
    fs::write(root.join("pkg/__pycache__/more.pyc"), SOURCE).unwrap();
    fs::write(root.join("requirements.txt"), "requests\n").unwrap();
    (folder, Key::generate().unwrap())
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn seal(folder: &Path, key: &Key) -> Outcome {
    seal_folder(folder, "pydict", key, 1).unwrap().outcome
}

fn unseal(folder: &Path, name: &str, key: &Key) -> Result<Outcome, FolderError> {
    let outcome = place_plain(folder, name, key, &|_| false)?;
    remove_sealed(folder)?;
    Ok(outcome)
}

#[test]
fn sealing_leaves_the_manifest_and_ciphertext_alone() {
    let (folder, key) = handler();
    let report = seal_folder(folder.path(), "pydict", &key, 1).unwrap();
    assert_eq!(report.outcome, Outcome::Done);
    assert_eq!(report.key_id, key.id());
    assert_eq!(report.manifests, [Path::new("requirements.txt")]);
    assert_eq!(names(folder.path()), ["handler.sealed", "requirements.txt"]);
    let sealed = fs::read(folder.path().join("handler.sealed")).unwrap();
    assert!(!sealed.windows(11).any(|window| window == b"canary-5b1f"));
}

#[test]
fn unsealing_gives_everything_back_but_caches() {
    let (folder, key) = handler();
    seal(folder.path(), &key);
    assert_eq!(
        unseal(folder.path(), "pydict", &key).unwrap(),
        Outcome::Done
    );
    assert_eq!(
        names(folder.path()),
        ["handler.py", "pkg", "requirements.txt"]
    );
    assert_eq!(names(&folder.path().join("pkg")), ["more.py"]);
    assert_eq!(
        fs::read_to_string(folder.path().join("handler.py")).unwrap(),
        SOURCE
    );
}

#[test]
fn what_is_left_out_stays_while_sealing_and_unsealing() {
    let (folder, key) = handler();
    let root = folder.path();
    fs::create_dir_all(root.join("node_modules/lib")).unwrap();
    std::os::unix::fs::symlink("/usr/lib/x", root.join("node_modules/linked")).unwrap();
    for path in ["node_modules/lib/index.js", "pkg/run.log"] {
        fs::write(root.join(path), "kept").unwrap();
    }
    let left_out = |path: &Path| {
        path.starts_with("node_modules") || path.extension().is_some_and(|it| it == "log")
    };
    for outcome in [Outcome::Done, Outcome::Already] {
        let mut report = seal_built(root, "f", &key, 1, None, &left_out).unwrap();
        assert_eq!(report.outcome, outcome);
        report.left_out.sort();
        let log = match outcome {
            Outcome::Done => "pkg/run.log",
            _ => "pkg",
        };
        assert_eq!(report.left_out, ["node_modules", log].map(PathBuf::from));
        let expected = ["handler.sealed", "node_modules", "pkg", "requirements.txt"];
        assert_eq!(names(root), expected);
        assert_eq!(names(&root.join("pkg")), ["run.log"]);
    }
    let archive = SealedFile::in_folder(root).open(&key, "f").unwrap();
    let paths: Vec<_> = archive.entries().map(|entry| entry.path).collect();
    assert_eq!(paths, ["handler.py", "pkg", "pkg/more.py"].map(Path::new));
    let outcome = place_plain(root, "f", &key, &left_out).unwrap();
    assert_eq!(outcome, Outcome::Done);
    assert_eq!(names(&root.join("pkg")), ["more.py", "run.log"]);
    assert_eq!(names(&root.join("node_modules")), ["lib", "linked"]);
}

#[test]
fn sealing_again_changes_nothing_and_needs_no_right_key() {
    let (folder, key) = handler();
    seal(folder.path(), &key);
    let before = fs::read(folder.path().join("handler.sealed")).unwrap();
    let report = seal_folder(folder.path(), "pydict", &Key::generate().unwrap(), 2).unwrap();
    assert_eq!(
        (report.outcome, report.key_id),
        (Outcome::Already, key.id())
    );
    assert_eq!(
        fs::read(folder.path().join("handler.sealed")).unwrap(),
        before
    );
}

#[test]
fn sealing_interrupted_before_the_file_has_its_name_starts_afresh() {
    let (folder, key) = handler();
    fs::write(folder.path().join(".rsfaas-tmp.abc"), "half a ciphertext").unwrap();
    assert_eq!(seal(folder.path(), &key), Outcome::Done);
    assert_eq!(names(folder.path()), ["handler.sealed", "requirements.txt"]);
}

#[test]
fn sealing_interrupted_among_the_removals_is_completed() {
    let (folder, key) = handler();
    let archive = Survey::of(folder.path()).unwrap().read().unwrap();
    SealedFile::in_folder(folder.path())
        .store(&key, "pydict", &archive, 1)
        .unwrap();
    fs::remove_file(folder.path().join("handler.py")).unwrap();
    assert_eq!(seal(folder.path(), &key), Outcome::Completed);
    assert_eq!(names(folder.path()), ["handler.sealed", "requirements.txt"]);
    assert_eq!(
        unseal(folder.path(), "pydict", &key).unwrap(),
        Outcome::Done
    );
    assert_eq!(
        fs::read_to_string(folder.path().join("handler.py")).unwrap(),
        SOURCE
    );
}

#[test]
fn plain_files_that_differ_from_the_sealed_ones_are_never_removed() {
    let (folder, key) = handler();
    seal(folder.path(), &key);
    for (name, content) in [("handler.py", "edited"), ("new.py", SOURCE)] {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let error = seal_folder(folder.path(), "pydict", &key, 2).unwrap_err();
        assert!(matches!(&error, FolderError::Differs { path: found } if *found == path));
        let error = unseal(folder.path(), "pydict", &key).unwrap_err();
        assert!(matches!(&error, FolderError::Differs { path: found } if *found == path));
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_wrong_key_completes_nothing() {
    let (folder, key) = handler();
    let archive = Survey::of(folder.path()).unwrap().read().unwrap();
    SealedFile::in_folder(folder.path())
        .store(&key, "pydict", &archive, 1)
        .unwrap();
    let other = Key::generate().unwrap();
    assert!(seal_folder(folder.path(), "pydict", &other, 2).is_err());
    assert!(unseal(folder.path(), "pydict", &other).is_err());
    assert_eq!(
        fs::read_to_string(folder.path().join("handler.py")).unwrap(),
        SOURCE
    );
}

#[test]
fn unsealing_interrupted_half_way_is_completed() {
    let (folder, key) = handler();
    seal(folder.path(), &key);
    fs::create_dir(folder.path().join(".rsfaas-tmp.xyz")).unwrap();
    fs::write(folder.path().join(".rsfaas-tmp.xyz/handler.py"), SOURCE).unwrap();
    fs::create_dir(folder.path().join("pkg")).unwrap();
    assert_eq!(
        unseal(folder.path(), "pydict", &key).unwrap(),
        Outcome::Completed
    );
    assert_eq!(
        names(folder.path()),
        ["handler.py", "pkg", "requirements.txt"]
    );
    assert_eq!(
        unseal(folder.path(), "pydict", &key).unwrap(),
        Outcome::Already
    );
}

#[test]
fn folders_that_an_interrupted_unsealing_has_made_get_their_modes_and_owner() {
    let (folder, key) = handler();
    let pkg = folder.path().join("pkg");
    let set_mode = |mode| fs::set_permissions(&pkg, fs::Permissions::from_mode(mode)).unwrap();
    set_mode(0o751);
    seal(folder.path(), &key);
    fs::create_dir(&pkg).unwrap();
    set_mode(0o700);
    let is_root = nix::unistd::geteuid().is_root();
    if is_root {
        chown(folder.path(), Some(1234), Some(1235)).unwrap();
    }
    unseal(folder.path(), "pydict", &key).unwrap();
    let status = fs::metadata(&pkg).unwrap();
    assert_eq!(status.mode() & 0o777, 0o751);
    assert!(!is_root || (status.uid(), status.gid()) == (1234, 1235));
}

#[test]
fn plaintext_left_by_an_interrupted_unsealing_is_removed_by_sealing() {
    let (folder, key) = handler();
    seal(folder.path(), &key);
    fs::create_dir(folder.path().join(".rsfaas-tmp.xyz")).unwrap();
    fs::write(folder.path().join(".rsfaas-tmp.xyz/handler.py"), SOURCE).unwrap();
    assert_eq!(seal(folder.path(), &key), Outcome::Completed);
    assert_eq!(names(folder.path()), ["handler.sealed", "requirements.txt"]);
}

#[test]
fn history_is_left_and_told() {
    let (folder, key) = handler();
    fs::create_dir(folder.path().join(".git")).unwrap();
    let report = seal_folder(folder.path(), "pydict", &key, 1).unwrap();
    assert_eq!(report.history.as_deref(), Some(Path::new(".git")));
    assert!(folder.path().join(".git").exists());
}

#[test]
fn a_folder_with_nothing_but_manifests_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("requirements.txt"), "").unwrap();
    let key = Key::generate().unwrap();
    let error = seal_folder(folder.path(), "pydict", &key, 1).unwrap_err();
    assert!(matches!(error, FolderError::Empty { .. }));
    let error = unseal(folder.path(), "pydict", &key).unwrap_err();
    assert!(matches!(error, FolderError::NotSealed { .. }));
}

#[test]
fn a_link_out_of_the_folder_stops_sealing_before_anything_is_written() {
    let (folder, key) = handler();
    std::os::unix::fs::symlink("/etc/hostname", folder.path().join("out")).unwrap();
    assert!(seal_folder(folder.path(), "pydict", &key, 1).is_err());
    assert!(!folder.path().join("handler.sealed").exists());
    assert_eq!(
        fs::read_to_string(folder.path().join("handler.py")).unwrap(),
        SOURCE
    );
}

#[test]
fn what_the_agent_is_writing_is_no_leftover() {
    let (folder, key) = handler();
    let sealed = SealedFile::in_folder(folder.path());
    seal(folder.path(), &key);
    let writing = replace::Beside::new(sealed.path(), 0o644).unwrap();
    fs::write(folder.path().join("handler.py"), SOURCE).unwrap();
    assert_eq!(seal(folder.path(), &key), Outcome::Completed);
    assert_eq!(
        place_plain(folder.path(), "pydict", &key, &|_| false).unwrap(),
        Outcome::Done
    );
    let is_left = |name: &String| name.starts_with(replace::TEMP_PREFIX);
    assert!(names(folder.path()).iter().any(is_left));
    drop(writing);
    assert!(!names(folder.path()).iter().any(is_left));
}

#[test]
fn on_a_full_disk_the_plain_files_stay_and_nothing_is_left_beside_them() {
    with_little_memory("64k", |folder| {
        fs::write(folder.join("handler.py"), [b'x'; 40 << 10]).unwrap();
        let error = seal_folder(folder, "f", &Key::generate().unwrap(), 1).unwrap_err();
        let FolderError::File(FileError::Io { source, .. }) = error else {
            panic!("{error}");
        };
        assert_eq!(source.kind(), io::ErrorKind::StorageFull);
        assert_eq!(names(folder), ["handler.py"]);
    });
}
