//! One agent, or one sweep, at a time: both end and remove whatever carries the state folder's host ID.
use std::fs;

use super::{StateDir, StateError};
use crate::lock::{Lock, Refused};

/// The containers that belong to a state folder are this process's, for as long as this lives.
#[derive(Debug)]
pub struct Claim(#[expect(dead_code, reason = "held")] Lock);

impl StateDir {
    /// Takes the containers that belong to this folder; the folder is made where it is missing.
    ///
    /// # Errors
    /// When another process has them, or the system refuses.
    pub fn claim(&self) -> Result<Claim, StateError> {
        let path = self.root().join("agent.lock");
        let io = |source| StateError::Io {
            path: path.clone(),
            source,
        };
        fs::create_dir_all(self.root()).map_err(io)?;
        match Lock::whole(&path) {
            Ok(lock) => Ok(Claim(lock)),
            Err(Refused::Held(by)) => Err(StateError::Claimed {
                path: self.root().to_owned(),
                by,
            }),
            Err(Refused::Io(error)) => Err(io(error)),
        }
    }
}
