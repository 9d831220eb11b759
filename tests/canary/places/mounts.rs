//! What was delivered, and the memory that holds it: a filesystem that is mounted in containers alone, or nowhere
//! at all while somebody has its descriptor.
use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::sys::statfs::{FsType, statfs};

use super::{files::Files, process};
use crate::canary::{Place, Scan, Unsearchable};

/// Source of the agent's mounts in mount tables.
const SOURCE: &str = "rsfaas";
/// Kind of a ramfs (`RAMFS_MAGIC` in the kernel's `linux/magic.h`).
const RAMFS: FsType = FsType(0x8584_58f6);

/// Handlers in memory, wherever they are mounted or held.
#[derive(Debug, Clone, Copy)]
pub struct Delivered;

impl Delivered {
    /// Its name.
    pub const NAME: &str = "delivered handlers";
}

impl Place for Delivered {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn search(&self, scan: &mut Scan<'_>) -> Result<(), Unsearchable> {
        let (mut namespaces, mut held) = (BTreeSet::new(), BTreeSet::new());
        for process in process::all()? {
            let folder = PathBuf::from(format!("/proc/{}", process.pid));
            let found = look(&folder, &mut namespaces, &mut held);
            match found {
                Ok(folders) => {
                    for folder in folders {
                        Files::new(Self::NAME, [folder]).optional().search(scan)?;
                    }
                }
                Err(error) if process::is_over(&error) => {}
                Err(error) => {
                    scan.failed(&Unsearchable::new(folder.display().to_string(), error));
                }
            }
        }
        Ok(())
    }
}

/// The mounts that a process sees and nobody before it did, and the ones that it holds.
fn look(
    process: &Path,
    namespaces: &mut BTreeSet<PathBuf>,
    held: &mut BTreeSet<u64>,
) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    if namespaces.insert(fs::read_link(process.join("ns/mnt"))?) {
        let mounts = fs::read_to_string(process.join("mountinfo"))?;
        let root = process.join("root");
        folders.extend(points(&mounts).map(|point| root.join(point)));
    }
    for entry in fs::read_dir(process.join("fd"))? {
        let path = entry?.path();
        // Closed meanwhile, or no file at all.
        let Ok(status) = fs::metadata(&path) else {
            continue;
        };
        let is_ramfs = || statfs(&path).is_ok_and(|mount| mount.filesystem_type() == RAMFS);
        if status.is_dir() && is_ramfs() && held.insert(status.dev()) {
            folders.push(path.join("."));
        }
    }
    Ok(folders)
}

/// Where the agent has mounted something, relative to the root, in the text of `/proc/PID/mountinfo`
/// (proc_pid_mountinfo(5)).
fn points(mounts: &str) -> impl Iterator<Item = String> {
    mounts.lines().filter_map(|line| {
        let (first, last) = line.split_once(" - ")?;
        let source = last.split(' ').nth(1)?;
        let point = first.split(' ').nth(4)?;
        (source == SOURCE).then(|| point.trim_start_matches('/').replace("\\040", " "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_agents_mounts_count() {
        let text = "21 1 254:0 / / rw - ext4 /dev/vda rw\n\
            30 21 0:77 / /home/app/my\\040function ro,nosuid - ramfs rsfaas rw\n\
            31 21 0:78 / /tmp rw - tmpfs tmpfs rw\n";
        assert_eq!(points(text).collect::<Vec<_>>(), ["home/app/my function"]);
    }
}
