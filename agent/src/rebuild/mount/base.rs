//! What the base image keeps in the handler folder (an `__init__.py`, `node_modules`) stays visible
//! beside what is delivered: copied where it is small, layered below by overlayfs where it is not.
use std::{
    ffi::{CStr, OsStr},
    fs::File,
    io::{self, Read as _},
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{Dir, FileType, Mode, OFlags, fstat, openat, readlinkat};

use super::{
    MountError,
    entry::{Entry, EntryKind},
    ramfs::Ramfs,
    status::Owner,
};

/// Up to so many bytes and entries a copy is quicker than a second filesystem.
const MAX_BYTES: usize = 1 << 20;
const MAX_ENTRIES: usize = 512;

/// How the delivered files and the base image's come together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layering {
    /// The ramfs holds both, or a single file.
    Copied,
    /// The ramfs is to be laid over the base image's folder.
    Overlay,
}

struct Found {
    path: PathBuf,
    mode: u32,
    owner: Owner,
    kind: Kind,
}

enum Kind {
    File(Vec<u8>),
    Dir,
    Symlink(PathBuf),
}

/// A walk's findings so far, or the news that a copy is out of the question.
struct Survey {
    found: Vec<Found>,
    bytes: usize,
}

/// Copies the folder's content into the folder `at` of `ramfs` if it is small, below what was delivered.
pub(super) fn merge(
    ramfs: &mut Ramfs,
    at: &Path,
    folder: &OwnedFd,
) -> Result<Layering, MountError> {
    let mut survey = Survey {
        found: Vec::new(),
        bytes: 0,
    };
    let small = survey
        .walk(folder, Path::new(""))
        .map_err(|source| MountError::Base { source })?;
    if !small {
        return Ok(Layering::Overlay);
    }
    for found in &survey.found {
        let kind = match &found.kind {
            Kind::File(content) => EntryKind::File(content),
            Kind::Dir => EntryKind::Dir,
            Kind::Symlink(target) => EntryKind::Symlink(target),
        };
        let entry = Entry {
            path: &found.path,
            mode: found.mode,
            kind,
        };
        ramfs.write_base(at, &entry, found.owner)?;
    }
    Ok(Layering::Copied)
}

impl Survey {
    /// Notes all below `folder`; `false` as soon as it is too much, or of a kind that is not copied.
    fn walk(&mut self, folder: &OwnedFd, path: &Path) -> io::Result<bool> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(folder, c".", flags, Mode::empty())?;
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let path = path.join(OsStr::from_bytes(name.to_bytes()));
            if self.found.len() == MAX_ENTRIES || !self.note(&folder, name, path)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn note(&mut self, folder: &OwnedFd, name: &CStr, path: PathBuf) -> io::Result<bool> {
        // Opened first and asked then, so that both are about the same file; O_PATH has no effect on
        // pipes and devices.
        let handle = openat(
            folder,
            name,
            OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let stat = fstat(&handle)?;
        let owner = Owner {
            user: stat.st_uid,
            group: stat.st_gid,
        };
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                match self.read(openat(folder, name, flags, Mode::empty())?)? {
                    Some(content) => Kind::File(content),
                    None => return Ok(false),
                }
            }
            FileType::Directory => Kind::Dir,
            FileType::Symlink => {
                let target = readlinkat(&handle, c"", Vec::new())?;
                Kind::Symlink(PathBuf::from(OsStr::from_bytes(target.as_bytes())))
            }
            _ => return Ok(false),
        };
        let is_folder = matches!(kind, Kind::Dir);
        self.found.push(Found {
            path: path.clone(),
            mode: stat.st_mode,
            owner,
            kind,
        });
        if is_folder {
            self.walk(&handle, &path)
        } else {
            Ok(true)
        }
    }

    /// Reads a file within what is left of the limit; `None` where that is not enough.
    fn read(&mut self, file: OwnedFd) -> io::Result<Option<Vec<u8>>> {
        let mut content = Vec::new();
        let left = MAX_BYTES - self.bytes;
        File::from(file)
            .take(left as u64 + 1)
            .read_to_end(&mut content)?;
        if content.len() > left {
            return Ok(None);
        }
        self.bytes += content.len();
        Ok(Some(content))
    }
}
