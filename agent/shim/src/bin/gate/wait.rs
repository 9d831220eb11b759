//! The wait for the handler. It arrives as a mount over the folder in `RSFAAS_HANDLER_DIR`; the kernel wakes
//! the wait on each change of the mount table (`POLLPRI`, proc_pid_mounts(5)), so waiting costs nothing.
use std::{
    fs::File,
    io::{self, Read as _, Seek as _},
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl,
        signal::{SigSet, SigmaskHow, Signal},
        signalfd::{SfdFlags, SignalFd},
    },
};
use rsfaas_shim::is_delivered;

use crate::End;

const MOUNTS: &str = "/proc/self/mountinfo";

/// Waits for the handler of this very process.
pub(crate) fn for_handler(folder: &Path) -> Result<(), End> {
    let mounts = File::open(MOUNTS).map_err(|error| End::System(MOUNTS, error))?;
    wait(mounts, folder)
}

/// Waits on behalf of the process that started this one, whose mount table is standard input.
pub(crate) fn for_parent(folder: &Path) -> Result<(), End> {
    prctl::set_pdeathsig(Signal::SIGTERM).map_err(End::errno(MOUNTS))?;
    let table: OwnedFd = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map_err(|error| End::System(MOUNTS, error))?;
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
    let signal = End::errno("signals");
    let before = signals
        .thread_swap_mask(SigmaskHow::SIG_BLOCK)
        .map_err(&signal)?;
    let ends = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC).map_err(&signal)?;

    let mount = |error| End::System(MOUNTS, error);
    let mut table = Vec::new();
    loop {
        // The kernel notes the table's state when the file is opened and at each poll: a change
        // between reading and polling is not missed.
        table.clear();
        mounts.rewind().map_err(mount)?;
        mounts.read_to_end(&mut table).map_err(mount)?;
        if is_delivered(&table, folder) {
            return before.thread_set_mask().map_err(signal);
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
            && let Some(info) = ends.read_signal().map_err(&signal)?
        {
            return Err(End::Signal(u8::try_from(info.ssi_signo).unwrap_or(0)));
        }
    }
}
