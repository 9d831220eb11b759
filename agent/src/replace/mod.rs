//! Files that are replaced whole or not at all, whenever the process is killed or the power goes.
//!
//! The new content is written beside the file, made to stay, read back and looked at; only then does it get
//! the file's name, which is made to stay too. In this order and no other: before the first sync a disk may
//! have any part of what was written, in any order, and a name may be on it before what it stands for.
mod disk;
#[cfg(test)]
pub(crate) mod power;

use std::{io, path::Path};

pub(crate) use self::disk::{Beside, is_abandoned, remove_leftovers};
use crate::fault::Point;

/// Beginning of the names of files that are not finished; also what is left when one is interrupted.
pub const TEMP_PREFIX: &str = ".rsfaas-tmp.";

/// A file that is about to take another one's place, as the steps to it see it.
pub(crate) trait Replacement {
    /// Writes the content, somewhere beside the file.
    fn write(&mut self, content: &[u8]) -> io::Result<()>;
    /// Makes what was written stay.
    fn sync(&mut self) -> io::Result<()>;
    /// Reads back what was written.
    fn read_back(&mut self) -> io::Result<Vec<u8>>;
    /// Gives it the file's name.
    fn rename(&mut self) -> io::Result<()>;
    /// Makes the name stay.
    fn sync_name(&mut self) -> io::Result<()>;
}

/// Why a file was not replaced.
#[derive(Debug)]
pub(crate) enum ReplaceError {
    /// The system said so.
    Io(io::Error),
    /// What was read back is not what it should be.
    Wrong,
}

impl From<io::Error> for ReplaceError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Carries a replacement out, if what is read back is right; `passed` is told of each step.
pub(crate) fn carry_out(
    replacement: &mut impl Replacement,
    content: &[u8],
    is_right: impl FnOnce(&[u8]) -> bool,
    passed: impl Fn(Point),
) -> Result<(), ReplaceError> {
    passed(Point::ReplaceCreated);
    replacement.write(content)?;
    passed(Point::ReplaceWritten);
    replacement.sync()?;
    passed(Point::ReplaceSynced);
    if !is_right(&replacement.read_back()?) {
        return Err(ReplaceError::Wrong);
    }
    replacement.rename()?;
    passed(Point::ReplaceRenamed);
    replacement.sync_name()?;
    passed(Point::ReplaceFinished);
    Ok(())
}

/// Replaces a small file of the agent's own; a new one is its user's alone. Passes none of the points at which tests
/// have the process killed: they mean the sealed handler.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut beside = Beside::new(path, 0o600)?;
    match carry_out(&mut beside, content, |read| read == content, |_| {}) {
        Ok(()) => Ok(()),
        Err(ReplaceError::Io(error)) => Err(error),
        Err(ReplaceError::Wrong) => Err(io::Error::other(
            "what was written does not read back as it was; the old file stays",
        )),
    }
}
