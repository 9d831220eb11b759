//! `gate COMMAND [ARGUMENT...]`: waits until the handler is delivered, then becomes the command; as a
//! container's first process it has a child do so.
//! `gate --wait`: waits on behalf of the process that started it, and ends. That process hands over its own
//! mount table as standard input, and is thereby known as the one that waits.
//!
//! Where `RSFAAS_HANDLER_DIR` is empty the image has the handler in it, and there is nothing to wait for. The command
//! keeps the token then, by which the agent finds what it has to kill: no other process of the container may have it.
//! Otherwise neither variable of ours reaches the command.
#![forbid(unsafe_code)]

mod first;
mod wait;

use std::{
    env,
    ffi::OsString,
    fmt, io,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, ExitCode},
    thread,
    time::{Duration, Instant},
};

use nix::errno::Errno;
use rsfaas_shim::{HANDLER_DIR, PARK_TOKEN};

const WAIT: &str = "--wait";
/// How long a command may be open for writing still, and how often that is looked at.
const BUSY: Duration = Duration::from_secs(5);
const BUSY_PAUSE: Duration = Duration::from_millis(1);

/// Why the gate ended without becoming its command.
enum End {
    /// No command was given.
    Usage,
    /// The folder to watch is not named.
    NoFolder,
    /// Something of the system cannot be followed: the mount table, signals, the child.
    System(&'static str, io::Error),
    /// The command cannot be started.
    Exec(OsString, io::Error),
    /// A signal said so.
    Signal(u8),
}

impl End {
    fn errno(what: &'static str) -> impl Fn(Errno) -> Self {
        move |errno| Self::System(what, errno.into())
    }

    /// The exit code, as shells and sysexits(3) number them.
    fn code(&self) -> u8 {
        match self {
            Self::Usage => 64,
            Self::System(..) => 71,
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
            Self::System(what, error) => write!(f, "cannot follow {what}: {error}"),
            Self::Exec(command, error) => write!(f, "cannot start {}: {error}", command.display()),
            Self::Signal(number) => write!(f, "ended by signal {number} before a handler came"),
        }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(end) => {
            eprintln!("gate: {end}");
            ExitCode::from(end.code())
        }
    }
}

fn run() -> Result<u8, End> {
    let mut arguments = env::args_os().skip(1);
    let command = arguments.next().ok_or(End::Usage)?;
    let folder = PathBuf::from(env::var_os(HANDLER_DIR).ok_or(End::NoFolder)?);
    // The mount table shows places without symbolic links.
    let folder = folder.canonicalize().unwrap_or(folder);
    if command == WAIT {
        return wait::for_parent(&folder).map(|()| 0);
    }
    let mut program = Command::new(&command);
    program.args(arguments).env_remove(HANDLER_DIR);
    // Empty: the image has the handler in it.
    if !folder.as_os_str().is_empty() {
        if first::is(&command) {
            return first::stand_by();
        }
        wait::for_handler(&folder)?;
        enter_again();
        program.env_remove(PARK_TOKEN);
    }
    Err(End::Exec(command, exec(&mut program)))
}

/// Becomes a program; why not, where it cannot. A process that the agent was just starting while it delivered has what was
/// written open for a moment longer.
fn exec(program: &mut Command) -> io::Error {
    let start = Instant::now();
    loop {
        let error = program.exec();
        if error.kind() != io::ErrorKind::ExecutableFileBusy || start.elapsed() > BUSY {
            return error;
        }
        thread::sleep(BUSY_PAUSE);
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
