//! Keeps what passes through this program's memory out of files and out of freed memory: no core dumps, no
//! swap, nothing left behind by whoever copies it.
mod allocator;
mod swap;

use nix::sys::{
    prctl,
    resource::{Resource, setrlimit},
};
use rustix::mm::{MlockAllFlags, mlockall};

pub use allocator::WipingAllocator;
pub use swap::Swap;

/// Keeps core dumps from being written, also by whoever is given them instead of a file. What the kernel
/// refuses is told, and the program runs all the same.
pub(crate) fn no_core_dumps() {
    let steps = [
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

/// Keeps this program's memory from being swapped; whether the kernel agrees.
pub(crate) fn lock_memory() -> bool {
    // On fault: reserved stacks and arenas that are never touched need no memory.
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    match mlockall(flags) {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%error, "memory is not locked and may be swapped");
            false
        }
    }
}
