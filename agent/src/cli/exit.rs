//! Exit codes, and the errors that end a subcommand. `docs/exit-codes.md` explains them to users.
use std::{error::Error, fmt, io, process::ExitCode};

use crate::{
    chain,
    seal::{
        archive::ArchiveError, error::FormatError, file::FileError, folder::FolderError,
        source::KeyReadError,
    },
    state::StateError,
};

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $number:literal,)+) => {
        /// Why the program ended, as scripts see it. The numbers are a promise: they do not change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Exit {
            $($(#[$doc])* $code = $number,)+
        }

        impl Exit {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$code,)+];
        }
    };
}

codes! {
    /// Something that no other code stands for.
    Unexpected = 1,
    /// The command line is not understood, or asks for something that does not go together.
    Usage = 2,
    /// The key is malformed or not the right one.
    Key = 3,
    /// The file or function is not sealed, or the sealed file is damaged.
    NotSealed = 4,
    /// Something is there already and was not overwritten.
    Exists = 5,
    /// No agent answers on its control socket.
    NoAgent = 6,
    /// The OpenFaaS gateway cannot be reached or refused.
    Gateway = 7,
    /// Docker Engine or the registry cannot be reached or refused.
    Images = 8,
    /// The system does not permit it.
    Permission = 9,
    /// The stack file has mistakes.
    Stack = 10,
    /// A file cannot be read or written: not there, disk full, device error.
    File = 11,
    /// The kernel lacks something that the agent needs, or refused it.
    Kernel = 12,
    /// The agent's configuration has mistakes.
    Config = 13,
    /// A lease has ended, but something of it could not be wiped, encrypted afresh or removed.
    NotLocked = 14,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error that knows its exit code; `?` turns it into a [`Failure`].
pub trait Classify: Error + Send + Sync + 'static {
    /// The code that stands for this error.
    fn exit(&self) -> Exit;
}

/// What ends a subcommand: an error and its exit code. Displays the whole chain of causes.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    error: Box<dyn Error + Send + Sync>,
    is_told: bool,
}

impl Failure {
    /// An error under an exit code.
    pub fn new(exit: Exit, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            exit,
            error: error.into(),
            is_told: false,
        }
    }

    /// An input or output error, and what it happened to.
    pub fn io(what: impl fmt::Display, error: &io::Error) -> Self {
        Self::new(io_exit(error), format!("{what}: {error}"))
    }

    /// This failure, as one function's among several.
    #[must_use]
    pub fn of(self, function: &str) -> Self {
        Self::new(self.exit, format!("{function}: {self}"))
    }

    /// This failure, of which nothing more is to be told.
    #[must_use]
    pub fn already_told(self) -> Self {
        Self {
            is_told: true,
            ..self
        }
    }

    /// Whether the failure has been told.
    #[must_use]
    pub const fn is_told(&self) -> bool {
        self.is_told
    }

    /// The exit code.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&chain::of(&*self.error))
    }
}

impl<E: Classify> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error.exit(), error)
    }
}

/// The code for what the system said.
#[must_use]
pub fn io_exit(error: &io::Error) -> Exit {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Exit::Permission,
        _ => Exit::File,
    }
}

impl Classify for KeyReadError {
    fn exit(&self) -> Exit {
        match self {
            Self::Io { source, .. } => io_exit(source),
            Self::TooLong { .. } | Self::Key { .. } => Exit::Key,
            Self::KeyInsteadOfFile => Exit::Usage,
        }
    }
}

impl Classify for FormatError {
    fn exit(&self) -> Exit {
        match self {
            Self::WrongKey(_) => Exit::Key,
            Self::NotSealed
            | Self::Version { .. }
            | Self::Truncated { .. }
            | Self::Trailing { .. }
            | Self::Header(_)
            | Self::Corrupt { .. }
            | Self::WrongName { .. } => Exit::NotSealed,
            Self::NameLength { .. } => Exit::Usage,
            Self::TooLarge | Self::Random(_) => Exit::Unexpected,
        }
    }
}

impl Classify for ArchiveError {
    fn exit(&self) -> Exit {
        match self {
            Self::Io { source, .. } => io_exit(source),
            Self::Exists { .. } => Exit::Exists,
            Self::Invalid(_) => Exit::NotSealed,
            Self::Kind { .. }
            | Self::Link { .. }
            | Self::ManifestLink { .. }
            | Self::Reserved { .. }
            | Self::Changed { .. } => Exit::File,
        }
    }
}

impl Classify for FileError {
    fn exit(&self) -> Exit {
        match self {
            Self::Io { source, .. } => io_exit(source),
            Self::Format { source, .. } => source.exit(),
            Self::Archive { source, .. } => source.exit(),
            Self::Verify { .. } => Exit::File,
        }
    }
}

impl Classify for FolderError {
    fn exit(&self) -> Exit {
        match self {
            Self::File(error) => error.exit(),
            Self::Archive(error) => error.exit(),
            Self::Empty { .. } => Exit::File,
            Self::Differs { .. } => Exit::Exists,
            Self::NotSealed { .. } => Exit::NotSealed,
        }
    }
}

impl Classify for StateError {
    fn exit(&self) -> Exit {
        match self {
            Self::Io { source, .. } => io_exit(source),
            Self::Record { .. } => Exit::File,
            Self::Claimed { .. } => Exit::Exists,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_for_users_has_a_row_for_every_code() {
        let page = include_str!("../../../docs/exit-codes.md");
        for &code in Exit::ALL {
            assert!(page.contains(&format!("\n| {} |", code as u8)), "{code:?}");
        }
    }

    #[test]
    fn the_unit_starts_no_agent_again_that_ended_for_what_does_not_pass_by_itself() {
        let unit = include_str!("../../../deploy/rsfaas-agent.service");
        let codes = unit
            .lines()
            .find_map(|line| line.strip_prefix("RestartPreventExitStatus="));
        let lasting = [Exit::Usage, Exit::Config].map(|exit| (exit as u8).to_string());
        assert_eq!(codes, Some(lasting.join(" ").as_str()));
    }

    #[test]
    fn a_failure_tells_the_chain_of_causes_once() {
        let source = io::Error::other("disk on fire");
        let failure = Failure::from(FileError::Io {
            path: "/f".into(),
            source,
        });
        assert_eq!(failure.to_string(), "/f: disk on fire");
        let source = io::Error::other("disk on fire");
        let failure = Failure::from(StateError::Io {
            path: "/f".into(),
            source,
        });
        assert_eq!(failure.to_string(), "/f: disk on fire");
    }

    #[test]
    fn a_missing_permission_has_a_code_of_its_own() {
        let source = io::Error::from(io::ErrorKind::PermissionDenied);
        let failure = Failure::from(ArchiveError::Io {
            path: "/f".into(),
            source,
        });
        assert_eq!(failure.exit(), Exit::Permission);
    }
}
