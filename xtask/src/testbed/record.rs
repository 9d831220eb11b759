//! Which process a record stands for: its number alone may be another's by now.

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};

/// A process that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Its number.
    pub(super) pid: i32,
    /// Clock ticks from boot to its start (field 22 of `/proc/PID/stat`).
    pub(super) started: u64,
    /// Identifies the boot.
    boot: String,
    /// Stands for everything it was started with.
    pub(super) version: String,
}

impl Record {
    /// Of a process that runs now.
    pub(super) fn new(pid: i32, version: &str) -> Self {
        let started = start_time(pid).unwrap_or_default();
        Self {
            pid,
            started,
            boot: boot(),
            version: version.to_owned(),
        }
    }

    /// Reads one; `None` where there is none that makes sense.
    pub(super) fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// Writes it.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        fs::write(path, serde_json::to_vec(self)?)
    }

    /// Whether that very process still runs.
    pub(super) fn runs(&self) -> bool {
        self.boot == boot() && start_time(self.pid) == Some(self.started)
    }
}

/// Identifies the boot; empty where the kernel does not say, which fits itself.
pub(super) fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// When a process started; `None` where it does not run.
fn start_time(pid: i32) -> Option<u64> {
    Some(parse_stat(&read_stat(pid)?)?.1)
}

/// The parent of a process; `None` where it does not run.
pub(super) fn parent(pid: i32) -> Option<i32> {
    Some(parse_stat(&read_stat(pid)?)?.0)
}

fn read_stat(pid: i32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/stat")).ok()
}

/// The parent and the start time in the text of `/proc/PID/stat` (proc_pid_stat(5)); `None` for a process that
/// has ended and only waits for its parent to take note.
fn parse_stat(stat: &str) -> Option<(i32, u64)> {
    // The name, in parentheses, may itself hold spaces and parentheses.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    // Field 3 was the state; field 22 follows 17 others after the parent's.
    Some((fields.next()?.parse().ok()?, fields.nth(17)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parent_and_start_time_are_found_behind_an_odd_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 99 0";
        assert_eq!(parse_stat(stat), Some((1, 4711)));
    }

    #[test]
    fn an_ended_process_that_is_not_waited_for_does_not_run() {
        assert_eq!(
            parse_stat("7 (a) Z 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9"),
            None
        );
    }
}
