//! One agent a network namespace: two would hold the same requests, and each would take the other's pair of interfaces
//! away.
use std::{
    fs::{self, DirBuilder},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::Path,
};

use super::ReleaseError;
use crate::lock::{Lock, Refused};

/// Where the lock is: nobody but root takes it.
const FOLDER: &str = "/run/rsfaas";
/// Of its bytes each stands for a network namespace, by the number that the kernel gives that (namespaces(7)).
const FILE: &str = "agents.lock";

/// The network namespace is this process's, for as long as this lives.
#[derive(Debug)]
pub(super) struct Claim(#[expect(dead_code, reason = "held")] Lock);

impl Claim {
    /// Takes the network namespace.
    ///
    /// # Errors
    /// When another agent has it, or the system refuses.
    pub(super) fn take() -> Result<Self, ReleaseError> {
        let namespace = fs::metadata("/proc/self/ns/net").map_err(ReleaseError::Claim)?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(FOLDER)
            .map_err(ReleaseError::Claim)?;
        match Lock::byte(&Path::new(FOLDER).join(FILE), namespace.ino()) {
            Ok(lock) => Ok(Self(lock)),
            Err(Refused::Held(by)) => Err(ReleaseError::Claimed { by }),
            Err(Refused::Io(error)) => Err(ReleaseError::Claim(error)),
        }
    }
}
