//! Tells when the state folder's records change: `rsfaas seal` needs no restart of the agent.
use std::{
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use tokio::io::unix::AsyncFd;

use crate::state::StateDir;

/// A watch on the folder of the records.
pub(super) struct StateWatch {
    inotify: Inotify,
    ready: AsyncFd<OwnedFd>,
    folder: PathBuf,
    watched: Option<Watched>,
}

/// A folder that is watched, whatever name it has by now.
struct Watched {
    watch: WatchDescriptor,
    place: Place,
}

/// What tells a folder from another that gets its name: the numbers of its device and inode.
type Place = (u64, u64);

impl StateWatch {
    /// Starts to watch; the folder is made where it is missing.
    pub(super) fn new(state: &StateDir) -> io::Result<Self> {
        let folder = state.functions();
        std::fs::create_dir_all(&folder)?;
        let inotify =
            Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).map_err(refused)?;
        let watched = Watched::start(&inotify, &folder)?;
        let descriptor = inotify.as_fd().try_clone_to_owned()?;
        // SAFETY: the descriptor is owned, and lives inside the `AsyncFd` from here on.
        let ready = unsafe { AsyncFd::register(descriptor) }.map_err(io::Error::from)?;
        Ok(Self {
            inotify,
            ready,
            folder,
            watched: Some(watched),
        })
    }

    /// Waits for a change. Safe to cancel.
    pub(super) async fn changed(&mut self) -> io::Result<()> {
        loop {
            let mut guard = self.ready.readable().await?;
            match self.inotify.read_events() {
                Ok(events) => {
                    // A folder that is removed is watched no longer, and the next one may get its inode.
                    let is_over = |watched: &Watched| {
                        events.iter().any(|event| {
                            event.wd == watched.watch
                                && event.mask.contains(AddWatchFlags::IN_IGNORED)
                        })
                    };
                    self.watched.take_if(|watched| is_over(watched));
                    return Ok(());
                }
                Err(nix::Error::EAGAIN) => guard.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Looks whether the folder of the records is another one by now (a backup that was restored, say), or gone, and
    /// watches the one that is there; whether all records are to be read again. So they are at each call for as long
    /// as one that is there cannot be watched.
    pub(super) fn renew(&mut self) -> bool {
        let place = place(&self.folder).ok();
        if place == self.watched.as_ref().map(|watched| watched.place) {
            return false;
        }
        let started = Watched::start(&self.inotify, &self.folder);
        let before = match started {
            Ok(watched) => self.watched.replace(watched),
            Err(error) => {
                let before = self.watched.take();
                if before.is_some() {
                    tracing::error!(%error, "the folder of the records cannot be watched; it is looked at each second");
                }
                before
            }
        };
        if let Some(before) = before
            && self.watched.as_ref().map(|it| it.watch) != Some(before.watch)
        {
            // It is over by itself where that folder is removed.
            let _ = self.inotify.rm_watch(before.watch);
        }
        true
    }
}

impl Watched {
    fn start(inotify: &Inotify, folder: &Path) -> io::Result<Self> {
        // Before the watch: another folder that comes in between is told from this one at the next look.
        let place = place(folder)?;
        let what = AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_CLOSE_WRITE;
        let watch = inotify.add_watch(folder, what).map_err(refused)?;
        Ok(Self { watch, place })
    }
}

/// The system's word for a limit that is reached sounds like another one.
fn refused(error: nix::Error) -> io::Error {
    let limit = match error {
        nix::Error::EMFILE => "fs.inotify.max_user_instances",
        nix::Error::ENOSPC => "fs.inotify.max_user_watches",
        _ => return error.into(),
    };
    io::Error::other(format!(
        "it cannot be watched ({}): as many watches as {limit} allows are in use, by containers too; raise it with \
         sysctl",
        error.desc()
    ))
}

fn place(folder: &Path) -> io::Result<Place> {
    let folder = std::fs::metadata(folder)?;
    Ok((folder.dev(), folder.ino()))
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

    #[tokio::test]
    async fn a_record_that_is_moved_out_of_the_folder_wakes() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        std::fs::create_dir_all(state.functions()).unwrap();
        let path = state.functions().join("pydict.json");
        std::fs::write(&path, "{}").unwrap();
        let mut watch = StateWatch::new(&state).unwrap();
        std::fs::rename(&path, folder.path().join("pydict.json")).unwrap();
        assert!(changes(&mut watch).await);
    }

    #[tokio::test]
    async fn a_folder_that_takes_the_place_of_the_watched_one_is_watched() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        let mut watch = StateWatch::new(&state).unwrap();
        assert!(!watch.renew());
        std::fs::rename(state.functions(), folder.path().join("before")).unwrap();
        assert!(watch.renew() && !watch.renew(), "it is gone");
        std::fs::create_dir(state.functions()).unwrap();
        assert!(watch.renew() && !watch.renew());
        while changes(&mut watch).await {}
        std::fs::write(folder.path().join("before/pydict.json"), "{}").unwrap();
        assert!(!changes(&mut watch).await, "nobody reads that one any more");
        std::fs::write(state.functions().join("pydict.json"), "{}").unwrap();
        assert!(changes(&mut watch).await);
    }

    #[tokio::test]
    async fn a_folder_that_is_removed_and_made_anew_is_watched() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        let mut watch = StateWatch::new(&state).unwrap();
        std::fs::remove_dir(state.functions()).unwrap();
        std::fs::create_dir(state.functions()).unwrap();
        watch.changed().await.unwrap();
        assert!(watch.renew() && !watch.renew());
        while changes(&mut watch).await {}
        std::fs::write(state.functions().join("pydict.json"), "{}").unwrap();
        assert!(changes(&mut watch).await);
    }

    #[test]
    fn a_limit_of_inotify_is_told_by_the_name_of_its_sysctl() {
        let told = refused(nix::Error::EMFILE).to_string();
        assert!(told.contains("fs.inotify.max_user_instances"), "{told}");
        let told = refused(nix::Error::ENOSPC).to_string();
        assert!(told.contains("fs.inotify.max_user_watches"), "{told}");
        let other = refused(nix::Error::EACCES);
        assert_eq!(other.kind(), io::ErrorKind::PermissionDenied);
    }

    async fn changes(watch: &mut StateWatch) -> bool {
        let changed = tokio::time::timeout(std::time::Duration::from_millis(100), watch.changed());
        changed.await.is_ok_and(|changed| changed.is_ok())
    }
}
