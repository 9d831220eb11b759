//! `open -o`, told to end while it writes.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rsfaas::seal::{folder::seal_built, key::Key};

/// Each is synced, so that it takes a while.
const FILES: usize = 300;

/// A folder with `f/handler.sealed` and its `key`.
fn sealed() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let (key, folder, file) = (
        Key::generate().unwrap(),
        root.path().join("f"),
        root.path().join("key"),
    );
    fs::create_dir(&folder).unwrap();
    for number in 0..FILES {
        fs::write(folder.join(format!("{number}.py")), "plain").unwrap();
    }
    seal_built(&folder, "f", &key, 1, None, &|_| false).unwrap();
    fs::write(&file, key.to_text().as_bytes()).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    root
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Waits until something holds, or the program has ended.
fn while_running(program: &mut Child, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while program.try_wait().unwrap().is_none() && !holds() {
        // For hangs only.
        assert!(start.elapsed() < Duration::from_secs(60), "it hangs");
        thread::sleep(Duration::from_micros(100));
    }
}

/// Wherever it is by then: with the first file, as a rule.
#[test]
fn a_signal_while_files_are_written_leaves_all_of_them_or_none() {
    let root = sealed();
    let before = names(root.path());
    for signal in [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
    ] {
        let mut open = Command::new("env")
            // Whoever runs the tests may ignore some of these.
            .arg("--default-signal=INT,TERM,HUP,QUIT")
            .arg(env!("CARGO_BIN_EXE_rsfaas"))
            .args(["open", "f/handler.sealed", "--key-file", "key", "-o", "out"])
            .current_dir(root.path())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while_running(&mut open, || names(root.path()) != before);
        if open.try_wait().unwrap().is_none() {
            kill(Pid::from_raw(open.id().cast_signed()), signal).unwrap();
        }
        while_running(&mut open, || false);
        let mut left = names(root.path());
        if let Some(place) = left.iter().position(|name| name == "out") {
            left.remove(place);
            let out = root.path().join("out");
            assert_eq!(names(&out).len(), FILES, "after {signal}");
            fs::remove_dir_all(out).unwrap();
        }
        assert_eq!(left, before, "after {signal}");
    }
}
