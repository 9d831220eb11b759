//! Keeps what passes through the agent's memory out of files: no core dumps, no swap.
use nix::sys::{
    prctl,
    resource::{Resource, setrlimit},
};
use rustix::mm::{MlockAllFlags, mlockall};

/// Asks the kernel for each; what it refuses is told, and the agent runs all the same.
pub(super) fn keep() {
    let steps = [
        ("memory is not locked and may be swapped", lock_memory()),
        (
            "core dumps are not disabled",
            setrlimit(Resource::RLIMIT_CORE, 0, 0),
        ),
        // Also keeps others of the same user from reading its memory (ptrace(2)).
        ("the process stays dumpable", prctl::set_dumpable(false)),
    ];
    for (what, result) in steps {
        if let Err(error) = result {
            tracing::warn!(%error, "{what}");
        }
    }
}

fn lock_memory() -> nix::Result<()> {
    // On fault: reserved stacks and arenas that are never touched need no memory.
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    mlockall(flags).map_err(|error| nix::Error::from_raw(error.raw_os_error()))
}
