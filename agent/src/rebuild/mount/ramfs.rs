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
    sync::Arc,
};

use rsfaas_shim::MOUNT_SOURCE;
use rustix::{
    fs::{
        AtFlags, Gid, Mode, OFlags, ResolveFlags, Uid, chownat, fchmod, fchown, mkdirat, openat,
        openat2, symlinkat,
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
    /// The folder of the last entry, since the next one is usually in the same.
    last: Option<(PathBuf, Arc<OwnedFd>)>,
}

impl Ramfs {
    /// An empty one.
    pub(super) fn new() -> Result<Self, MountError> {
        let mount = open("ramfs", None)?;
        Ok(Self {
            mount,
            files: Vec::new(),
            folders: BTreeMap::new(),
            last: None,
        })
    }

    /// The mount, writable, for as long as this value lives.
    pub(super) fn mount(&self) -> BorrowedFd<'_> {
        self.mount.as_fd()
    }

    /// Writes what is delivered at one place into the folder `at`, which is made, all of it owned by
    /// `owner`.
    pub(super) fn write(
        &mut self,
        at: &Path,
        entries: &[Entry<'_>],
        owner: Owner,
    ) -> Result<(), MountError> {
        self.folder(at, owner).map_err(failed(at))?;
        for entry in entries {
            entry.check()?;
            self.write_file(&at.join(entry.path), entry, owner)?;
        }
        Ok(())
    }

    /// Writes one delivered file, folder or link at a path of its own.
    pub(super) fn write_file(
        &mut self,
        path: &Path,
        entry: &Entry<'_>,
        owner: Owner,
    ) -> Result<(), MountError> {
        // Noted first: a file that is written in part is overwritten too.
        if matches!(entry.kind, EntryKind::File(_)) {
            self.files.push(path.to_owned());
        }
        self.put(path, entry, owner).map_err(failed(path))
    }

    /// Adds a file of the base image, which is no secret, to the folder `at`, unless something delivered
    /// stands in its way.
    pub(super) fn write_base(
        &mut self,
        at: &Path,
        entry: &Entry<'_>,
        owner: Owner,
    ) -> Result<(), MountError> {
        let path = at.join(entry.path);
        match self.put(&path, entry, owner) {
            Err(error)
                if matches!(
                    Errno::from_io_error(&error),
                    Some(Errno::EXIST | Errno::NOTDIR | Errno::LOOP)
                ) =>
            {
                Ok(())
            }
            other => other.map_err(failed(&path)),
        }
    }

    fn put(&mut self, path: &Path, entry: &Entry<'_>, owner: Owner) -> io::Result<()> {
        let parent = path.parent().unwrap_or(Path::new(""));
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let folder = self.folder(parent, owner)?;
        match entry.kind {
            EntryKind::File(content) => {
                // One name only, which is not there yet: nothing can lead elsewhere.
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                let mode = Mode::RUSR | Mode::WUSR;
                let mut file = File::from(openat(&folder, name, flags | OFlags::NOFOLLOW, mode)?);
                file.write_all(content)?;
                fchmod(&file, Mode::from_raw_mode(file_mode(entry.mode)))?;
                chown(&file, owner)?;
            }
            EntryKind::Dir => {
                match mkdirat(&*folder, name, Mode::RWXU) {
                    // Made already for something in it; now it gets its own permissions.
                    Err(Errno::EXIST) if self.folders.contains_key(path) => {}
                    made => made?,
                }
                self.folders
                    .insert(path.to_owned(), (dir_mode(entry.mode), owner));
            }
            EntryKind::Symlink(target) => {
                symlinkat(target, &*folder, name)?;
                let (user, group) = ids(owner);
                chownat(
                    &*folder,
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
    fn folder(&mut self, path: &Path, owner: Owner) -> io::Result<Arc<OwnedFd>> {
        if let Some((last, folder)) = &self.last
            && last == path
        {
            return Ok(Arc::clone(folder));
        }
        let folder = Arc::new(self.open_folder(path, owner)?);
        self.last = Some((path.to_owned(), Arc::clone(&folder)));
        Ok(folder)
    }

    fn open_folder(&mut self, path: &Path, owner: Owner) -> io::Result<OwnedFd> {
        if path.as_os_str().is_empty() {
            return self.mount.try_clone();
        }
        match beneath(self.mount(), path, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => {}
            found => return Ok(found?),
        }
        let above = self.open_folder(path.parent().unwrap_or(Path::new("")), owner)?;
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
            set().map_err(failed(&path))?;
        }
        Ok(())
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> MountError + use<> {
    let path = path.to_owned();
    move |source| MountError::Write { path, source }
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
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    openat2(
        folder,
        path,
        flags | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        Mode::empty(),
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
mod tests;
