//! Park and deliver: a container of the base image waits without a handler, and gets it as a mount that
//! exists in memory only and in that container only.
//!
//! In order: [`ParkToken`] goes into the container's environment, [`wait_parked`] finds the process that
//! waits, [`Parked::deliver`] puts the handler into the container, [`Delivered::ready`] waits for the
//! function's socket, [`Delivered::wipe_and_kill`] ends it, [`Delivered::removed_by`] sees its container
//! off. Nothing here asks a container runtime.
//!
//! Promises: plaintext is written to an unnamed ramfs only (never swapped, never on a disk, in no mount
//! table but the container's); what is delivered is read-only for the function; dropping a [`Delivered`]
//! zeroes it and kills the process that had it.
//!
//! Needs `CAP_SYS_ADMIN`, `CAP_SYS_CHROOT`, `CAP_SYS_PTRACE`, `CAP_CHOWN`, `CAP_DAC_OVERRIDE`,
//! `CAP_FOWNER` and `CAP_KILL`, and a kernel from 5.6 on (openat2, pidfds and the new mount calls).
mod attach;
mod base;
mod container_processes;
mod entry;
mod error;
mod find;
mod kill;
mod listen;
mod namespace;
mod process;
mod ramfs;
mod ready;
mod removal;
mod status;
mod swap;
mod token;
mod wait;

use std::{
    io, iter,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{io::unix::AsyncFd, time::Instant};

use self::{
    attach::Attachment, base::Layering, namespace::Namespace, process::Process, ramfs::Ramfs,
};
pub use self::{
    container_processes::ContainerProcesses,
    entry::{DeliveryPlace, Entry, EntryKind, PlaceContent},
    error::MountError,
    ready::wait_listening,
    token::ParkToken,
    wait::wait_parked,
};
use crate::chain;

/// Between two tries to overwrite a program that still runs, and how long they go on.
const WIPE_PAUSE: Duration = Duration::from_millis(1);
const WIPE_PATIENCE: Duration = Duration::from_secs(2);

/// A process that waits for its handler.
pub struct Parked {
    process: Process,
    first: Option<Process>,
    token: Arc<ParkToken>,
    /// Whether the container's memory is kept out of swap.
    unswapped: bool,
}

/// A process that has its handler, with the others that waited for it: workers of the same server, say.
///
/// Dropping it closes it too, as well as that goes without waiting: the processes are killed and the
/// delivered files are overwritten, errors are not told.
pub struct Delivered {
    process: Process,
    others: Vec<Process>,
    /// The container's first process, unless that is the one above.
    first: Option<Process>,
    token: Arc<ParkToken>,
    /// Where the container lives, until everything in it is killed.
    namespace: Option<Arc<Namespace>>,
    ramfs: Arc<Mutex<Ramfs>>,
}

impl Parked {
    /// One that tests have parked; nothing can be delivered to it.
    #[cfg(test)]
    pub(super) fn example(pid: u32) -> Self {
        Self {
            process: Process::open(pid.cast_signed()).unwrap(),
            first: None,
            token: Arc::new(ParkToken::generate("host").unwrap()),
            unswapped: false,
        }
    }

    /// The process's number, as the host counts.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// What its container is known by.
    pub(super) fn token(&self) -> Arc<ParkToken> {
        Arc::clone(&self.token)
    }

    /// Tells whether the process has ended, so that nobody waits any more.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.process.is_ended()
    }

    /// Whether the container's memory is kept out of swap.
    #[must_use]
    pub fn is_unswapped(&self) -> bool {
        self.unswapped
    }

    /// Puts the handler into the container, over places of it, in their order: the one that the process
    /// watches comes last.
    ///
    /// Files come to belong to the process's user and are read-only. Blocks for about a millisecond, and some
    /// microseconds more for each file; when it returns, the process has been woken.
    ///
    /// # Errors
    /// When a place is not there, an entry's path leaves it, the process has ended, or the kernel
    /// refuses. What was written is overwritten again then.
    pub fn deliver(self, places: &[DeliveryPlace<'_>]) -> Result<Delivered, MountError> {
        let (root, owner) = (self.process.root()?, self.process.owner()?);
        let mut ramfs = Ramfs::new()?;
        let mut attachments = Vec::with_capacity(places.len());
        for (number, place) in places.iter().enumerate() {
            let inside = PathBuf::from(number.to_string());
            let is_folder = matches!(place.content, PlaceContent::Folder(_));
            let opened = attach::place(&root, place.path, is_folder)?;
            let layering = match &place.content {
                PlaceContent::Folder(entries) => {
                    ramfs.write(&inside, entries, owner)?;
                    base::merge(&mut ramfs, &inside, &opened)?
                }
                PlaceContent::File(entry) => {
                    ramfs.write_file(&inside, entry, owner)?;
                    Layering::Copied
                }
            };
            attachments.push(Attachment {
                path: place.path,
                place: opened,
                inside,
                layering,
            });
        }
        ramfs.finish()?;
        let namespace = self.process.namespace()?;
        let others = self.others();
        attach::attach(&ramfs, &namespace, &root, &attachments)?;
        let Self {
            process,
            first,
            token,
            unswapped: _,
        } = self;
        Ok(Delivered {
            process,
            others,
            first,
            token,
            namespace: Some(Arc::new(namespace)),
            ramfs: Arc::new(Mutex::new(ramfs)),
        })
    }

    /// The others that wait: a server that starts several workers has each of them load the handler. Nobody had to
    /// wait for all of them, so this is the time to look.
    fn others(&self) -> Vec<Process> {
        let waits = |process: &Process| {
            let carries = process
                .read("environ")
                .is_ok_and(|it| self.token.is_in(&it));
            carries && process.is_waiting().unwrap_or(false)
        };
        let siblings = self.process.siblings().into_iter();
        siblings
            .filter_map(|pid| Process::open(pid).ok())
            .filter(waits)
            .collect()
    }
}

impl Delivered {
    /// The process's number, as the host counts.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// All that have waited for the handler.
    fn processes(&self) -> impl Iterator<Item = &Process> {
        iter::once(&self.process).chain(&self.others)
    }

    /// Tells whether the function has ended by itself: none of its processes is left.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.processes().all(Process::is_ended)
    }

    /// Tells whether the function has ended by itself, or is about to.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.processes().all(Process::is_ending)
    }

    /// What becomes readable when the function has ended, each when one of its processes has.
    ///
    /// # Errors
    /// When they cannot be waited for.
    pub fn ends(&self) -> io::Result<Vec<AsyncFd<OwnedFd>>> {
        self.processes().map(Process::end).collect()
    }

    /// Waits until something listens on TCP port `port` in the container's network namespace, and all who have waited
    /// for the handler have loaded it.
    ///
    /// # Errors
    /// [`MountError::Ended`] when they end first, [`MountError::NotListening`] after `timeout`.
    pub async fn ready(&self, port: u16, timeout: Duration) -> Result<(), MountError> {
        ready::ready(&self.process, &self.others, port, timeout).await
    }

    /// Kills every process of the container but the first, which is stopped, and overwrites what was
    /// delivered. Where the handler ran in the first process, that is killed too.
    ///
    /// # Errors
    /// [`MountError::Survivors`] when processes are still there after two seconds, [`MountError::Wipe`]
    /// when the files could not be overwritten. Both parts are tried in any case; a second error is logged.
    pub async fn wipe_and_kill(&mut self) -> Result<(), MountError> {
        let stopped = self.first.as_ref().map_or(Ok(()), Process::stop);
        // What fails at once, because a program is still running from it, is tried again at the end.
        let _ = Ramfs::wipe_aside(&self.ramfs).await;
        if let Some(first) = &self.first {
            removal::stopped(first).await;
        }
        let ended = self.process.kill();
        let killed =
            kill::kill_all(&self.token, self.namespace.as_ref(), self.first.as_ref()).await;
        if killed.is_ok() {
            self.namespace = None;
        }
        let wiped = self.wipe_patiently().await;
        let of = format_args!("process {}", self.pid());
        chain::first(&of, [ended, killed, wiped, stopped])
    }

    /// A program that was killed is written to once the last of its threads has gone, a moment after its
    /// process has.
    async fn wipe_patiently(&self) -> Result<(), MountError> {
        let start = Instant::now();
        loop {
            match Ramfs::wipe_aside(&self.ramfs).await {
                Err(MountError::Wipe { source, .. })
                    if source.kind() == io::ErrorKind::ExecutableFileBusy
                        && start.elapsed() < WIPE_PATIENCE =>
                {
                    tokio::time::sleep(WIPE_PAUSE).await;
                }
                result => return result,
            }
        }
    }

    /// Lets the container's first process live for as long as the provider needs it to remove the
    /// container, and no longer; gives what the removal gives.
    pub async fn removed_by<T>(self, removal: impl Future<Output = T>) -> T {
        match &self.first {
            Some(first) => removal::attend(first, removal).await,
            None => removal.await,
        }
    }
}

impl Drop for Delivered {
    fn drop(&mut self) {
        // Nobody is left to hear of an error; after `wipe_and_kill` they are gone already.
        for process in self.processes().chain(&self.first) {
            let _ = process.kill();
        }
    }
}
