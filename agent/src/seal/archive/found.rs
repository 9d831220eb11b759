//! What goes into an archive: from the folder, or from memory.
use std::{os::unix::ffi::OsStrExt as _, path::PathBuf};

use zeroize::Zeroizing;

/// A file, folder or link that is to be sealed.
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) mode: u32,
    pub(super) kind: FoundKind,
}

pub(super) enum FoundKind {
    Folder,
    File {
        size: u64,
    },
    /// A file that is not on the disk.
    Content(Zeroizing<Vec<u8>>),
    Link(PathBuf),
}

impl Found {
    /// Compares two entries as archives are sorted: by path, bytewise.
    pub(super) fn in_order(&self, other: &Self) -> std::cmp::Ordering {
        let (path, other) = (self.path.as_os_str(), other.path.as_os_str());
        path.as_bytes().cmp(other.as_bytes())
    }
}
