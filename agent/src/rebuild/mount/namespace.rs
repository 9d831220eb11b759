//! A container's mount namespace, held: the kernel gives the number of one that is gone to the next that is
//! made, which would be somebody else's container.
use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt as _,
    },
};

use super::MountError;

/// A mount namespace, which exists at least as long as this.
pub(super) struct Namespace {
    handle: OwnedFd,
    number: u64,
}

impl Namespace {
    /// Takes hold of the one that an open `/proc/PID/ns/mnt` names.
    pub(super) fn held_by(handle: OwnedFd) -> io::Result<Self> {
        let number = rustix::fs::fstat(&handle)?.st_ino;
        Ok(Self { handle, number })
    }

    /// Its number, nobody else's while it is held.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Tells whether the agent lives in it.
    pub(super) fn is_own(&self) -> Result<bool, MountError> {
        let own = number_in("self").map_err(MountError::kernel("reading /proc/self/ns/mnt"))?;
        Ok(own == self.number)
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// Number of the one that a process lives in; `None` once that has ended.
pub(super) fn number_of(pid: i32) -> Option<u64> {
    number_in(&pid.to_string()).ok()
}

fn number_in(process: &str) -> io::Result<u64> {
    Ok(std::fs::metadata(format!("/proc/{process}/ns/mnt"))?.ino())
}
