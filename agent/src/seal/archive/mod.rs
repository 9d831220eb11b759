//! A handler folder as one tar archive in memory.
//!
//! [`Survey`] finds what is to be sealed, [`Survey::read`] makes the archive, [`Archive::parse`]
//! takes one back, [`Archive::place`] puts it on a disk. The buffer is sized before it is filled,
//! so that it never moves and leaves nothing behind, and it is wiped when dropped. An archive that
//! was parsed is safe to deliver: every path stays inside the folder, none leads through a link.
mod built;
mod found;
mod manifest;
mod place;
mod survey;
mod write;

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    io::{self, Cursor},
    ops::Range,
    os::unix::ffi::OsStrExt as _,
    path::{Component, Path, PathBuf},
};

use zeroize::Zeroizing;

use self::built::RESERVED;
pub use self::{
    built::{Built, BuiltFile, BuiltPlace},
    manifest::is_manifest,
    place::{Existing, Owner},
    survey::{IsLeftOut, Survey},
};

/// Name prefix of our temporary files and folders, left by a run that was killed.
pub use crate::replace::TEMP_PREFIX;
const BLOCK: usize = 512;

/// Why a folder cannot be archived, or an archive not be taken back.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A file or folder cannot be read or written.
    #[error("{path}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Neither file nor folder nor symbolic link.
    #[error("{path} is {kind}; a handler folder holds files, folders and symbolic links only")]
    Kind {
        /// What was found.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// A symbolic link that leads, or might lead, out of the folder.
    #[error(
        "symbolic link {path} points to {target}, which is not surely inside the handler folder; \
         make it relative, or put the file itself there (a virtual environment does not belong there: move it out)"
    )]
    Link {
        /// The link.
        path: PathBuf,
        /// Where it points.
        target: PathBuf,
    },
    /// A dependency manifest that is a link, which no image would be built from.
    #[error(
        "{path} is a symbolic link with the name of a dependency manifest: no image is built from what it points to; \
         put the file itself there"
    )]
    ManifestLink {
        /// The link.
        path: PathBuf,
    },
    /// A file was written while it was read.
    #[error("{path} changed while it was read; try again when nobody is writing to it")]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A name that the archive needs for itself.
    #[error("{path}: this name is reserved; rename it")]
    Reserved {
        /// What has it.
        path: PathBuf,
    },
    /// Something of that name is there already.
    #[error("{path} exists already")]
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// The bytes are not an archive of a handler folder.
    #[error("the sealed content is not an archive of a handler folder: {0}")]
    Invalid(String),
}

impl ArchiveError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// A handler folder in memory. Holds plaintext: no `Debug`, wiped when dropped.
pub struct Archive {
    tar: Zeroizing<Vec<u8>>,
    items: Vec<Item>,
    /// What a build has made of the handler.
    built: Vec<Item>,
}

struct Item {
    path: PathBuf,
    mode: u32,
    kind: Kind,
}

enum Kind {
    Folder,
    File(Range<usize>),
    Link(PathBuf),
}

/// One file, folder or link of an archive.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    /// Relative path; its folder comes before it.
    pub path: &'a Path,
    /// Permission bits, nine of them.
    pub mode: u32,
    /// What it is.
    pub content: Content<'a>,
}

/// What an entry is. Holds plaintext: no `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// A folder.
    Folder,
    /// A regular file and its bytes.
    File(&'a [u8]),
    /// A symbolic link and where it points.
    Link(&'a Path),
}

impl Archive {
    /// Takes an archive back, and refuses whatever [`Survey::read`] would not have made.
    ///
    /// # Errors
    /// When the bytes are no archive of a handler folder.
    pub fn parse(tar: Zeroizing<Vec<u8>>) -> Result<Self, ArchiveError> {
        let invalid = |error: io::Error| ArchiveError::Invalid(error.to_string());
        let (mut items, mut built) = (Vec::<Item>::new(), Vec::<Item>::new());
        let (mut last, mut folders, mut end) = (PathBuf::new(), BTreeSet::new(), 0);
        // With seek, or the reader would skip contents by copying them through its stack.
        let mut reader = tar::Archive::new(Cursor::new(tar.as_slice()));
        for entry in reader.entries_with_seek().map_err(invalid)? {
            let entry = entry.map_err(invalid)?;
            let bytes = entry.path_bytes();
            let bytes = bytes.strip_suffix(b"/").unwrap_or(&bytes);
            let path = Path::new(OsStr::from_bytes(bytes)).to_owned();
            let bad = |what| ArchiveError::Invalid(format!("{}: {what}", path.display()));
            if !is_plain(&path, bytes) {
                return Err(bad("the path is not a plain relative one"));
            }
            if last.as_os_str().as_bytes() >= bytes {
                return Err(bad("out of order"));
            }
            if path
                .ancestors()
                .skip(1)
                .any(|it| it != Path::new("") && !folders.contains(it))
            {
                return Err(bad("its folder is missing"));
            }
            let mode = entry.header().mode().map_err(invalid)?;
            if mode & !0o777 != 0 {
                return Err(bad("special permission bits"));
            }
            let start = usize::try_from(entry.raw_file_position()).map_err(|_| bad("too large"))?;
            let size = usize::try_from(entry.size()).map_err(|_| bad("too large"))?;
            let range = start..start.checked_add(size).ok_or_else(|| bad("too large"))?;
            end = range
                .end
                .checked_next_multiple_of(BLOCK)
                .ok_or_else(|| bad("too large"))?;
            let kind = match entry.header().entry_type() {
                tar::EntryType::Regular if end <= tar.len() => Kind::File(range),
                tar::EntryType::Directory if size == 0 => {
                    folders.insert(path.clone());
                    Kind::Folder
                }
                tar::EntryType::Symlink if size == 0 => {
                    let target = entry.link_name_bytes().unwrap_or_default();
                    let target = PathBuf::from(OsStr::from_bytes(&target));
                    check_link(Path::new(""), &path, &target)?;
                    Kind::Link(target)
                }
                _ => return Err(bad("neither file, folder nor symbolic link")),
            };
            last.clone_from(&path);
            let list = if path.starts_with(RESERVED) {
                &mut built
            } else {
                &mut items
            };
            list.push(Item { path, mode, kind });
        }
        if tar.get(end..) != Some([0; 2 * BLOCK].as_slice()) {
            return Err(ArchiveError::Invalid(
                "it does not end where it should".to_owned(),
            ));
        }
        Ok(Self { tar, items, built })
    }

    /// The archive as it is sealed.
    #[must_use]
    pub fn as_tar(&self) -> &[u8] {
        &self.tar
    }

    /// Everything of the author's in it, each folder before what it holds.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = Entry<'_>> + ExactSizeIterator {
        self.items.iter().map(|item| self.entry(item))
    }

    fn entry<'a>(&'a self, item: &'a Item) -> Entry<'a> {
        Entry {
            path: &item.path,
            mode: item.mode,
            content: match &item.kind {
                Kind::Folder => Content::Folder,
                Kind::File(range) => Content::File(&self.tar[range.clone()]),
                Kind::Link(target) => Content::Link(target),
            },
        }
    }

    /// The entry of that path.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<Entry<'_>> {
        let bytes = path.as_os_str().as_bytes();
        let found = self
            .items
            .binary_search_by(|it| it.path.as_os_str().as_bytes().cmp(bytes));
        found.ok().map(|index| self.entry(&self.items[index]))
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// Whether a path is relative, made of names only, and spelled in the one usual way.
fn is_plain(path: &Path, bytes: &[u8]) -> bool {
    let names = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    let spelled: PathBuf = path.components().collect();
    names && !bytes.is_empty() && spelled.as_os_str().as_bytes() == bytes
}

/// Refuses a link that could lead out of the folder; `path` is the link's in `folder`. `..` is allowed at the start of a target only:
/// there it means real folders, while after a name it might go up from where another link leads.
fn check_link(folder: &Path, path: &Path, target: &Path) -> Result<(), ArchiveError> {
    let depth = path.components().count() - 1;
    let up = target
        .components()
        .take_while(|part| *part == Component::ParentDir)
        .count();
    let rest_is_names = target
        .components()
        .skip(up)
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if up <= depth && rest_is_names && !target.as_os_str().is_empty() {
        return Ok(());
    }
    Err(ArchiveError::Link {
        path: folder.join(path),
        target: target.to_owned(),
    })
}

#[cfg(test)]
mod tests;
