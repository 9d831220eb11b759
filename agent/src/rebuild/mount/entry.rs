//! What is delivered, borrowed from wherever the opened handler lives.
use std::path::{Component, Path};

use super::MountError;

/// One file, folder or symbolic link of a handler.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    /// Path within the handler folder. Folders above it are made where no entry names them.
    pub path: &'a Path,
    /// Permission bits; the write bits and those above 0o777 are not taken over.
    pub mode: u32,
    /// What it is.
    pub kind: EntryKind<'a>,
}

/// A place of a container and what is delivered there.
pub struct DeliveryPlace<'a> {
    /// Absolute path, as the container sees it.
    pub path: &'a Path,
    /// What is mounted over it.
    pub content: PlaceContent<'a>,
}

/// What a place is.
pub enum PlaceContent<'a> {
    /// A folder, which comes to hold these. What the base image has in it stays visible where none of them
    /// takes its place.
    Folder(Vec<Entry<'a>>),
    /// A file; the entry's path does not matter.
    File(Entry<'a>),
}

/// The kinds of [`Entry`].
#[derive(Clone, Copy)]
pub enum EntryKind<'a> {
    /// A regular file with this content.
    File(&'a [u8]),
    /// A folder.
    Dir,
    /// A symbolic link to this target, which is not followed.
    Symlink(&'a Path),
}

impl Entry<'_> {
    /// Refuses a path that is empty, absolute, or has `.` or `..` in it.
    pub(super) fn check(&self) -> Result<(), MountError> {
        let plain = self
            .path
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if plain && !self.path.as_os_str().is_empty() {
            Ok(())
        } else {
            Err(MountError::Path {
                path: self.path.to_owned(),
            })
        }
    }
}

/// Permissions of a delivered file: read and execute as sealed, readable by its owner in any case.
pub(super) fn file_mode(mode: u32) -> u32 {
    mode & 0o555 | 0o400
}

/// Permissions of a delivered folder: as sealed, without writing, and open to its owner in any case.
pub(super) fn dir_mode(mode: u32) -> u32 {
    mode & 0o555 | 0o500
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str) -> Result<(), MountError> {
        Entry {
            path: Path::new(path),
            mode: 0o644,
            kind: EntryKind::Dir,
        }
        .check()
    }

    #[test]
    fn paths_within_the_folder_pass() {
        assert!(check("handler.py").is_ok());
        assert!(check("package/data/words.txt").is_ok());
        assert!(check("..handler").is_ok());
    }

    #[test]
    fn paths_that_could_leave_the_folder_are_refused() {
        for path in ["", "/etc/passwd", "..", "../x", "a/../../x", "./x"] {
            assert!(
                matches!(check(path), Err(MountError::Path { .. })),
                "{path:?}"
            );
        }
    }

    #[test]
    fn nothing_delivered_is_writable_or_set_uid() {
        assert_eq!(file_mode(0o7777), 0o555);
        assert_eq!(file_mode(0o600), 0o400);
        assert_eq!(dir_mode(0o1777), 0o555);
        assert_eq!(dir_mode(0), 0o500);
    }
}
