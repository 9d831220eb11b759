//! Seals a handler folder in place, and unseals it again.
//!
//! The order of steps is what makes both safe to interrupt: ciphertext is complete, synced, read
//! back and opened before the first plaintext file goes, and plaintext is complete and synced
//! before the ciphertext goes. A run after an interrupted one finds both and finishes the work,
//! after having made sure that they say the same. Plaintext is removed, not overwritten: journals,
//! copy-on-write and flash keep old blocks that overwriting does not reach, so promising it would
//! be a lie.
use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{
    archive::{Archive, ArchiveError, Built, Content, Existing, IsLeftOut, Owner, Survey},
    file::{FileError, SealedFile},
    key::{Key, KeyId},
};
use crate::{
    fault::{self, Point},
    not_found::ignore_not_found,
    replace,
};

/// What sealing or unsealing came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// An earlier, interrupted run was brought to its end.
    Completed,
    /// There was nothing to do, and nothing was changed.
    Already,
}

/// What there is to tell after sealing. Paths are relative to the handler folder.
#[derive(Debug)]
pub struct Report {
    /// What was done.
    pub outcome: Outcome,
    /// The key that opens the sealed file.
    pub key_id: KeyId,
    /// Manifests that stay readable.
    pub manifests: Vec<PathBuf>,
    /// The folder's `.git`: it may still hold the source.
    pub history: Option<PathBuf>,
    /// Files whose content also stands under another name on this host.
    pub hard_linked: Vec<PathBuf>,
    /// What is no part of the function, and stays as it is.
    pub left_out: Vec<PathBuf>,
}

/// Why a folder was not sealed or unsealed.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The sealed file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The plain files.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Nothing there that could be sealed.
    #[error("{folder} holds nothing to seal; is it the function's handler folder?")]
    Empty {
        /// The handler folder.
        folder: PathBuf,
    },
    /// Plain and sealed content are both there and differ.
    #[error(
        "{path} is not what the sealed handler holds; nothing was removed. Move it away to keep \
         the sealed handler, or move handler.sealed away to seal the plain files"
    )]
    Differs {
        /// The plain file.
        path: PathBuf,
    },
    /// Neither sealed nor plain.
    #[error("{folder} holds neither a sealed handler nor a plain one")]
    NotSealed {
        /// The handler folder.
        folder: PathBuf,
    },
}

/// Seals what is in `folder` for the function `name`; `time` is in seconds since 1970. With what a build has made of that
/// folder's files (the archive) beside them, and without what is no part of the function.
///
/// # Errors
/// When something cannot be read, sealed, written or removed, and when the folder is not any more what was built.
/// Plaintext is there until the ciphertext is.
pub fn seal_built(
    folder: &Path,
    name: &str,
    key: &Key,
    time: u64,
    built: Option<(Archive, Built)>,
    left_out: IsLeftOut<'_>,
) -> Result<Report, FolderError> {
    let file = SealedFile::in_folder(folder);
    let survey = Survey::without(folder, left_out)?;
    let (outcome, archive) = match (file.exists()?, survey.is_clean()) {
        (true, true) => {
            return Ok(Report::new(
                Outcome::Already,
                file.header()?.key_id(),
                survey,
            ));
        }
        (true, false) => (Outcome::Completed, file.open(key, name)?),
        (false, _) => {
            let archive = match built {
                None => survey.read()?,
                Some((source, built)) => {
                    compare(folder, &survey, &source)?;
                    survey.read_with(built)?
                }
            };
            if archive.is_empty() {
                return Err(FolderError::Empty {
                    folder: folder.to_owned(),
                });
            }
            file.store(key, name, &archive, time)?;
            (Outcome::Done, archive)
        }
    };
    remove_plaintext(folder, &archive, left_out)?;
    Ok(Report::new(outcome, key.id(), survey))
}

/// Gives the plain files back, beside the sealed file, which is there until [`remove_sealed`], and beside what is no part
/// of the function.
///
/// # Errors
/// When the file does not open, plain files of other content are in the way, or something cannot
/// be written.
pub fn place_plain(
    folder: &Path,
    name: &str,
    key: &Key,
    left_out: IsLeftOut<'_>,
) -> Result<Outcome, FolderError> {
    let file = SealedFile::in_folder(folder);
    let survey = Survey::without(folder, left_out)?;
    if !file.exists()? {
        let plain = survey.read()?;
        let folder = folder.to_owned();
        return if plain.is_empty() {
            Err(FolderError::NotSealed { folder })
        } else {
            Ok(Outcome::Already)
        };
    }
    let archive = file.open(key, name)?;
    let there = compare(folder, &survey, &archive)?;
    let outcome = if there.is_empty() {
        Outcome::Done
    } else {
        Outcome::Completed
    };
    remove_leftovers(folder, &survey)?;
    let status = fs::metadata(folder).map_err(io_error(folder))?;
    let owner = Owner {
        uid: status.uid(),
        gid: status.gid(),
    };
    let owner = nix::unistd::geteuid().is_root().then_some(owner);
    archive.place(folder, Existing::Keep, owner)?;
    Ok(outcome)
}

/// Removes the sealed file of a folder whose plain files are there; nobody may write to it any more.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn remove_sealed(folder: &Path) -> Result<(), FolderError> {
    let file = SealedFile::in_folder(folder);
    match ignore_not_found(fs::remove_file(file.path())).map_err(io_error(file.path()))? {
        Some(()) => sync(folder),
        None => Ok(()),
    }
}

impl Report {
    fn new(outcome: Outcome, key_id: KeyId, survey: Survey) -> Self {
        let Survey {
            manifests,
            history,
            hard_linked,
            left_out,
            ..
        } = survey;
        Self {
            outcome,
            key_id,
            manifests,
            history,
            hard_linked,
            left_out,
        }
    }
}

/// Removes the plain files, once it is certain that the archive holds each of them as it is now.
fn remove_plaintext(
    folder: &Path,
    archive: &Archive,
    left_out: IsLeftOut<'_>,
) -> Result<(), FolderError> {
    let survey = Survey::without(folder, left_out)?;
    let plain = compare(folder, &survey, archive)?;
    remove_all(folder, &survey.caches)?;
    remove_leftovers(folder, &survey)?;
    for entry in plain.entries().rev() {
        let path = folder.join(entry.path);
        match entry.content {
            Content::Folder if survey.holds_left_out(entry.path) => Ok(()),
            Content::Folder => fs::remove_dir(&path),
            _ => fs::remove_file(&path),
        }
        .map_err(io_error(&path))?;
        fault::pass(Point::SealRemoving);
    }
    sync(folder)?;
    fault::pass(Point::SealRemoved);
    Ok(())
}

/// Reads what is there and makes sure that the archive holds the same; more in the archive is well.
fn compare(folder: &Path, survey: &Survey, archive: &Archive) -> Result<Archive, FolderError> {
    let plain = survey.read()?;
    for entry in plain.entries() {
        let same = archive.get(entry.path).is_some_and(|sealed| {
            let folders = entry.content == Content::Folder;
            sealed.content == entry.content && (folders || sealed.mode == entry.mode)
        });
        if !same {
            return Err(FolderError::Differs {
                path: folder.join(entry.path),
            });
        }
    }
    Ok(plain)
}

/// Removes what interrupted runs have left. A file that somebody works on stays: it is the agent's, at the end of a
/// lease.
fn remove_leftovers(folder: &Path, survey: &Survey) -> Result<(), FolderError> {
    let mut left = survey.leftovers.clone();
    left.retain(|path| {
        let path = folder.join(path);
        path.is_dir() || replace::is_abandoned(&path)
    });
    remove_all(folder, &left)
}

fn remove_all(folder: &Path, paths: &[PathBuf]) -> Result<(), FolderError> {
    for path in paths.iter().map(|path| folder.join(path)) {
        let is_folder = fs::symlink_metadata(&path)
            .map_err(io_error(&path))?
            .is_dir();
        let removed = if is_folder {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.map_err(io_error(&path))?;
    }
    Ok(())
}

fn sync(folder: &Path) -> Result<(), FolderError> {
    let synced = fs::File::open(folder).and_then(|opened| opened.sync_all());
    synced.map_err(io_error(folder))
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    let path = path.to_owned();
    move |source| FolderError::Archive(ArchiveError::Io { path, source })
}

/// Seals a folder of which nothing is built, in tests.
#[cfg(test)]
pub(crate) fn seal_folder(
    folder: &Path,
    name: &str,
    key: &Key,
    time: u64,
) -> Result<Report, FolderError> {
    seal_built(folder, name, key, time, None, &|_| false)
}

#[cfg(test)]
mod tests;
