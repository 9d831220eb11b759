//! The gate as a container's first process: it stays, and the gate that waits is its child, as with small
//! init programs. The handler never gets into a first process so, which can outlive it until the provider has
//! removed the container: providers take the network of running containers down only.
use std::{
    env,
    ffi::{CString, NulError, OsStr, OsString},
    io,
    os::unix::ffi::OsStringExt as _,
    path::Path,
    process,
};

use nix::{
    errno::Errno,
    spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn},
    sys::signal::{SigSet, SigmaskHow, Signal, kill},
    unistd::Pid,
};
use rustix::process::{WaitOptions, wait};

use crate::End;

/// Programs that want to be process 1 themselves, and do nothing, or other things, as any other.
const INITS: [&str; 5] = ["init", "openrc-init", "runit-init", "s6-svscan", "systemd"];
/// What the kernel tells a process about itself, and nobody else is told of.
const OWN: [Signal; 7] = [
    Signal::SIGABRT,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGSEGV,
    Signal::SIGSYS,
    Signal::SIGTRAP,
];

/// Whether this process is its container's first, and stays so with that command.
pub(crate) fn is(command: &OsStr) -> bool {
    let name = Path::new(command).file_name().and_then(OsStr::to_str);
    process::id() == 1 && !name.is_some_and(|name| INITS.contains(&name))
}

/// Starts this program again as a child, hands signals on to it, and ends as it does; gives its exit code, or
/// 128 and the number of the signal that ended it, as shells do. Orphans of the container are waited for.
pub(crate) fn stand_by() -> Result<u8, End> {
    let system = End::errno("signals");
    let signals: SigSet = Signal::iterator()
        .filter(|signal| !OWN.contains(signal))
        .collect();
    let before = signals
        .thread_swap_mask(SigmaskHow::SIG_BLOCK)
        .map_err(&system)?;
    let child = again(&before).map_err(|error| End::Exec("the gate itself".into(), error))?;
    loop {
        match signals.wait().map_err(&system)? {
            Signal::SIGCHLD => {
                if let Some(code) = reap(child)? {
                    return Ok(code);
                }
            }
            // One that has ended is waited for next; one of another user may be out of reach.
            signal => match kill(child, signal) {
                Ok(()) | Err(Errno::ESRCH | Errno::EPERM) => {}
                Err(errno) => return Err(system(errno)),
            },
        }
    }
}

/// Starts this program again, with nothing but these signals blocked: the command would inherit what is blocked here.
/// A signal that comes meanwhile must not find them let through, since the kernel drops it for process 1.
fn again(blocked: &SigSet) -> io::Result<Pid> {
    let mut attributes = PosixSpawnAttr::init()?;
    attributes.set_sigmask(blocked)?;
    attributes.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK)?;
    let arguments = strings(env::args_os())?;
    let environment = strings(env::vars_os().map(|(mut variable, value)| {
        variable.push("=");
        variable.push(value);
        variable
    }))?;
    let files = PosixSpawnFileActions::init()?;
    let program = Path::new("/proc/self/exe");
    Ok(posix_spawn(
        program,
        &files,
        &attributes,
        &arguments,
        &environment,
    )?)
}

/// Turns texts into strings as the kernel takes them.
fn strings(texts: impl Iterator<Item = OsString>) -> Result<Vec<CString>, NulError> {
    texts.map(|text| CString::new(text.into_vec())).collect()
}

/// Waits for all that have ended; the exit code, if the child is among them.
fn reap(child: Pid) -> Result<Option<u8>, End> {
    let mut code = None;
    loop {
        // Any signal may have ended them, also those without a name.
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                if pid.as_raw_pid() == child.as_raw() {
                    let signal = status.terminating_signal().map(|signal| 128 + signal);
                    code = status.exit_status().or(signal);
                }
            }
            Ok(None) | Err(rustix::io::Errno::CHILD) => break,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(End::System("the child", errno.into())),
        }
    }
    // As much of it as there is in an exit status.
    Ok(code.map(|code| (code & 0xff) as u8))
}
