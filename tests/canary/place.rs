//! Somewhere that can be searched.
use std::io;

use super::Scan;

/// A place could not be searched, in whole or in part: nothing is known of it.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub struct Unsearchable {
    what: String,
    source: io::Error,
}

impl Unsearchable {
    /// What could not be searched, and why.
    pub fn new(what: impl Into<String>, source: io::Error) -> Self {
        Self {
            what: what.into(),
            source,
        }
    }

    /// For `map_err`.
    pub(super) fn at(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::new(what, source)
    }

    /// A reason that is not an error of the system's.
    pub(super) fn because(what: impl Into<String>, reason: &str) -> Self {
        Self::new(what, io::Error::other(reason.to_owned()))
    }
}

/// Somewhere that can be searched.
pub trait Place: Send + Sync {
    /// What it is called in reports.
    fn name(&self) -> &str;

    /// Whether a marker is there by right, and so must be found.
    fn has_marker(&self) -> bool {
        false
    }

    /// Why there is nothing to be searched; `None` where there is.
    fn is_absent(&self) -> Option<String> {
        None
    }

    /// Searches all of it; single things that cannot be are noted with [`Scan::failed`].
    ///
    /// # Errors
    /// When nothing (more) of it could be searched.
    fn search(&self, scan: &mut Scan<'_>) -> Result<(), Unsearchable>;
}
