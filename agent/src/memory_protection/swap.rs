//! Swap: what of the host's memory may go to a disk.
use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

const SWAPS: &str = "/proc/swaps";

/// Where the host swaps to, and what the agent does about it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swap {
    /// Files and devices on disks; empty where swap is off, or in memory.
    pub places: Vec<String>,
    /// Whether the agent's own memory is kept out of them.
    pub agent_is_locked: bool,
}

impl Swap {
    /// Reads what swap there is now.
    pub(crate) fn read(agent_is_locked: bool) -> Self {
        // A kernel without swap has no such file.
        let text = fs::read_to_string(SWAPS).unwrap_or_default();
        Self {
            places: places(&text),
            agent_is_locked,
        }
    }

    /// Tells what may be swapped.
    pub(crate) fn warn(&self) {
        if self.places.is_empty() {
            return;
        }
        tracing::warn!(
            places = self.places.join(" "),
            agent = if self.agent_is_locked {
                "never"
            } else {
                "may be"
            },
            "swap is on: the memory of unlocked functions may go there, but for those whose parked containers \
             `rsfaas status` marks `unswapped`"
        );
    }
}

/// The files and devices in the text of `/proc/swaps` (proc_swaps(5)), but for compressed memory.
fn places(text: &str) -> Vec<String> {
    text.lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .filter(|path| {
            let name = Path::new(path).file_name().unwrap_or_default();
            !name.to_string_lossy().starts_with("zram")
        })
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swap_on_disks_counts_and_swap_in_memory_does_not() {
        let text = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n\
            /dev/zram0                              partition\t8388604\t\t0\t\t100\n\
            /dev/vda2                               partition\t1048572\t\t0\t\t-2\n";
        assert_eq!(places(text), ["/dev/vda2"]);
        assert!(places("").is_empty());
    }
}
