//! The disk that the testbed's data lie on: an image file, so that its raw bytes can be searched, those of
//! deleted files too.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{host::unmount_below, layout::Layout};
use crate::{
    error::{At as _, Error},
    files, process,
};

/// Room on the disk. The file is sparse: it takes as much as was ever written.
const SIZE: u64 = 64 << 30;
const MOUNTS: &str = "/proc/self/mountinfo";

/// The disk, mounted or not.
pub(super) struct Disk {
    image: PathBuf,
    mount: PathBuf,
}

impl Disk {
    /// The testbed's.
    pub(super) fn new(layout: &Layout) -> Self {
        Self {
            image: layout.disk(),
            mount: layout.data(),
        }
    }

    /// Makes sure that it is mounted. Data that lie in its place stay where they are, and a host without
    /// loop devices has no such disk: only the search for canaries cannot do without.
    pub(super) fn ensure(&self) -> Result<(), Error> {
        fs::create_dir_all(&self.mount).at(&self.mount)?;
        if self.is_mounted()? {
            return Ok(());
        }
        if fs::read_dir(&self.mount).at(&self.mount)?.next().is_some() {
            println!(
                "testbed: its data lie on no disk of their own; `cargo xtask testbed down` makes room for one"
            );
            return Ok(());
        }
        if let Err(error) = self.make().and_then(|()| self.attach()) {
            println!("testbed: no disk of its own: {error}");
            return self.remove();
        }
        println!("testbed: its data lie in {}", self.image.display());
        Ok(())
    }

    fn make(&self) -> Result<(), Error> {
        if self.image.exists() {
            return Ok(());
        }
        let unfinished = self.image.with_extension("unfinished");
        let file = fs::File::create(&unfinished).at(&unfinished)?;
        file.set_len(SIZE).at(&unfinished)?;
        // What is deleted must stay in its blocks: they are to be searched.
        process::output(
            Command::new(process::installed("mkfs.ext4")?)
                .args(["-q", "-F", "-m", "0", "-E", "nodiscard,lazy_itable_init=1"])
                .arg(&unfinished),
        )?;
        fs::rename(&unfinished, &self.image).at(&self.image)
    }

    fn attach(&self) -> Result<(), Error> {
        process::output(
            Command::new(process::installed("mount")?)
                .args(["-o", "loop,noatime,nodiscard"])
                .arg(&self.image)
                .arg(&self.mount),
        )
        .map(drop)
    }

    /// Unmounts and removes it.
    pub(super) fn remove(&self) -> Result<(), Error> {
        unmount_below(&self.mount)?;
        files::remove_file(&self.image)
    }

    fn is_mounted(&self) -> Result<bool, Error> {
        let mounts = fs::read_to_string(MOUNTS).at(MOUNTS)?;
        Ok(is_mount_point(&mounts, &self.mount))
    }
}

fn is_mount_point(mounts: &str, folder: &Path) -> bool {
    super::host::mount_points(mounts, folder)
        .iter()
        .any(|point| point == folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_below_a_folder_does_not_make_it_one() {
        let mounts = "21 1 254:0 / / rw - ext4 /dev/vda rw\n\
            30 21 254:0 /d /data/docker rw - ext4 /dev/vda rw\n";
        assert!(!is_mount_point(mounts, Path::new("/data")));
        assert!(is_mount_point(mounts, Path::new("/data/docker")));
    }
}
