//! A look through a handler folder: what is to be sealed, what stays, what goes.
use std::{
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
};

use super::{
    Archive, ArchiveError, Built, RESERVED, TEMP_PREFIX, check_link,
    found::{Found, FoundKind},
    is_manifest, write,
};
use crate::seal::FILE_NAME;

/// What lies in a handler folder, without any content. Paths are relative to the folder.
pub struct Survey {
    pub(super) folder: PathBuf,
    pub(super) found: Vec<Found>,
    /// Dependency manifests: they stay readable.
    pub manifests: Vec<PathBuf>,
    /// Folders of compiled source: not sealed, since they are made again, and removed by sealing.
    pub caches: Vec<PathBuf>,
    /// What an interrupted run left.
    pub leftovers: Vec<PathBuf>,
    /// The folder's own `.git`, which may hold the source's history; left alone.
    pub history: Option<PathBuf>,
    /// Files that other names link to: the content stays under those names.
    pub hard_linked: Vec<PathBuf>,
    /// What is no part of the function, by what [`Survey::without`] was told: left alone.
    pub left_out: Vec<PathBuf>,
}

/// Tells of a path in a handler folder whether it is left out of the function's image.
pub type IsLeftOut<'a> = &'a dyn Fn(&Path) -> bool;

impl Survey {
    /// Looks through `folder`; links are not followed.
    ///
    /// # Errors
    /// When something cannot be read, is of a kind that no handler holds, or leads out.
    pub fn of(folder: &Path) -> Result<Self, ArchiveError> {
        Self::without(folder, &|_| false)
    }

    /// Looks through a folder of which some files are no part of the function. Compiled source goes in any case.
    ///
    /// # Errors
    /// When [`Survey::of`] fails, but whatever is left out may be of any kind and lead anywhere.
    pub fn without(folder: &Path, left_out: IsLeftOut<'_>) -> Result<Self, ArchiveError> {
        let mut survey = Self {
            folder: folder.to_owned(),
            found: Vec::new(),
            manifests: Vec::new(),
            caches: Vec::new(),
            leftovers: Vec::new(),
            history: None,
            hard_linked: Vec::new(),
            left_out: Vec::new(),
        };
        survey.walk(Path::new(""), left_out)?;
        survey.found.sort_by(Found::in_order);
        Ok(survey)
    }

    /// Whether there is nothing that sealing would read or remove.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.found.is_empty() && self.caches.is_empty() && self.leftovers.is_empty()
    }

    /// Whether a folder has something in it that is left out.
    #[must_use]
    pub fn holds_left_out(&self, folder: &Path) -> bool {
        self.left_out.iter().any(|path| path.starts_with(folder))
    }

    /// Reads what was found into an archive; the same folder gives the same bytes.
    ///
    /// # Errors
    /// When a file cannot be read, or is not what it was a moment ago.
    pub fn read(&self) -> Result<Archive, ArchiveError> {
        Archive::parse(write::tar(&self.folder, self.found.iter())?)
    }

    /// Reads the files, with what a build has made of them beside them.
    ///
    /// # Errors
    /// When a file cannot be read or is not what it was a moment ago, or a built one has no place.
    pub fn read_with(&self, built: Built) -> Result<Archive, ArchiveError> {
        let built = built.into_found()?;
        let mut all: Vec<&Found> = self.found.iter().chain(&built).collect();
        all.sort_by(|a, b| a.in_order(b));
        Archive::parse(write::tar(&self.folder, all.into_iter())?)
    }

    fn walk(&mut self, relative: &Path, left_out: IsLeftOut<'_>) -> Result<(), ArchiveError> {
        let folder = self.folder.join(relative);
        for entry in fs::read_dir(&folder).map_err(ArchiveError::io(&folder))? {
            let name = entry.map_err(ArchiveError::io(&folder))?.file_name();
            let path = relative.join(&name);
            let full = folder.join(&name);
            let status = fs::symlink_metadata(&full).map_err(ArchiveError::io(&full))?;
            let (kind, mode) = (status.file_type(), status.mode() & 0o777);
            let at_top = relative.as_os_str().is_empty();
            if at_top && name == FILE_NAME {
                continue;
            } else if at_top && name == RESERVED {
                return Err(ArchiveError::Reserved { path: full });
            } else if at_top && name.as_bytes().starts_with(TEMP_PREFIX.as_bytes()) {
                self.leftovers.push(path);
            } else if at_top && name == ".git" {
                self.history = Some(path);
            } else if kind.is_dir() && name == "__pycache__" {
                self.caches.push(path);
            } else if at_top && kind.is_file() && is_manifest(&name) {
                self.manifests.push(path);
            } else if kind.is_dir() {
                self.walk_folder(path, mode, left_out)?;
            } else if left_out(&path) {
                self.left_out.push(path);
            } else if kind.is_file() {
                if status.nlink() > 1 {
                    self.hard_linked.push(path.clone());
                }
                self.found.push(Found {
                    path,
                    mode,
                    kind: FoundKind::File { size: status.len() },
                });
            } else if at_top && kind.is_symlink() && is_manifest(&name) {
                return Err(ArchiveError::ManifestLink { path: full });
            } else if kind.is_symlink() {
                let target = fs::read_link(&full).map_err(ArchiveError::io(&full))?;
                check_link(&self.folder, &path, &target)?;
                self.found.push(Found {
                    path,
                    mode,
                    kind: FoundKind::Link(target),
                });
            } else {
                let kind = match kind {
                    it if it.is_socket() => "a socket",
                    it if it.is_fifo() => "a named pipe",
                    _ => "a device",
                };
                return Err(ArchiveError::Kind { path: full, kind });
            }
        }
        Ok(())
    }

    /// A folder that is left out may hold something that is not. One that holds nothing else than what is left out
    /// stays with it.
    fn walk_folder(
        &mut self,
        path: PathBuf,
        mode: u32,
        left_out: IsLeftOut<'_>,
    ) -> Result<(), ArchiveError> {
        let (found, apart) = (self.found.len(), self.left_out.len());
        self.walk(&path, left_out)?;
        let is_apart = left_out(&path) || self.left_out.len() > apart;
        if is_apart && self.found.len() == found {
            self.left_out.truncate(apart);
            self.left_out.push(path);
        } else {
            self.found.push(Found {
                path,
                mode,
                kind: FoundKind::Folder,
            });
        }
        Ok(())
    }
}
