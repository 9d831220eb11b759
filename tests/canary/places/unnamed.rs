//! Files that have no name any more, and live for as long as a process has them open: no folder shows them.
use std::{collections::BTreeSet, fs, fs::File, io, os::unix::fs::MetadataExt as _, path::Path};

use nix::libc;

use super::process;
use crate::canary::{Place, Scan, Unsearchable};

/// The deleted files that processes have open, but for this one's.
#[derive(Debug, Clone, Copy)]
pub struct UnnamedFiles;

impl Place for UnnamedFiles {
    fn name(&self) -> &'static str {
        "deleted files that are open"
    }

    fn search(&self, scan: &mut Scan<'_>) -> Result<(), Unsearchable> {
        let mut seen = BTreeSet::new();
        let all = process::all()?;
        for process in process::others(&all) {
            let folder = format!("/proc/{}/fd", process.pid);
            if let Err(error) = search_files(scan, Path::new(&folder), &mut seen)
                && !process::is_over(&error)
            {
                scan.failed(&Unsearchable::new(folder, error));
            }
        }
        Ok(())
    }
}

fn search_files(
    scan: &mut Scan<'_>,
    folder: &Path,
    seen: &mut BTreeSet<(u64, u64)>,
) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        // Closed meanwhile, or no file at all.
        let Ok(status) = fs::metadata(&path) else {
            continue;
        };
        let is_unnamed = status.is_file() && status.nlink() == 0;
        if !is_unnamed || !seen.insert((status.dev(), status.ino())) {
            continue;
        }
        let name = fs::read_link(&path)?;
        let at = format!("{}, {}", path.display(), name.display());
        match File::open(&path).and_then(|file| scan.stream(&at, 0, file)) {
            Ok(_) => scan.item(),
            // Closed meanwhile; or of a kind that cannot be opened anew, and so not be a file on a disk.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENXIO)) => {}
            Err(error) => scan.failed(&Unsearchable::new(at, error)),
        }
    }
    Ok(())
}
