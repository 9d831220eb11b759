//! `agent` as a user starts it, as far as that takes no functions, and what other subcommands say of one that is not there.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test, a panic is the report"
)]
#[path = "support/server.rs"]
mod server;

use std::{
    fs::{self, File, Permissions},
    io::{BufRead as _, BufReader},
    os::unix::{fs::PermissionsExt as _, net::UnixListener, process::CommandExt as _},
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use nix::{
    sched::{CloneFlags, unshare},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::server::{answering, tell};

/// No agent answers on its control socket.
const NO_AGENT: i32 = 6;
/// The gateway cannot be reached, or refused.
const GATEWAY: i32 = 7;
/// The system does not permit it.
const PERMISSION: i32 = 9;
/// A user without rights: nobody.
const NOBODY: u32 = 65534;

/// A host for an agent.
struct Host(tempfile::TempDir);

impl Host {
    /// With a gateway at this address; further lines of the agent's configuration follow.
    fn new(gateway: &str, lines: &str) -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        // Others may go in.
        fs::set_permissions(host.0.path(), Permissions::from_mode(0o777)).unwrap();
        let text = format!(
            "gateway = {gateway:?}\nfaas_cli = \"/bin/true\"\nstate_dir = {:?}\ncontrol_socket = {:?}\n{lines}",
            host.path("state"),
            host.path("agent.sock"),
        );
        fs::write(host.path("agent.toml"), text).unwrap();
        host
    }

    /// Where no gateway answers.
    fn without_gateway(lines: &str) -> Self {
        Self::new("http://127.0.0.1:9", lines)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn rsfaas(&self, subcommand: &str) -> Command {
        self.program(env!("CARGO_BIN_EXE_rsfaas").into(), subcommand)
    }

    /// Run by a user without rights, who need not be let into this checkout.
    fn rsfaas_of_nobody(&self, subcommand: &str) -> Command {
        let copy = self.path("rsfaas");
        // By another process: a child that a test on another thread forks meanwhile would keep the file open for
        // writing, and nobody could run it.
        let copied = Command::new("cp")
            .arg(env!("CARGO_BIN_EXE_rsfaas"))
            .arg(&copy)
            .status();
        assert!(copied.unwrap().success());
        let mut command = self.program(copy, subcommand);
        command.uid(NOBODY).gid(NOBODY);
        command
    }

    fn program(&self, program: PathBuf, subcommand: &str) -> Command {
        let mut command = Command::new(program);
        command
            .arg(subcommand)
            .arg("--config")
            .arg(self.path("agent.toml"))
            .env("OPENFAAS_CONFIG", self.0.path())
            .env_remove("RUST_LOG")
            .current_dir("/");
        command
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs on a thread of its own in a network of its own: the agent would catch what others call on the host's.
fn apart<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    let apart = || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let up = Command::new("ip")
            .args(["link", "set", "lo", "up"])
            .status();
        assert!(up.unwrap().success());
        run()
    };
    thread::scope(|scope| scope.spawn(apart).join().unwrap())
}

fn signal(process: u32, signal: Signal) {
    kill(Pid::from_raw(process.try_into().unwrap()), signal).unwrap();
}

/// Kills a process that is not known to have ended after that time, by the drop of what is returned.
fn ended_within(limit: Duration, process: u32) -> mpsc::Sender<()> {
    let (ends, end) = mpsc::channel();
    thread::spawn(move || {
        if end.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
            signal(process, Signal::SIGKILL);
        }
    });
    ends
}

/// It warns of the gateway, which does not answer, before it gives up.
#[test]
fn an_agent_whose_log_cannot_be_written_ends_as_any_other() {
    let host = Host::without_gateway("");
    let full = File::options().write(true).open("/dev/full").unwrap();
    let ended = host.rsfaas("agent").stderr(full).status().unwrap();
    assert_eq!(ended.code(), Some(GATEWAY));
}

#[test]
fn an_interrupt_ends_the_agent_in_good_order_and_its_json_log_is_an_object_a_line() {
    let mut log = Vec::new();
    let ended = apart(|| {
        let gateway = answering(tell("200 OK", "[]"));
        let host = Host::new(&format!("http://{gateway}"), "log = \"json\"\n");
        let mut agent = host.rsfaas("agent").stderr(Stdio::piped()).spawn().unwrap();
        let ends = ended_within(Duration::from_secs(60), agent.id());
        for line in BufReader::new(agent.stderr.take().unwrap()).lines() {
            let line = line.unwrap();
            if line.contains("the agent runs") {
                signal(agent.id(), Signal::SIGINT);
            }
            log.push(line);
        }
        drop(ends);
        agent.wait().unwrap()
    });
    assert_eq!(ended.code(), Some(0), "{log:#?}");
    let messages: Vec<String> = log.iter().map(|line| message(line)).collect();
    let last = messages.last().map(String::as_str);
    assert_eq!(last, Some("stopped"), "{log:#?}");
}

#[test]
fn what_ends_the_agent_is_an_object_of_its_json_log_too() {
    let host = Host::without_gateway("log = \"json\"\n");
    let output = host.rsfaas("agent").output().unwrap();
    assert_eq!(output.status.code(), Some(GATEWAY));
    let said = said(&output);
    let messages: Vec<String> = said.lines().map(message).collect();
    let last = messages.last().unwrap();
    assert!(
        last.contains("the gateway http://127.0.0.1:9 does not answer"),
        "{said}"
    );
}

/// The message of a line of a log in JSON.
fn message(line: &str) -> String {
    let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert!(
        event["timestamp"].is_string() && event["level"].is_string(),
        "{line}"
    );
    event["fields"]["message"].as_str().unwrap().to_owned()
}

#[test]
fn an_agent_that_may_not_load_programs_says_who_may() {
    let gateway = answering(tell("200 OK", "[]"));
    let host = Host::new(&format!("http://{gateway}"), "");
    let output = host.rsfaas_of_nobody("agent").output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(PERMISSION), "{said}");
    let told = said.lines().last().unwrap();
    assert!(
        told.starts_with("error: not permitted to load eBPF programs "),
        "{said}"
    );
    assert!(
        told.contains("run the agent as root; deploy/rsfaas-agent.service lists"),
        "{said}"
    );
}

#[test]
fn an_agent_that_may_not_keep_its_state_is_to_be_run_as_root() {
    let host = Host::without_gateway("");
    fs::create_dir(host.path("state")).unwrap();
    fs::set_permissions(host.path("state"), Permissions::from_mode(0o700)).unwrap();
    let output = host.rsfaas_of_nobody("agent").output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(PERMISSION), "{said}");
    assert!(
        said.contains("/state") && said.ends_with("; run it as root (sudo)\n"),
        "{said}"
    );
}

#[test]
fn a_status_without_an_agent_says_how_to_start_one() {
    let host = Host::without_gateway("");
    let asked = || {
        let output = host.rsfaas("status").output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(NO_AGENT), "{said}");
        assert!(output.stdout.is_empty());
        let socket = host.path("agent.sock").display().to_string();
        assert!(
            said.starts_with(&format!("error: no agent answers on {socket} ("))
                && said.contains(
                    "; start it: `systemctl start rsfaas-agent` (why it does not run: `journalctl"
                )
                && said.ends_with(", or `rsfaas agent` where there is no unit\n"),
            "{said}"
        );
    };
    asked();
    // As an agent that was killed has left it.
    drop(UnixListener::bind(host.path("agent.sock")).unwrap());
    asked();
}

#[test]
fn who_may_not_talk_to_the_agent_is_told_who_may() {
    let host = Host::without_gateway("");
    let socket = host.path("agent.sock");
    let _agent = UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, Permissions::from_mode(0o600)).unwrap();
    for subcommand in ["status", "lock"] {
        let mut command = host.rsfaas_of_nobody(subcommand);
        if subcommand == "lock" {
            command.arg("--all");
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(PERMISSION));
        assert_eq!(
            said(&output),
            format!(
                "error: not permitted to talk to the agent on {}; run it as root (sudo)\n",
                socket.display()
            )
        );
    }
}
