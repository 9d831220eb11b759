//! What can go wrong between parking and wiping.
use std::{io, path::PathBuf, time::Duration};

use nix::libc;

/// Why a handler could not be brought into its container, or not be removed from it.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// No process came to wait for its handler.
    #[error(
        "no process waits for its handler after {waited:?} ({carriers} of the container's processes \
         were seen); look at the function's log (faas-cli logs), and seal it again if its base image \
         lacks /.rsfaas"
    )]
    NotParked {
        /// How long it was waited for.
        waited: Duration,
        /// How many processes with the token were there all the same.
        carriers: usize,
    },
    /// The container's processes ended before one of them came to wait for its handler.
    #[error(
        "the container has ended before one of its processes waited for its handler; look at the function's log \
         (faas-cli logs), and seal it again if its base image does not start"
    )]
    EndedEarly,
    /// The process sees the host's own mount table.
    #[error(
        "process {pid} shares its mount namespace with the agent or the host, so a handler delivered to it would be \
         visible on the host; deploy the function in a container of its own"
    )]
    NotIsolated {
        /// The process, as the host counts.
        pid: i32,
    },
    /// The process ended before it listened.
    #[error("process {pid} ended before it listened; look at the function's log (faas-cli logs)")]
    Ended {
        /// The process, as the host counts.
        pid: i32,
    },
    /// Nothing listens on the function's port.
    #[error(
        "nothing listens on port {port} after {waited:?}; check that the template's upstream_url names \
         the port, and look at the function's log (faas-cli logs)"
    )]
    NotListening {
        /// The port, in the container's network namespace.
        port: u16,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The function listens, but its handler is still being loaded.
    #[error(
        "the handler is still being loaded after {waited:?}; look at the function's log (faas-cli logs)"
    )]
    NotLoaded {
        /// How long it was waited for.
        waited: Duration,
    },
    /// Something of a process cannot be read.
    #[error(
        "cannot read {what} of process {pid}: {source}; the agent needs root or CAP_SYS_PTRACE, and the \
         process must still run"
    )]
    Process {
        /// The process, as the host counts.
        pid: i32,
        /// What was to be read.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The folder for the handler is not in the container.
    #[error(
        "the container has no handler folder {}: {source}; seal the function again, so that its base \
         image has one", folder.display()
    )]
    HandlerDir {
        /// The folder, as the container sees it.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The base image's files in the handler folder cannot be read.
    #[error("cannot read what the base image keeps in the handler folder: {source}")]
    Base {
        /// What the system said.
        source: io::Error,
    },
    /// A path that would leave the handler folder.
    #[error("{} would lie outside the handler folder; seal the function again", path.display())]
    Path {
        /// The path, as sealed.
        path: PathBuf,
    },
    /// A file could not be written into memory.
    #[error("cannot write {} for the container: {source}; check that the host has free memory", path.display())]
    Write {
        /// The file, within the handler folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A system call was refused.
    #[error(
        "the kernel refused {call}: {source}; park and deliver needs CAP_SYS_ADMIN and Linux 5.6 or \
         newer with ramfs (and overlayfs for large base folders)"
    )]
    Kernel {
        /// The call, and what it was for.
        call: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// Processes cannot be looked at for lack of descriptors or memory, so nobody can tell which ones there are.
    #[error(
        "too little is left to look at the host's processes: {source}; allow more descriptors (`LimitNOFILE=` of the \
         agent's unit, fs.file-max)"
    )]
    Exhausted {
        /// What the kernel said.
        source: io::Error,
    },
    /// A process may not be killed.
    #[error("cannot kill process {pid}: {source}; the agent needs root or CAP_KILL")]
    Kill {
        /// The process, as the host counts.
        pid: i32,
        /// What the system said.
        source: io::Error,
    },
    /// Processes outlived their SIGKILL.
    #[error(
        "processes {pids:?} of the container are still there after SIGKILL; remove the function \
         (faas-cli remove) and look at what they wait for (/proc/PID/stack)"
    )]
    Survivors {
        /// The processes, as the host counts.
        pids: Vec<i32>,
    },
    /// Delivered files could not be overwritten.
    #[error(
        "cannot overwrite the delivered {}: {source}; the memory is freed with the container, so remove \
         the function (faas-cli remove)", path.display()
    )]
    Wipe {
        /// The first such file, within the handler folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The agent is shutting down.
    #[error("the look for processes was stopped: the agent is shutting down")]
    Stopped,
}

impl MountError {
    /// Takes an error for what it is where the agent itself lacks what it needs to look at a process.
    pub(super) fn exhausted(source: io::Error) -> Result<Self, io::Error> {
        match source.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM) => Ok(Self::Exhausted { source }),
            _ => Err(source),
        }
    }

    /// Wraps a refused system call.
    pub(super) fn kernel<E: Into<io::Error>>(call: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Kernel {
            call,
            source: source.into(),
        }
    }
}

/// What was seen of a process. One that ends under our hands is as good as never seen; not so one that the agent
/// cannot look at for lack of its own.
pub(super) fn seen<T>(look: io::Result<T>) -> Result<Option<T>, MountError> {
    match look {
        Ok(seen) => Ok(Some(seen)),
        Err(source) => MountError::exhausted(source).map_or(Ok(None), Err),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_process_is_told_with_the_next_step() {
        let error = MountError::NotParked {
            waited: Duration::from_secs(5),
            carriers: 1,
        };
        assert_eq!(
            error.to_string(),
            "no process waits for its handler after 5s (1 of the container's processes were seen); look \
             at the function's log (faas-cli logs), and seal it again if its base image lacks /.rsfaas"
        );
    }

    #[test]
    fn who_has_no_descriptor_left_to_look_with_does_not_say_that_nobody_waits() {
        let looked = |errno| seen::<()>(Err(io::Error::from_raw_os_error(errno)));
        for errno in [libc::EMFILE, libc::ENFILE, libc::ENOMEM] {
            assert!(matches!(looked(errno), Err(MountError::Exhausted { .. })));
        }
        for errno in [libc::ENOENT, libc::ESRCH, libc::EACCES] {
            assert!(matches!(looked(errno), Ok(None)), "it has ended");
        }
        assert!(matches!(seen(Ok(())), Ok(Some(()))));
    }
}
