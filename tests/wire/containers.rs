//! Stands in for faas-cli and what it deploys to: a container is a process behind the real gate, in a mount
//! and a network namespace of its own.
use std::{
    env, fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    thread,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::check::{During as _, Outcome};

/// Port on which a container's program listens, in its own network namespace.
pub(crate) const UPSTREAM_PORT: u16 = 5000;
/// Letters and digits in an unlocked container's name between the function's and the slot.
const SUFFIX_LEN: usize = 9;
/// Set for the container's program, which is this one, to its name.
const CONTAINER: &str = "RSFAAS_WIRE_CONTAINER";

/// `deploy --yaml FILE` and `remove NAME`, as far as the agent uses them. A container's files are
/// `NAME.pid` in the folder; a process that has its number by accident is left alone. When a deployment has begun and
/// when it has ended stands in `deployments`. While there is a file `slow` nothing is removed, for half a minute at most.
const FAAS_CLI: &str = r#"#!/bin/sh
folder=@FOLDER@
ours() {
    tr '\0' '\n' 2>/dev/null <"/proc/$1/environ" | grep -qx "RSFAAS_WIRE_CONTAINER=$2"
}
case $1 in
deploy)
    name=$(sed -n '/^functions:/{n;s/^ *\(.*\):.*/\1/p}' "$3")
    echo "$name begun" >>"$folder/deployments"
    RSFAAS_PARK_TOKEN=$(sed -n 's/^ *RSFAAS_PARK_TOKEN: *//p' "$3")
    RSFAAS_HANDLER_DIR=$(sed -n 's/^ *RSFAAS_HANDLER_DIR: *//p' "$3")
    RSFAAS_WIRE_CONTAINER=$name
    export RSFAAS_PARK_TOKEN RSFAAS_HANDLER_DIR RSFAAS_WIRE_CONTAINER
    setsid unshare --mount --net @GATE@ @PROGRAM@ </dev/null >/dev/null 2>&1 &
    echo $! >"$folder/$name.pid"
    echo "$name ended" >>"$folder/deployments"
    ;;
remove)
    n=0
    while [ -e "$folder/slow" ] && [ $n -lt 300 ]; do sleep 0.1; n=$((n + 1)); done
    pid=$(cat "$folder/$2.pid" 2>/dev/null) || { echo "No existing function to remove" >&2; exit 1; }
    rm "$folder/$2.pid"
    if ours "$pid" "$2"; then kill -KILL "$pid"; fi
    ;;
esac
"#;

/// Where a request for a name goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Routed {
    Locked,
    Unlocked,
    /// To a container that is no longer there.
    Gone,
    Unknown,
}

/// The containers of this host.
#[derive(Clone)]
pub(crate) struct Containers {
    folder: PathBuf,
    functions: Vec<&'static str>,
}

impl Containers {
    /// Prepares a folder; `functions` are those that are deployed in locked form.
    pub(crate) fn new(folder: &Path, functions: &[&'static str]) -> Outcome<Self> {
        let gate = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/artifacts/gate");
        let gate = gate
            .canonicalize()
            .during("target/artifacts/gate; run `cargo xtask test bpf`")?;
        let program = env::current_exe()?;
        let script = FAAS_CLI
            .replace("@FOLDER@", &folder.display().to_string())
            .replace("@GATE@", &gate.display().to_string())
            .replace("@PROGRAM@", &program.display().to_string());
        let containers = Self {
            folder: folder.to_owned(),
            functions: functions.to_vec(),
        };
        fs::create_dir_all(containers.handler_dir())?;
        fs::write(containers.faas_cli(), script)?;
        fs::set_permissions(containers.faas_cli(), fs::Permissions::from_mode(0o755))?;
        Ok(containers)
    }

    /// The program that deploys and removes.
    pub(crate) fn faas_cli(&self) -> PathBuf {
        self.folder.join("faas-cli")
    }

    /// The handler folder, which in each container is another one.
    pub(crate) fn handler_dir(&self) -> PathBuf {
        self.folder.join("function")
    }

    pub(crate) fn route(&self, name: &str) -> Routed {
        if self.functions.contains(&name) {
            return Routed::Locked;
        }
        let unlocked = self.functions.iter().any(|function| {
            name.strip_prefix(function)
                .and_then(|rest| rest.strip_prefix('-'))
                .is_some_and(is_suffix_and_slot)
        });
        match (unlocked, self.process(name)) {
            (false, _) => Routed::Unknown,
            (true, Some(_)) => Routed::Unlocked,
            (true, None) => Routed::Gone,
        }
    }

    /// Beginnings and ends of a function's deployments so far, in their order; `true` for a beginning.
    pub(crate) fn deployments(&self, function: &str) -> Outcome<Vec<bool>> {
        let text = fs::read_to_string(self.folder.join("deployments"))?;
        let prefix = format!("{function}-");
        let lines = text.lines().filter(|line| line.starts_with(&prefix));
        Ok(lines.map(|line| line.ends_with("begun")).collect())
    }

    /// A container's process, where it runs.
    fn process(&self, name: &str) -> Option<Pid> {
        let text = fs::read_to_string(self.folder.join(format!("{name}.pid"))).ok()?;
        let environ = fs::read(format!("/proc/{}/environ", text.trim())).ok()?;
        let wanted = format!("{CONTAINER}={name}");
        environ
            .split(|byte| *byte == 0)
            .any(|variable| variable == wanted.as_bytes())
            .then(|| text.trim().parse().ok().map(Pid::from_raw))?
    }

    /// Runs something while the removal of containers does not come to an end.
    pub(crate) fn while_removals_hang<T>(&self, work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
        let slow = self.folder.join("slow");
        fs::write(&slow, "")?;
        let done = work();
        fs::remove_file(slow)?;
        done
    }

    /// Whether any runs.
    pub(crate) fn any_runs(&self) -> Outcome<bool> {
        Ok(!self.running()?.is_empty())
    }

    /// Ends what an agent that was killed has left running.
    pub(crate) fn clear(&self) -> Outcome {
        for process in self.running()? {
            kill(process, Signal::SIGKILL)?;
        }
        Ok(())
    }

    fn running(&self) -> Outcome<Vec<Pid>> {
        let mut running = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let file = entry?.file_name();
            let file = file.to_string_lossy();
            running.extend(
                file.strip_suffix(".pid")
                    .and_then(|name| self.process(name)),
            );
        }
        Ok(running)
    }
}

fn is_suffix_and_slot(text: &str) -> bool {
    text.split_once('-')
        .is_some_and(|(suffix, slot)| suffix.len() == SUFFIX_LEN && slot.parse::<u32>().is_ok())
}

/// What runs behind the gate: listens, and does nothing more. `false` where this process is none.
pub(crate) fn be_container() -> Outcome<bool> {
    if env::var_os(CONTAINER).is_none() {
        return Ok(false);
    }
    let listener = TcpListener::bind(("0.0.0.0", UPSTREAM_PORT))?;
    loop {
        // Nobody calls: the gateway of these tests answers by itself.
        if listener.accept().is_err() {
            thread::yield_now();
        }
    }
}
