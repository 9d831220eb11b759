//! The signals that end a program, held back while it must not end.
use nix::{
    errno::Errno,
    sys::signal::{SigSet, SigmaskHow, Signal},
};

use super::exit::{Exit, Failure};

/// What people and service managers end a program with.
const ENDING: [Signal; 4] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
];

/// Leaves these signals to other threads; gives what this one has blocked so far. One that no thread takes waits.
pub(super) fn leave_to_others() -> Result<SigSet, Errno> {
    let signals: SigSet = ENDING.into_iter().collect();
    signals.thread_swap_mask(SigmaskHow::SIG_BLOCK)
}

/// Holds them back until files are in place or away again: an interrupted run would leave plaintext under a temporary
/// name, and folders without their modes. No other thread may take them.
pub(super) struct DeferredSignals {
    before: SigSet,
}

impl DeferredSignals {
    pub(super) fn new() -> Result<Self, Failure> {
        let before = leave_to_others().map_err(|error| Failure::new(Exit::Unexpected, error))?;
        Ok(Self { before })
    }
}

impl Drop for DeferredSignals {
    fn drop(&mut self) {
        // A mask that was in force before cannot be refused.
        let _ = self.before.thread_set_mask();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_wait_for_as_long_as_they_are_held_back() {
        let holds = || SigSet::thread_get_mask().unwrap().contains(Signal::SIGTERM);
        assert!(!holds());
        let deferred = DeferredSignals::new().unwrap();
        assert!(holds());
        drop(deferred);
        assert!(!holds());
    }
}
