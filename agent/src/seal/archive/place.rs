//! Puts an archive on a disk: whole, or not at all.
use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{
        DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown,
    },
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::{Archive, ArchiveError, Content, Entry, TEMP_PREFIX};

/// What is to happen to a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Nothing is placed at all.
    Refuse,
    /// It is replaced.
    Replace,
    /// It stays, since the caller knows it to be the same.
    Keep,
}

/// Who is to own what is placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Archive {
    /// Writes everything into `folder`, which is made (for its owner only) where there is none.
    ///
    /// All of it is written and synced under a temporary name first, so a full disk leaves nothing
    /// behind; what had been moved into place when an error came is taken away again.
    ///
    /// # Errors
    /// When something cannot be written, or is there already and must not be touched.
    pub fn place(
        &self,
        folder: &Path,
        existing: Existing,
        owner: Option<Owner>,
    ) -> Result<(), ArchiveError> {
        match fs::symlink_metadata(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let parent = parent(folder);
                let staged = stage(parent)?;
                self.extract(staged.path(), owner)?;
                self.settle_folders(staged.path(), owner, |_| true)?;
                fs::rename(staged.path(), folder).map_err(ArchiveError::io(folder))?;
                // The folder has another name now, so there is nothing under this one to remove.
                let _moved = staged.keep();
                sync(parent)
            }
            Err(source) => Err(ArchiveError::Io {
                path: folder.to_owned(),
                source,
            }),
            Ok(_) => {
                self.check(folder, existing)?;
                let staged = stage(folder)?;
                self.extract(staged.path(), owner)?;
                let mut made = Vec::new();
                let moved = self.move_in(staged.path(), folder, existing, owner, &mut made);
                if moved.is_err() {
                    take_away(folder, &made);
                }
                moved?;
                drop(staged);
                sync(folder)
            }
        }
    }

    /// Writes everything into an empty folder; folders stay writable for the moment.
    fn extract(&self, root: &Path, owner: Option<Owner>) -> Result<(), ArchiveError> {
        for entry in self.entries() {
            let path = root.join(entry.path);
            write(&path, entry)
                .and_then(|()| own(&path, owner))
                .map_err(ArchiveError::io(&path))?;
        }
        Ok(())
    }

    /// Gives folders their owner and modes, inner ones first, and syncs them.
    fn settle_folders(
        &self,
        root: &Path,
        owner: Option<Owner>,
        which: impl Fn(&Path) -> bool,
    ) -> Result<(), ArchiveError> {
        let opened = fs::File::open(root).map_err(ArchiveError::io(root))?;
        for entry in self.entries().rev() {
            if entry.content == Content::Folder && which(entry.path) {
                settle(&opened, entry.path, entry.mode, owner)
                    .map_err(ArchiveError::io(&root.join(entry.path)))?;
            }
        }
        Ok(())
    }

    /// Finds what stands in the way before anything is written.
    fn check(&self, folder: &Path, existing: Existing) -> Result<(), ArchiveError> {
        for entry in self.entries() {
            let path = folder.join(entry.path);
            let is_folder = match fs::symlink_metadata(&path) {
                Ok(status) => status.is_dir(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(ArchiveError::Io { path, source }),
            };
            let in_the_way = match entry.content {
                Content::Folder => !is_folder,
                _ => is_folder || existing == Existing::Refuse,
            };
            if in_the_way {
                return Err(ArchiveError::Exists { path });
            }
        }
        Ok(())
    }

    fn move_in<'a>(
        &'a self,
        from: &Path,
        to: &Path,
        existing: Existing,
        owner: Option<Owner>,
        made: &mut Vec<&'a Path>,
    ) -> Result<(), ArchiveError> {
        for entry in self.entries() {
            let path = to.join(entry.path);
            let there = fs::symlink_metadata(&path).is_ok();
            match entry.content {
                Content::Folder if there => continue,
                Content::Folder => write(&path, entry),
                _ if there && existing == Existing::Keep => continue,
                _ => fs::rename(from.join(entry.path), &path),
            }
            .map_err(ArchiveError::io(&path))?;
            if !there {
                made.push(entry.path);
            }
        }
        // Those that an interrupted run has made are not this one's, and have neither yet.
        let is_kept = existing == Existing::Keep;
        self.settle_folders(to, owner, |path| is_kept || made.contains(&path))
    }
}

/// A temporary folder beside the target, on the same filesystem, for the owner only.
fn stage(parent: &Path) -> Result<tempfile::TempDir, ArchiveError> {
    tempfile::Builder::new()
        .prefix(TEMP_PREFIX)
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir_in(parent)
        .map_err(ArchiveError::io(parent))
}

fn write(path: &Path, entry: Entry<'_>) -> io::Result<()> {
    match entry.content {
        Content::Folder => fs::DirBuilder::new().mode(0o700).create(path),
        Content::Link(target) => std::os::unix::fs::symlink(target, path),
        Content::File(bytes) => {
            let mut options = fs::OpenOptions::new();
            let mut file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)?;
            file.write_all(bytes)?;
            file.set_permissions(fs::Permissions::from_mode(entry.mode))?;
            file.sync_all()
        }
    }
}

/// A folder's owner and mode. Somebody else may have put a link in the place of any part of its path meanwhile.
fn settle(root: &fs::File, path: &Path, mode: u32, owner: Option<Owner>) -> io::Result<()> {
    let folder = openat2(
        root,
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
    )?;
    let folder = fs::File::from(folder);
    let status = folder.metadata()?;
    if let Some(Owner { uid, gid }) =
        owner.filter(|it| (it.uid, it.gid) != (status.uid(), status.gid()))
    {
        fchown(&folder, Some(uid), Some(gid))?;
    }
    if status.mode() & 0o777 != mode {
        folder.set_permissions(fs::Permissions::from_mode(mode))?;
    }
    folder.sync_all()
}

fn own(path: &Path, owner: Option<Owner>) -> io::Result<()> {
    match owner {
        Some(Owner { uid, gid }) => std::os::unix::fs::lchown(path, Some(uid), Some(gid)),
        None => Ok(()),
    }
}

/// Undoes a move that failed half way; what cannot be removed is in nobody's way.
fn take_away(folder: &Path, made: &[&Path]) {
    for path in made.iter().rev().map(|path| folder.join(path)) {
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
    }
}

/// The folder that holds `path`.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

fn sync(folder: &Path) -> Result<(), ArchiveError> {
    let synced = fs::File::open(folder).and_then(|opened| opened.sync_all());
    synced.map_err(|source| ArchiveError::Io {
        path: PathBuf::from(folder),
        source,
    })
}
