//! The gate as process 1 of namespaces of its own. Needs root.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a step that fails is a test that fails"
)]

use std::{
    fs,
    io::Read as _,
    os::unix::fs::symlink,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rsfaas_shim::{HANDLER_DIR, PARK_TOKEN};
use tempfile::TempDir;

const GATE: &str = env!("CARGO_BIN_EXE_gate");

struct Gate {
    folder: TempDir,
    unshare: Child,
    /// The container's first process, as the host counts.
    first: String,
    /// The one that waits.
    pid: String,
}

impl Gate {
    /// Starts the gate and returns once it waits.
    fn waiting(command: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let handler = folder.path().join("function");
        fs::create_dir(&handler).unwrap();
        fs::create_dir(folder.path().join("prepared")).unwrap();
        let unshare = Command::new("unshare")
            .args([
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
                GATE,
            ])
            .args(command)
            .current_dir(&handler)
            .env(PARK_TOKEN, "0")
            .env(HANDLER_DIR, &handler)
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare (util-linux) is there");
        let (first, pid) = until(|| {
            let first = only_child(&unshare.id().to_string())?;
            if waits(&first) {
                return Some((first.clone(), first));
            }
            let child = only_child(&first)?;
            waits(&child).then_some((first, child))
        });
        Self {
            folder,
            unshare,
            first,
            pid,
        }
    }

    /// Mounts a folder that is complete already over the handler's.
    fn mount(&self, source: &str) {
        let script = r#"
            mount -t ramfs "$0" "$1/prepared"
            echo delivered > "$1/prepared/handler"
            mount --move "$1/prepared" "$1/function"
        "#;
        let status = Command::new("nsenter")
            .args([
                "--mount", "--target", &self.pid, "sh", "-ec", script, source,
            ])
            .arg(self.folder.path())
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Sends a signal to the first process, as a container engine does.
    fn signal(&self, name: &str) {
        assert!(
            Command::new("kill")
                .args(["-s", name, &self.first])
                .status()
                .unwrap()
                .success()
        );
    }

    fn end(mut self) -> (ExitStatus, String) {
        let mut output = String::new();
        self.unshare
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut output)
            .unwrap();
        (self.unshare.wait().unwrap(), output)
    }
}

fn only_child(pid: &str) -> Option<String> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    Some(children.trim().to_owned()).filter(|child| !child.is_empty())
}

/// Whether a process has its mount table open.
fn waits(pid: &str) -> bool {
    fs::read_dir(format!("/proc/{pid}/fd")).is_ok_and(|files| {
        files.flatten().any(|file| {
            fs::read_link(file.path()).is_ok_and(|target| target.ends_with("mountinfo"))
        })
    })
}

/// Asks until there is an answer; a test that never gets one fails.
fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "nothing came of it (needs root)"
        );
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn the_command_starts_with_the_delivered_files_around_it() {
    let gate = Gate::waiting(&["cat", "handler"]);
    gate.mount("rsfaas");
    let (status, output) = gate.end();
    assert!(status.success());
    assert_eq!(output, "delivered\n");
}

#[test]
fn the_command_does_not_see_the_gates_variables() {
    let gate = Gate::waiting(&["env"]);
    gate.mount("rsfaas");
    let (_, output) = gate.end();
    assert!(
        output.contains("PATH=") && !output.contains(PARK_TOKEN) && !output.contains(HANDLER_DIR),
        "{output}"
    );
}

#[test]
fn a_command_whose_image_has_the_handler_shows_the_token_to_whoever_has_to_kill_it() {
    let output = Command::new(GATE)
        .args(["cat", "/proc/self/environ"])
        .env(PARK_TOKEN, "0")
        .env(HANDLER_DIR, "")
        .output()
        .unwrap();
    let environ = String::from_utf8(output.stdout).unwrap();
    assert!(
        environ
            .split('\0')
            .any(|it| it == format!("{PARK_TOKEN}=0"))
            && !environ.contains(HANDLER_DIR),
        "{environ}"
    );
}

#[test]
fn the_first_process_stays_the_gate_and_the_command_is_another() {
    let gate = Gate::waiting(&["sh", "-c", "echo $PPID; cat /proc/1/comm"]);
    assert_ne!(gate.first, gate.pid);
    gate.mount("rsfaas");
    assert_eq!(gate.end().1, "1\ngate\n");
}

#[test]
fn a_command_that_wants_to_be_process_1_becomes_it() {
    let programs = TempDir::new().unwrap();
    let init = programs.path().join("init");
    symlink("/bin/sh", &init).unwrap();
    let gate = Gate::waiting(&[init.to_str().unwrap(), "-c", "echo $$"]);
    gate.mount("rsfaas");
    assert_eq!(gate.end().1, "1\n");
}

#[test]
fn the_container_ends_as_its_command_does() {
    for (command, code) in [("exit 7", 7), ("kill -9 $$", 137), ("kill -40 $$", 168)] {
        let gate = Gate::waiting(&["sh", "-c", command]);
        gate.mount("rsfaas");
        assert_eq!(gate.end().0.code(), Some(code), "{command}");
    }
}

#[test]
fn orphans_are_waited_for() {
    // Its parent ends before it, and leaves it to process 1; as a zombie it would stay in /proc for good.
    let orphan = "sh -c 'sleep 0.1 >/dev/null & echo $!'";
    let gone = "pid=$(ORPHAN); while [ -e /proc/$pid ]; do sleep 0.01; done; echo gone";
    let gate = Gate::waiting(&["sh", "-c", &gone.replace("ORPHAN", orphan)]);
    gate.mount("rsfaas");
    assert_eq!(gate.end().1, "gone\n");
}

#[test]
fn a_foreign_mount_does_not_open_the_gate() {
    let gate = Gate::waiting(&["cat", "handler"]);
    gate.mount("foreign");
    // Signals are looked at after the mount table: had the gate opened, this would find `cat` gone.
    gate.signal("TERM");
    let (status, output) = gate.end();
    assert_eq!((status.code(), output.as_str()), (Some(143), ""));
}

#[test]
fn a_signal_ends_the_wait_even_of_process_1() {
    for (name, code) in [("TERM", 143), ("INT", 130)] {
        let gate = Gate::waiting(&["true"]);
        gate.signal(name);
        assert_eq!(gate.end().0.code(), Some(code), "{name}");
    }
}

#[test]
fn the_command_gets_signals_again() {
    let gate = Gate::waiting(&[
        "sh",
        "-c",
        "trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done",
    ]);
    gate.mount("rsfaas");
    until(|| {
        let command = fs::read_to_string(format!("/proc/{}/comm", gate.pid)).ok()?;
        let caught = fs::read_to_string(format!("/proc/{}/status", gate.pid)).ok()?;
        let caught = caught
            .lines()
            .find_map(|line| line.strip_prefix("SigCgt:\t"))?;
        let traps = u64::from_str_radix(caught, 16).ok()? & 1 << 14 != 0;
        (command == "sh\n" && traps).then_some(())
    });
    gate.signal("TERM");
    assert_eq!(gate.end().0.code(), Some(7));
}

#[test]
fn no_signal_is_blocked_in_the_command_that_was_not_before() {
    let blocked = |status: &str| {
        let mask = status.lines().find_map(|it| it.strip_prefix("SigBlk:\t"));
        u64::from_str_radix(mask.unwrap(), 16).unwrap()
    };
    let before = blocked(&fs::read_to_string("/proc/thread-self/status").unwrap());
    // A shell might set its own.
    let gate = Gate::waiting(&["cat", "/proc/self/status"]);
    assert_ne!(gate.first, gate.pid);
    gate.mount("rsfaas");
    let (_, status) = gate.end();
    assert_eq!(blocked(&status), before);
}

#[test]
fn misuse_is_explained_and_has_its_own_codes() {
    let run = |arguments: &[&str], folder: Option<&str>| {
        let mut gate = Command::new(GATE);
        gate.args(arguments).env_remove(HANDLER_DIR);
        gate.envs(folder.map(|folder| (HANDLER_DIR, folder)));
        let output = gate.output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, text) = run(&[], Some("/"));
    assert_eq!(code, Some(64));
    assert!(text.contains("usage: gate COMMAND"), "{text}");
    let (code, text) = run(&["true"], None);
    assert_eq!(code, Some(78));
    assert!(text.contains(HANDLER_DIR), "{text}");
}

#[test]
fn a_command_that_somebody_is_writing_still_is_waited_for() {
    let folder = TempDir::new().unwrap();
    let command = folder.path().join("command");
    fs::copy("/bin/true", &command).unwrap();
    let written = fs::OpenOptions::new().write(true).open(&command).unwrap();
    let mut gate = Command::new(GATE)
        .arg(&command)
        .env(HANDLER_DIR, "")
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_millis(100));
    assert!(gate.try_wait().unwrap().is_none());
    drop(written);
    assert!(gate.wait().unwrap().success());
}

#[test]
fn a_command_that_is_not_there_is_named() {
    let gate = Gate::waiting(&["/no/such/command"]);
    gate.mount("rsfaas");
    assert_eq!(gate.end().0.code(), Some(127));
}
