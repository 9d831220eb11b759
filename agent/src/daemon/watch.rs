//! Tells when the state folder's records change: `rsfaas seal` needs no restart of the agent.
use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::unix::AsyncFd;

use crate::state::StateDir;

/// A watch on the folder of the records.
pub(super) struct StateWatch {
    inotify: Inotify,
    ready: AsyncFd<OwnedFd>,
}

impl StateWatch {
    /// Starts to watch; the folder is made where it is missing.
    pub(super) fn new(state: &StateDir) -> io::Result<Self> {
        std::fs::create_dir_all(state.functions())?;
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let what =
            AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_DELETE | AddWatchFlags::IN_CLOSE_WRITE;
        inotify.add_watch(&state.functions(), what)?;
        let descriptor = inotify.as_fd().try_clone_to_owned()?;
        // SAFETY: the descriptor is owned, and lives inside the `AsyncFd` from here on.
        let ready = unsafe { AsyncFd::register(descriptor) }.map_err(io::Error::from)?;
        Ok(Self { inotify, ready })
    }

    /// Waits for a change. Safe to cancel.
    pub(super) async fn changed(&mut self) -> io::Result<()> {
        loop {
            let mut guard = self.ready.readable().await?;
            match self.inotify.read_events() {
                Ok(_) => return Ok(()),
                Err(nix::Error::EAGAIN) => guard.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_record_that_is_removed_wakes() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        let mut watch = StateWatch::new(&state).unwrap();
        let path = state.functions().join("pydict.json");
        std::fs::write(&path, "{}").unwrap();
        watch.changed().await.unwrap();
        std::fs::remove_file(&path).unwrap();
        watch.changed().await.unwrap();
    }
}
