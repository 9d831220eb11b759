//! Where memory goes that is swapped: files and partitions.
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use crate::canary::{Place, Scan, Unsearchable};

const SWAPS: &str = "/proc/swaps";

/// Every swap file and partition that is in use.
#[derive(Debug, Clone, Copy)]
pub struct Swap;

impl Place for Swap {
    fn name(&self) -> &'static str {
        "swap"
    }

    fn is_absent(&self) -> Option<String> {
        let none = fs::read_to_string(SWAPS).is_ok_and(|text| paths(&text).is_empty());
        none.then(|| "swap is off".into())
    }

    fn search(&self, scan: &mut Scan<'_>) -> Result<(), Unsearchable> {
        let text = fs::read_to_string(SWAPS).map_err(Unsearchable::at(SWAPS))?;
        for path in paths(&text) {
            scan.item();
            let name = path.display().to_string();
            let searched = open(&path).and_then(|file| scan.stream(&name, 0, file));
            if let Err(error) = searched {
                scan.failed(&Unsearchable::new(name, error));
            }
        }
        Ok(())
    }
}

/// As it is now: the kernel swaps past its own cache of the file, where what an earlier search has read may still be.
fn open(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    Ok(file)
}

/// The paths in the text of `/proc/swaps` (proc_swaps(5)).
fn paths(text: &str) -> Vec<PathBuf> {
    text.lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .map(|path| path.replace("\\040", " ").into())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_partitions_in_use_are_found() {
        let text = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n\
            /dev/vda2                               partition\t1048572\t\t0\t\t-2\n\
            /my\\040swap                             file\t\t1024\t\t0\t\t-3\n";
        assert_eq!(
            paths(text),
            [PathBuf::from("/dev/vda2"), PathBuf::from("/my swap")]
        );
    }
}
