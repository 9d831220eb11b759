//! A replacement on a real disk, and what interrupted ones have left there.
use std::{
    fs::{self, File, Permissions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
};

use tempfile::{NamedTempFile, TempPath};

use super::{Replacement, TEMP_PREFIX};
use crate::{not_found::ignore_not_found, regular};

/// A file beside the one whose place it is to take; gone when dropped before it has.
pub(crate) struct Beside {
    /// Locked for as long as somebody works on it: a lock ends with its process, whatever ends that.
    file: File,
    temporary: TempPath,
    path: PathBuf,
}

impl Beside {
    /// An empty file with mode and owner of the one at `path`; where there is none, with a mode of its own
    /// and the folder's owner.
    pub(crate) fn new(path: &Path, new_mode: u32) -> io::Result<Self> {
        let folder = folder_of(path);
        let (file, temporary) = create(folder)?.into_parts();
        file.lock()?;
        let (mode, like) = match fs::metadata(path) {
            Ok(status) => (status.mode() & 0o777, status),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (new_mode, fs::metadata(folder)?)
            }
            Err(error) => return Err(error),
        };
        let status = file.metadata()?;
        if (status.uid(), status.gid()) != (like.uid(), like.gid()) {
            fchown(&file, Some(like.uid()), Some(like.gid()))?;
        }
        file.set_permissions(Permissions::from_mode(mode))?;
        Ok(Self {
            file,
            temporary,
            path: path.to_owned(),
        })
    }
}

impl Replacement for Beside {
    fn write(&mut self, content: &[u8]) -> io::Result<()> {
        self.file.write_all(content)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn read_back(&mut self) -> io::Result<Vec<u8>> {
        regular::read(&self.temporary)
    }

    fn rename(&mut self) -> io::Result<()> {
        fs::rename(&self.temporary, &self.path)?;
        self.temporary.disable_cleanup(true);
        Ok(())
    }

    fn sync_name(&mut self) -> io::Result<()> {
        File::open(folder_of(&self.path))?.sync_all()
    }
}

fn create(folder: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new()
        .prefix(TEMP_PREFIX)
        .tempfile_in(folder)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Removes what interrupted replacements have left in a folder; what somebody works on stays. A folder that
/// is not there holds nothing.
pub(crate) fn remove_leftovers(folder: &Path) -> io::Result<()> {
    for entry in ignore_not_found(fs::read_dir(folder))?
        .into_iter()
        .flatten()
    {
        let entry = entry?;
        let is_left = entry.file_type()?.is_file()
            && entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(TEMP_PREFIX.as_bytes());
        if is_left && is_abandoned(&entry.path()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Whether nobody works on an unfinished file any more.
pub(crate) fn is_abandoned(path: &Path) -> bool {
    regular::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<std::ffi::OsString> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_given_up_leaves_the_old_file_and_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "old").unwrap();
        let mut beside = Beside::new(&path, 0o600).unwrap();
        beside.write(b"new").unwrap();
        drop(beside);
        assert_eq!(names(folder.path()), ["file"]);
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }

    #[test]
    fn what_an_interrupted_replacement_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        super::super::replace(&path, b"content").unwrap();
        fs::write(folder.path().join(format!("{TEMP_PREFIX}killed")), "half").unwrap();
        let working = Beside::new(&path, 0o600).unwrap();
        remove_leftovers(folder.path()).unwrap();
        let kept = working.temporary.file_name().unwrap();
        assert_eq!(names(folder.path()), [kept, "file".as_ref()]);
        drop(working);
        assert_eq!(fs::read(&path).unwrap(), b"content");
    }

    #[test]
    fn a_folder_that_is_not_there_holds_nothing() {
        remove_leftovers(Path::new("/nonexistent/folder")).unwrap();
    }
}
