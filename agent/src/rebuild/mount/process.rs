//! One process of a container, held so that a number that is used again cannot be taken for it.
use std::{
    fs::File,
    io::{self, Read as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::FileExt as _,
    },
    sync::OnceLock,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::{
    fs::{CWD, Mode, OFlags, openat, readlinkat},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use tokio::io::{Interest, unix::AsyncFd};

use super::{
    MountError,
    namespace::Namespace,
    status::{self, Owner},
};

/// A process: its folder in `/proc`, which answers for this very process or not at all, and its pidfd.
pub(super) struct Process {
    pid: i32,
    folder: OwnedFd,
    pidfd: OwnedFd,
    /// Its command line, kept open from the first look on: it is looked at often.
    cmdline: OnceLock<File>,
}

impl Process {
    /// Takes hold of a process.
    pub(super) fn open(pid: i32) -> io::Result<Self> {
        let path = format!("/proc/{pid}");
        let folder = openat(
            CWD,
            path,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let number = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
        let process = Self {
            pid,
            folder,
            pidfd: pidfd_open(number, PidfdFlags::empty())?,
            cmdline: OnceLock::new(),
        };
        // The folder still answers, so the number was not given away before the pidfd was opened.
        process.read("stat")?;
        Ok(process)
    }

    /// The process's number, as the host counts.
    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// Reads a file of the process's folder.
    pub(super) fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        self.open_file(name, OFlags::RDONLY)?
            .read_to_end(&mut content)?;
        Ok(content)
    }

    fn open_file(&self, name: &str, flags: OFlags) -> io::Result<File> {
        Ok(openat(&self.folder, name, flags | OFlags::CLOEXEC, Mode::empty())?.into())
    }

    /// Tells whether the process follows its own mount table, as parked ones do: it has the file open. One
    /// that follows another's waits on behalf of that one.
    ///
    /// # Errors
    /// When it has ended or is about to, and when it closes a file at this very moment.
    pub(super) fn is_waiting(&self) -> io::Result<bool> {
        let numbers = status::numbers(&String::from_utf8_lossy(&self.read("status")?));
        let files = self.open_file("fd", OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut open = 0;
        for entry in rustix::fs::Dir::read_from(&files)? {
            let entry = entry?;
            if entry.file_name().to_bytes().starts_with(b".") {
                continue;
            }
            // One that was just closed has no target; that may have been the table, closed by the process or
            // by its end.
            let target = readlinkat(&files, entry.file_name(), Vec::new())?;
            if is_mount_table(target.as_bytes(), &numbers) {
                return Ok(true);
            }
            open += 1;
        }
        // A process that ends gives up all of its files before any of them is closed.
        match open {
            0 => Err(io::ErrorKind::NotFound.into()),
            _ => Ok(false),
        }
    }

    /// Numbers of the others that the process has its parent in common with, as far as the kernel tells.
    pub(super) fn siblings(&self) -> Vec<i32> {
        let children = || {
            let text = self.read("status").ok()?;
            let parent = status::parent(&String::from_utf8_lossy(&text))?;
            // Those of its main thread, which is the one that starts a server's workers.
            std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()
        };
        let children = children().unwrap_or_default();
        let children = children.split_whitespace().filter_map(|it| it.parse().ok());
        children.filter(|pid| *pid != self.pid).collect()
    }

    /// User and group as which the process acts.
    pub(super) fn owner(&self) -> Result<Owner, MountError> {
        let text = self.read("status").map_err(self.failed("the user"))?;
        status::owner(&String::from_utf8_lossy(&text))
            .ok_or_else(|| self.failed("the user")(io::Error::from(io::ErrorKind::InvalidData)))
    }

    /// The mount namespace.
    pub(super) fn namespace(&self) -> Result<Namespace, MountError> {
        let file = self.open_file("ns/mnt", OFlags::RDONLY);
        file.and_then(|file| Namespace::held_by(file.into()))
            .map_err(self.failed("the mount namespace"))
    }

    /// The network namespace, to be entered.
    pub(super) fn network_handle(&self) -> Result<OwnedFd, MountError> {
        let file = self.open_file("ns/net", OFlags::RDONLY);
        Ok(file.map_err(self.failed("the network namespace"))?.into())
    }

    /// The root folder, as the process sees it.
    pub(super) fn root(&self) -> Result<OwnedFd, MountError> {
        let root = self.open_file("root", OFlags::PATH | OFlags::DIRECTORY);
        Ok(root.map_err(self.failed("the root folder"))?.into())
    }

    /// Tells whether the process has ended.
    pub(super) fn is_ended(&self) -> bool {
        let mut ended = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
        matches!(poll(&mut ended, PollTimeout::ZERO), Ok(1..))
    }

    /// Becomes readable when the process has ended.
    pub(super) fn end(&self) -> io::Result<AsyncFd<OwnedFd>> {
        let end = self.pidfd.try_clone()?;
        // SAFETY: the copy owns its descriptor, gives the same one each time, and lives inside the `AsyncFd` from
        // here on.
        unsafe { AsyncFd::register_with_interest(end, Interest::READABLE) }.map_err(Into::into)
    }

    /// Tells whether the process has ended or is about to. Its callers, whose connections the kernel has closed, may
    /// come again before the last of its threads is gone; its memory goes before its connections.
    pub(super) fn is_ending(&self) -> bool {
        let first = || {
            let file = match self.cmdline.get() {
                Some(file) => file,
                None => {
                    let file = self.open_file("cmdline", OFlags::RDONLY)?;
                    self.cmdline.get_or_init(|| file)
                }
            };
            file.read_at(&mut [0], 0)
        };
        tells_end(first())
    }

    /// Tells whether the process is the first of its PID namespace, with which the container ends.
    pub(super) fn is_first(&self) -> io::Result<bool> {
        Ok(status::is_first(&String::from_utf8_lossy(
            &self.read("status")?,
        )))
    }

    /// Tells whether somebody has sent SIGTERM to the process, which is stopped and has not seen it.
    pub(super) fn is_asked_to_end(&self) -> bool {
        // A process that is gone has nothing pending.
        self.read("status")
            .is_ok_and(|text| status::is_asked_to_end(&String::from_utf8_lossy(&text)))
    }

    /// Tells whether the process is stopped, all of its threads included.
    pub(super) fn is_stopped(&self) -> bool {
        // A process that is gone does nothing any more, but is not stopped.
        self.read("status")
            .is_ok_and(|text| status::is_stopped(&String::from_utf8_lossy(&text)))
    }

    /// Tells the process to stop until it is killed; one that has ended already is no error.
    pub(super) fn stop(&self) -> Result<(), MountError> {
        self.signal(Signal::STOP)
    }

    /// Kills the process; one that has ended already is no error.
    pub(super) fn kill(&self) -> Result<(), MountError> {
        self.signal(Signal::KILL)
    }

    fn signal(&self, signal: Signal) -> Result<(), MountError> {
        match pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(MountError::Kill {
                pid: self.pid,
                source: errno.into(),
            }),
        }
    }

    fn failed<E: Into<io::Error>>(&self, what: &'static str) -> impl FnOnce(E) -> MountError {
        let pid = self.pid;
        move |source| {
            MountError::exhausted(source.into()).unwrap_or_else(|source| MountError::Process {
                pid,
                what,
                source,
            })
        }
    }
}

/// Tells whether a look at the start of a process's memory says that it ends: there is none to be read any more. Where
/// the agent has too little left to look, that says nothing of the process.
fn tells_end(look: io::Result<usize>) -> bool {
    match look {
        Ok(read) => read == 0,
        Err(source) => MountError::exhausted(source).is_err(),
    }
}

/// Numbers of all processes, in ascending order.
pub(super) fn all() -> io::Result<Vec<i32>> {
    let mut pids = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        pids.extend(
            entry?
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<i32>().ok()),
        );
    }
    pids.sort_unstable();
    Ok(pids)
}

/// Environment of a process that is not held.
pub(super) fn environ_of(pid: i32) -> io::Result<Vec<u8>> {
    read_all(File::open(format!("/proc/{pid}/environ"))?)
}

/// Reads a file that does not know its size, with room enough for few calls.
fn read_all(mut file: File) -> io::Result<Vec<u8>> {
    let mut content = Vec::with_capacity(8 * 1024);
    file.read_to_end(&mut content)?;
    Ok(content)
}

/// Tells whether a link in `/proc/PID/fd` points to the mount table of a process that has one of these
/// numbers. The kernel shows the path as the process sees it, with its number in its own namespace.
fn is_mount_table(target: &[u8], numbers: &[i32]) -> bool {
    let number = || {
        let path = str::from_utf8(target).ok()?;
        let inner = path.strip_prefix("/proc/")?.strip_suffix("/mountinfo")?;
        inner.split('/').next()?.parse().ok()
    };
    number().is_some_and(|number| numbers.contains(&number))
}

#[cfg(test)]
mod tests {
    use nix::libc;

    use super::*;

    #[test]
    fn a_stopped_process_is_asked_to_end_by_sigterm_alone() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let process = Process::open(child.id().cast_signed()).unwrap();
        process.stop().unwrap();
        // Before it has stopped, the first signal would end it.
        while !process
            .read("stat")
            .unwrap()
            .windows(4)
            .any(|it| it == b") T ")
        {
            std::thread::yield_now();
        }
        process.signal(Signal::USR1).unwrap();
        assert!(!process.is_asked_to_end());
        process.signal(Signal::TERM).unwrap();
        assert!(process.is_asked_to_end());
        assert!(!process.is_ended());
        assert!(!process.is_ending());
        process.kill().unwrap();
        child.wait().unwrap();
        assert!(!process.is_asked_to_end());
        assert!(process.is_ending());
    }

    #[test]
    fn who_has_no_descriptor_left_to_look_with_does_not_say_that_a_process_ends() {
        let looked = |errno| tells_end(Err(io::Error::from_raw_os_error(errno)));
        for errno in [libc::EMFILE, libc::ENFILE, libc::ENOMEM] {
            assert!(!looked(errno));
        }
        assert!(looked(libc::ESRCH) && looked(libc::ENOENT));
        assert!(tells_end(Ok(0)) && !tells_end(Ok(1)));
    }

    #[test]
    fn mount_tables_are_known_by_their_path_in_any_namespace() {
        assert!(is_mount_table(b"/proc/1/mountinfo", &[4711, 1]));
        assert!(is_mount_table(b"/proc/7/task/8/mountinfo", &[7]));
        assert!(!is_mount_table(b"/tmp/mountinfo", &[1]));
        assert!(!is_mount_table(b"/proc/1/mounts", &[1]));
    }

    /// Whether it waits. It is asked again where a file of its is closed meanwhile: by a program that starts, or by other
    /// tests in this one.
    fn waits(process: &Process) -> Option<bool> {
        (0..1000).find_map(|_| process.is_waiting().ok())
    }

    #[test]
    fn a_process_that_follows_anothers_mount_table_does_not_wait() {
        assert!(!is_mount_table(b"/proc/7/mountinfo", &[4711, 8]));
        let table = File::open("/proc/self/mountinfo").unwrap();
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .stdin(table)
            .spawn()
            .unwrap();
        let process = Process::open(child.id().cast_signed()).unwrap();
        assert_eq!(waits(&process), Some(false));
        process.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_follows_its_mount_table_waits() {
        let process = Process::open(std::process::id().cast_signed()).unwrap();
        let table = File::open("/proc/self/mountinfo").unwrap();
        assert_eq!(waits(&process), Some(true));
        drop(table);
    }

    #[test]
    fn an_ended_process_is_known_to_have_ended() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let process = Process::open(child.id().cast_signed()).unwrap();
        assert!(!process.is_ended());
        process.kill().unwrap();
        child.wait().unwrap();
        assert!(process.is_ended());
        assert!(process.kill().is_ok());
        assert!(matches!(process.owner(), Err(MountError::Process { .. })));
    }
}
