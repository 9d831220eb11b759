//! The memory that holds one delivered handler: a ramfs without a name, reached by its descriptor only.
//!
//! ramfs rather than tmpfs, because its pages are never swapped. Written once; [`wipe`] has its end.
mod wipe;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Write as _},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rsfaas_shim::MOUNT_SOURCE;
use rustix::{
    fs::{
        AtFlags, Gid, Mode, OFlags, ResolveFlags, Uid, chownat, fchmod, fchown, mkdirat, openat2,
        symlinkat,
    },
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
        fsopen,
    },
};

use super::{
    MountError,
    entry::{Entry, EntryKind, dir_mode, file_mode},
    status::Owner,
};

/// A detached ramfs and what was delivered into it.
pub(super) struct Ramfs {
    mount: OwnedFd,
    /// Delivered files that have not been overwritten yet.
    files: Vec<PathBuf>,
    /// Folders whose permissions are still to be set: while files are added they stay writable, also for
    /// an agent without `CAP_DAC_OVERRIDE`.
    folders: BTreeMap<PathBuf, (u32, Owner)>,
}

impl Ramfs {
    /// An empty one.
    pub(super) fn new() -> Result<Self, MountError> {
        let mount = open("ramfs", None)?;
        Ok(Self {
            mount,
            files: Vec::new(),
            folders: BTreeMap::new(),
        })
    }

    /// The mount, writable, for as long as this value lives.
    pub(super) fn mount(&self) -> BorrowedFd<'_> {
        self.mount.as_fd()
    }

    /// Writes what was sealed, all of it owned by `owner`.
    pub(super) fn write(&mut self, entries: &[Entry<'_>], owner: Owner) -> Result<(), MountError> {
        self.folders.insert(PathBuf::from("."), (0o555, owner));
        for entry in entries {
            entry.check()?;
            // Noted first: a file that is written in part is overwritten too.
            if matches!(entry.kind, EntryKind::File(_)) {
                self.files.push(entry.path.to_owned());
            }
            self.put(entry, owner).map_err(|source| MountError::Write {
                path: entry.path.to_owned(),
                source,
            })?;
        }
        Ok(())
    }

    /// Adds a file of the base image, which is no secret, unless something delivered stands in its way.
    pub(super) fn write_base(&mut self, entry: &Entry<'_>, owner: Owner) -> Result<(), MountError> {
        match self.put(entry, owner) {
            Err(error)
                if matches!(
                    Errno::from_io_error(&error),
                    Some(Errno::EXIST | Errno::NOTDIR | Errno::LOOP)
                ) =>
            {
                Ok(())
            }
            other => other.map_err(|source| MountError::Write {
                path: entry.path.to_owned(),
                source,
            }),
        }
    }

    fn put(&mut self, entry: &Entry<'_>, owner: Owner) -> io::Result<()> {
        let parent = entry.path.parent().unwrap_or(Path::new(""));
        let name = entry.path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let folder = self.folder(parent, owner)?;
        match entry.kind {
            EntryKind::File(content) => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
                let mut file = File::from(beneath(folder.as_fd(), Path::new(name), flags)?);
                file.write_all(content)?;
                fchmod(&file, Mode::from_raw_mode(file_mode(entry.mode)))?;
                chown(&file, owner)?;
            }
            EntryKind::Dir => {
                match mkdirat(&folder, name, Mode::RWXU) {
                    // Made already for something in it; now it gets its own permissions.
                    Err(Errno::EXIST) if self.folders.contains_key(entry.path) => {}
                    made => made?,
                }
                self.folders
                    .insert(entry.path.to_owned(), (dir_mode(entry.mode), owner));
            }
            EntryKind::Symlink(target) => {
                symlinkat(target, &folder, name)?;
                let (user, group) = ids(owner);
                chownat(
                    &folder,
                    name,
                    Some(user),
                    Some(group),
                    AtFlags::SYMLINK_NOFOLLOW,
                )?;
            }
        }
        Ok(())
    }

    /// Opens a folder, making it and those above it where they are missing.
    fn folder(&mut self, path: &Path, owner: Owner) -> io::Result<OwnedFd> {
        if path.as_os_str().is_empty() {
            return self.mount.try_clone();
        }
        match beneath(self.mount(), path, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => {}
            found => return Ok(found?),
        }
        let above = self.folder(path.parent().unwrap_or(Path::new("")), owner)?;
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        mkdirat(&above, name, Mode::RWXU)?;
        self.folders.insert(path.to_owned(), (0o555, owner));
        Ok(beneath(
            above.as_fd(),
            Path::new(name),
            OFlags::PATH | OFlags::DIRECTORY,
        )?)
    }

    /// Gives the folders their permissions, after the last file.
    pub(super) fn finish(&mut self) -> Result<(), MountError> {
        // Inner folders first: an outer one may not be searchable afterwards.
        while let Some((path, (mode, owner))) = self.folders.pop_last() {
            let set = || -> io::Result<()> {
                let folder = beneath(self.mount(), &path, OFlags::RDONLY | OFlags::DIRECTORY)?;
                fchmod(&folder, Mode::from_raw_mode(mode))?;
                chown(&folder, owner)
            };
            set().map_err(|source| MountError::Write {
                path: path.clone(),
                source,
            })?;
        }
        Ok(())
    }
}

/// Makes a filesystem that is mounted nowhere.
pub(super) fn open(kind: &'static str, lower: Option<&str>) -> Result<OwnedFd, MountError> {
    let context =
        fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).map_err(MountError::kernel("fsopen"))?;
    let set = |key: &str, value: &str| {
        fsconfig_set_string(&context, key, value).map_err(MountError::kernel("fsconfig"))
    };
    set("source", MOUNT_SOURCE)?;
    if let Some(lower) = lower {
        set("lowerdir", lower)?;
    }
    fsconfig_create(&context).map_err(MountError::kernel("fsconfig (create)"))?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .map_err(MountError::kernel("fsmount"))
}

/// Opens below a folder; links are not followed, and nothing leads out.
fn beneath(folder: BorrowedFd<'_>, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let mode = if flags.contains(OFlags::CREATE) {
        Mode::RUSR | Mode::WUSR
    } else {
        Mode::empty()
    };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    openat2(
        folder,
        path,
        flags | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        mode,
        resolve,
    )
}

fn ids(owner: Owner) -> (Uid, Gid) {
    (Uid::from_raw(owner.user), Gid::from_raw(owner.group))
}

fn chown(file: impl AsFd, owner: Owner) -> io::Result<()> {
    let (user, group) = ids(owner);
    Ok(fchown(file, Some(user), Some(group))?)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use rustix::fs::fstat;

    use super::*;

    pub(super) const OWNER: Owner = Owner {
        user: 12,
        group: 34,
    };

    pub(super) fn file<'a>(path: &'a str, content: &'a str) -> Entry<'a> {
        Entry {
            path: Path::new(path),
            mode: 0o755,
            kind: EntryKind::File(content.as_bytes()),
        }
    }

    pub(super) fn delivered(entries: &[Entry<'_>]) -> Ramfs {
        let mut ramfs = Ramfs::new().expect("a ramfs (needs root)");
        ramfs.write(entries, OWNER).unwrap();
        ramfs
    }

    fn open_in(ramfs: &Ramfs, path: &str) -> rustix::io::Result<File> {
        beneath(ramfs.mount(), Path::new(path), OFlags::RDONLY).map(File::from)
    }

    pub(super) fn content(ramfs: &Ramfs, path: &str) -> String {
        let mut text = String::new();
        open_in(ramfs, path)
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        text
    }

    #[test]
    fn files_and_the_folders_above_them_are_written() {
        let mut ramfs = delivered(&[file("a/b/c.py", "plain")]);
        ramfs.finish().unwrap();
        assert_eq!(content(&ramfs, "a/b/c.py"), "plain");
        for (path, mode) in [("a/b/c.py", 0o555), ("a", 0o555), (".", 0o555)] {
            let stat = fstat(open_in(&ramfs, path).unwrap()).unwrap();
            assert_eq!(
                (stat.st_uid, stat.st_gid, stat.st_mode & 0o7777),
                (12, 34, mode),
                "{path}"
            );
        }
    }

    #[test]
    fn a_delivered_link_leads_no_later_entry_out() {
        let link = EntryKind::Symlink(Path::new("/tmp"));
        let out = [
            Entry {
                path: Path::new("out"),
                mode: 0,
                kind: link,
            },
            file("out/x", "1"),
        ];
        let failed = Ramfs::new().unwrap().write(&out, OWNER);
        assert!(matches!(failed, Err(MountError::Write { .. })));
    }

    #[test]
    fn the_base_images_files_give_way_to_delivered_ones() {
        let mut ramfs = delivered(&[file("handler.py", "new"), file("data", "file")]);
        for stale in [
            file("handler.py", "old"),
            file("data/old", "1"),
            file("kept.py", "base"),
        ] {
            ramfs.write_base(&stale, OWNER).unwrap();
        }
        assert_eq!(content(&ramfs, "handler.py"), "new");
        assert_eq!(content(&ramfs, "data"), "file");
        assert_eq!(content(&ramfs, "kept.py"), "base");
    }
}
