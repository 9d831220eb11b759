//! What there is to tell of a parked container.
use serde::{Deserialize, Serialize};

use super::mount::Parked;

/// A parked container, as `rsfaas status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedStatus {
    /// The container's OpenFaaS name.
    pub name: String,
    /// Its waiting process.
    pub pid: i32,
    /// Memory that the process alone has, in KiB, where the kernel tells.
    pub memory_kib: Option<u64>,
    /// Whether the container's memory is kept out of swap.
    #[serde(default)]
    pub unswapped: bool,
}

impl ParkedStatus {
    pub(super) fn of(name: &str, parked: &Parked) -> Self {
        Self {
            name: name.to_owned(),
            pid: parked.pid(),
            memory_kib: memory_kib(parked.pid()),
            unswapped: parked.is_unswapped(),
        }
    }
}

/// Memory that a process alone has (proc(5), `smaps_rollup`), where the kernel tells.
fn memory_kib(pid: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let of = |field: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(field))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    };
    Some(of("Private_Clean:")? + of("Private_Dirty:")?)
}
