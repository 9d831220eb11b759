//! Why a case failed.

use std::{io, sync::mpsc::RecvTimeoutError};

use aya::programs::ProgramError;

/// Each names what was tried.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The system refused something.
    #[error("{what}: {source}")]
    System {
        /// What.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// Netlink refused something.
    #[error("network: {0}")]
    Netlink(#[from] rtnetlink::Error),
    /// The spotter.
    #[error(transparent)]
    Spot(#[from] rsfaas::spot::SpotError),
    /// The way back.
    #[error(transparent)]
    Release(#[from] rsfaas::release::ReleaseError),
    /// A program that is not the agent's.
    #[error("the other program: {0}")]
    Other(#[from] ProgramError),
    /// A held frame that cannot be read.
    #[error(transparent)]
    Frame(#[from] rsfaas::release::BadFrame),
    /// Something did not happen in time.
    #[error("{what}: {source}")]
    Waited {
        /// What.
        what: &'static str,
        /// Why it can no longer happen, or not in time.
        source: RecvTimeoutError,
    },
    /// Something else happened.
    #[error("expected {expected}, but {found}")]
    Unexpected {
        /// What should have been.
        expected: String,
        /// What was.
        found: String,
    },
}

/// Names what was tried.
pub(crate) trait Trying<T> {
    /// Turns the error into one that names it.
    fn trying(self, what: impl Into<String>) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> Trying<T> for Result<T, E> {
    fn trying(self, what: impl Into<String>) -> Result<T, Failure> {
        self.map_err(|source| Failure::System {
            what: what.into(),
            source: source.into(),
        })
    }
}

/// Fails unless it holds.
pub(crate) fn expect(
    holds: bool,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> Result<(), Failure> {
    if holds {
        Ok(())
    } else {
        Err(Failure::Unexpected {
            expected: expected.into(),
            found: found.into(),
        })
    }
}
