//! What can go wrong; each error names the thing, the cause and, where there is one, the next step.

use std::{io, path::PathBuf};

/// An error of any subcommand.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program could not be started.
    #[error(
        "`{program}` could not be started: {source}; `cargo xtask setup` installs what is needed"
    )]
    Start {
        /// Its name.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// A program ended with a failure.
    #[error("`{command}` failed ({status}){detail}")]
    Failed {
        /// The command line.
        command: String,
        /// Exit code or signal.
        status: String,
        /// The end of what it wrote to stderr, where that was not shown already; else empty.
        detail: String,
    },
    /// Something that the command needs is not installed.
    #[error("missing: {what}; `{command}` installs it")]
    Missing {
        /// What.
        what: String,
        /// The command that installs it.
        command: &'static str,
    },
    /// A prerequisite that no command of ours provides.
    #[error("{0}")]
    Needs(String),
    /// A part of the testbed did not become healthy, or its place is taken.
    #[error("{part}: {problem}")]
    Part {
        /// Which part.
        part: &'static str,
        /// What is wrong and what to do.
        problem: String,
    },
    /// Something that was to be shown was not seen.
    #[error("not seen: {0}")]
    NotSeen(String),
    /// A search for canaries could not be made.
    #[error(transparent)]
    Canary(#[from] rsfaas_tests::canary::BadSecret),
    /// The places to be searched could not be found.
    #[error(transparent)]
    Search(#[from] rsfaas_tests::canary::Unsearchable),
    /// The search for canaries found some, or could not be made everywhere; it has told where.
    #[error("{0} problems, as told above")]
    Leaks(usize),
    /// Some of the steps of `cargo xtask test` failed; the summary names them.
    #[error("{0} of the steps failed")]
    Steps(usize),
    /// Some of the kernels of `cargo xtask test-kernels` have no good verdict; the table names them.
    #[error("{0} of the kernels failed")]
    Kernels(usize),
}

/// Names the file in an I/O error.
pub(crate) trait At<T> {
    /// Turns the error into one that names the file.
    fn at(self, path: impl Into<PathBuf>) -> Result<T, Error>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: impl Into<PathBuf>) -> Result<T, Error> {
        self.map_err(|source| Error::File {
            path: path.into(),
            source,
        })
    }
}
