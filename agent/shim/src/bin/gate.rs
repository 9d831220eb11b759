//! `gate COMMAND [ARGUMENT...]`: waits until the handler is delivered, then becomes the command.
//! `gate --wait`: waits on behalf of the process that started it, and ends. That process hands over its own
//! mount table as standard input, and is thereby known as the one that waits.
//!
//! The handler arrives as a mount over the folder in `RSFAAS_HANDLER_DIR`; the kernel wakes the wait
//! on each change of the mount table (`POLLPRI`, proc_pid_mounts(5)), so waiting costs nothing.
//! Where the variable is empty the image has the handler in it, and there is nothing to wait for.
//! Neither variable of ours reaches the command.
#![forbid(unsafe_code)]

use std::{
    env,
    ffi::OsString,
    fmt,
    fs::File,
    io::{self, Read as _, Seek as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl,
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
    },
};
use rsfaas_shim::{HANDLER_DIR, PARK_TOKEN, is_delivered};

const MOUNTS: &str = "/proc/self/mountinfo";
const WAIT: &str = "--wait";

/// Why the gate ended without becoming its command.
enum End {
    /// No command was given.
    Usage,
    /// The folder to watch is not named.
    NoFolder,
    /// The mount table or the signals cannot be followed.
    Wait(&'static str, io::Error),
    /// The command cannot be started.
    Exec(OsString, io::Error),
    /// A signal said so.
    Signal(u8),
}

impl End {
    /// As shells and sysexits(3) number them.
    fn code(&self) -> u8 {
        match self {
            Self::Usage => 64,
            Self::Wait(..) => 71,
            Self::NoFolder => 78,
            Self::Exec(_, error) if error.kind() == io::ErrorKind::NotFound => 127,
            Self::Exec(..) => 126,
            Self::Signal(number) => 128 + number,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage => write!(
                f,
                "no command; usage: gate COMMAND [ARGUMENT...], or gate {WAIT}"
            ),
            Self::NoFolder => write!(
                f,
                "{HANDLER_DIR} is not set, so there is no handler to wait for; the RsFaaS agent sets it when it deploys this image"
            ),
            Self::Wait(what, error) => write!(f, "cannot follow {what}: {error}"),
            Self::Exec(command, error) => write!(f, "cannot start {}: {error}", command.display()),
            Self::Signal(number) => write!(f, "ended by signal {number} before a handler came"),
        }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(end) => {
            eprintln!("gate: {end}");
            ExitCode::from(end.code())
        }
    }
}

fn run() -> Result<(), End> {
    let mut arguments = env::args_os().skip(1);
    let command = arguments.next().ok_or(End::Usage)?;
    let folder = PathBuf::from(env::var_os(HANDLER_DIR).ok_or(End::NoFolder)?);
    // The mount table shows places without symbolic links.
    let folder = folder.canonicalize().unwrap_or(folder);
    if command == WAIT {
        return wait_for_parent(&folder);
    }
    // Empty: the image has the handler in it.
    if !folder.as_os_str().is_empty() {
        let mounts = File::open(MOUNTS).map_err(|error| End::Wait(MOUNTS, error))?;
        wait(mounts, &folder)?;
        enter_again();
    }
    let error = Command::new(&command)
        .args(arguments)
        .env_remove(PARK_TOKEN)
        .env_remove(HANDLER_DIR)
        .exec();
    Err(End::Exec(command, error))
}

fn wait_for_parent(folder: &Path) -> Result<(), End> {
    let mount = |errno: Errno| End::Wait(MOUNTS, errno.into());
    prctl::set_pdeathsig(Signal::SIGTERM).map_err(mount)?;
    let table: OwnedFd = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map_err(|error| End::Wait(MOUNTS, error))?;
    wait(File::from(table), folder)
}

/// Returns once the handler is mounted at `folder`; the signals that end a process end the wait, also
/// where this is process 1, for which the kernel has no default actions.
fn wait(mut mounts: File, folder: &Path) -> Result<(), End> {
    let signals: SigSet = [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGTERM,
    ]
    .into_iter()
    .collect();
    let signal = |errno: Errno| End::Wait("signals", errno.into());
    signals.thread_block().map_err(signal)?;
    let ends = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC).map_err(signal)?;

    let mount = |error| End::Wait(MOUNTS, error);
    let mut table = Vec::new();
    loop {
        // The kernel notes the table's state when the file is opened and at each poll: a change
        // between reading and polling is not missed.
        table.clear();
        mounts.rewind().map_err(mount)?;
        mounts.read_to_end(&mut table).map_err(mount)?;
        if is_delivered(&table, folder) {
            return signals.thread_unblock().map_err(signal);
        }
        let mut watched = [
            PollFd::new(mounts.as_fd(), PollFlags::POLLPRI),
            PollFd::new(ends.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut watched, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(mount(errno.into())),
        }
        if watched[1].any().unwrap_or_default()
            && let Some(info) = ends.read_signal().map_err(signal)?
        {
            return Err(End::Signal(u8::try_from(info.ssi_signo).unwrap_or(0)));
        }
    }
}

/// A process that stands inside what was delivered still stands in what lies below the mount: it takes the
/// same path once more.
fn enter_again() {
    if let Ok(here) = env::current_dir()
        && let Err(error) = env::set_current_dir(&here)
    {
        eprintln!(
            "gate: the working folder {} is not in the handler: {error}",
            here.display()
        );
    }
}
