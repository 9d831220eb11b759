//! Containers outlive an engine that was killed: each has a process of containerd's, its shim, as parent, which
//! waits for the next containerd. Where none will come both have to be ended.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::record::{self, Record};
use crate::error::{At as _, Error};

const PROCESSES: &str = "/proc";
/// What the name of a shim's program starts with; the rest tells its version.
const PROGRAM: &str = "containerd-shim";
/// For hangs only: nothing outlasts its being killed for long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Kills the shims of the containerd that listens on a socket, and what runs in their containers; says how many
/// shims there were.
pub(super) fn end(address: &str) -> Result<usize, Error> {
    let all = processes()?;
    let shims: Vec<i32> = all
        .iter()
        .copied()
        .filter(|pid| {
            fs::read(format!("{PROCESSES}/{pid}/cmdline")).is_ok_and(|line| is_shim(&line, address))
        })
        .collect();
    // With the first process of a container the kernel ends the others of its namespace.
    let ended: Vec<Record> = all
        .into_iter()
        .filter(|pid| {
            shims.contains(pid) || record::parent(*pid).is_some_and(|it| shims.contains(&it))
        })
        .map(|pid| Record::new(pid, ""))
        .collect();
    for process in &ended {
        match kill(Pid::from_raw(process.pid), Signal::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(problem(format!("{} cannot be ended: {error}", process.pid))),
        }
    }
    let start = Instant::now();
    while let Some(process) = ended.iter().find(|process| process.runs()) {
        if start.elapsed() > PATIENCE {
            return Err(problem(format!("{} does not end", process.pid)));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(shims.len())
}

fn problem(what: String) -> Error {
    Error::Part {
        part: "containers that Docker Engine has left",
        problem: format!("process {what}"),
    }
}

fn processes() -> Result<Vec<i32>, Error> {
    let mut processes = Vec::new();
    for entry in fs::read_dir(PROCESSES).at(PROCESSES)? {
        let name = entry.at(PROCESSES)?.file_name();
        processes.extend(name.to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    Ok(processes)
}

/// Whether that is the text of `/proc/PID/cmdline` of a shim that reports to this address.
fn is_shim(line: &[u8], address: &str) -> bool {
    let arguments: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    let is_program = str::from_utf8(arguments[0])
        .ok()
        .and_then(|program| Path::new(program).file_name()?.to_str())
        .is_some_and(|name| name.starts_with(PROGRAM));
    is_program
        && arguments
            .windows(2)
            .any(|pair| pair == [b"-address", address.as_bytes()])
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader},
        os::unix::process::CommandExt as _,
        process::{Child, Command, Stdio},
    };

    use super::*;

    /// What looks like a shim, and the number of the process in its container.
    fn shim(address: &str) -> (Child, Record) {
        let mut child = Command::new("sh")
            .arg0("/usr/bin/containerd-shim-runc-v2")
            .args(["-c", "sleep 60 >&2 & echo $!; wait", "-address", address])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let pid: i32 = line.trim().parse().unwrap();
        // Until it has become another program it looks like its parent.
        let start = Instant::now();
        while fs::read(format!("{PROCESSES}/{pid}/cmdline")).unwrap()[..] != *b"sleep\x0060\0" {
            assert!(start.elapsed() < PATIENCE, "it stays a shim");
            thread::sleep(Duration::from_millis(1));
        }
        (child, Record::new(pid, ""))
    }

    #[test]
    fn what_a_killed_engine_leaves_running_is_ended_and_that_of_others_is_not() {
        let address = format!("/run/xtask-shims-{}.sock", std::process::id());
        let (mut ours, function) = shim(&address);
        let (mut other, others_function) = shim(&format!("{address}.other"));
        assert_eq!(end(&address).unwrap(), 1);
        assert!(!function.runs() && others_function.runs());
        assert!(!ours.wait().unwrap().success());
        assert!(other.try_wait().unwrap().is_none(), "it was ended");
        assert_eq!(end(&format!("{address}.other")).unwrap(), 1);
        other.wait().unwrap();
        assert_eq!(end(&address).unwrap(), 0);
    }

    #[test]
    fn a_shim_is_known_by_its_program_and_its_address() {
        let line = b"/usr/bin/containerd-shim-runc-v2\0-id\0a\0-address\0/run/x.sock\0";
        assert!(is_shim(line, "/run/x.sock"));
        assert!(!is_shim(line, "/run/x"));
        assert!(!is_shim(
            b"/bin/grep\0-address\0/run/x.sock\0",
            "/run/x.sock"
        ));
        assert!(!is_shim(b"", "/run/x.sock"), "a thread of the kernel");
    }
}
