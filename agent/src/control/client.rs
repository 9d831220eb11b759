//! The side of `rsfaas status` and its like.
use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use super::{Command, Reply};

/// Why the agent gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no agent answers on {path} ({source}); start it with `rsfaas agent`")]
    NoAgent {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The socket is there, but not for this user.
    #[error("not permitted to talk to the agent on {path}; run this as root")]
    NotPermitted {
        /// The socket.
        path: PathBuf,
    },
    /// The connection broke.
    #[error("the agent on {path} broke off: {source}")]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The agent's answer is not understood: another version.
    #[error("the agent on {path} answers in a way unknown to this version: {source}")]
    Unknown {
        /// The socket.
        path: PathBuf,
        /// What the parser said.
        source: serde_json::Error,
    },
}

/// Whether an agent answers, or is about to: the socket of one that is gone takes no connection.
#[must_use]
pub fn is_answered(path: &Path) -> bool {
    UnixStream::connect(path).is_ok()
}

/// Asks the agent.
///
/// # Errors
/// When no agent answers.
pub fn ask(path: &Path, command: &Command) -> Result<Reply, ClientError> {
    let broken = |source| ClientError::Broken {
        path: path.to_owned(),
        source,
    };
    let mut stream = UnixStream::connect(path).map_err(|source| match source.kind() {
        io::ErrorKind::PermissionDenied => ClientError::NotPermitted {
            path: path.to_owned(),
        },
        _ => ClientError::NoAgent {
            path: path.to_owned(),
            source,
        },
    })?;
    let unknown = |source| ClientError::Unknown {
        path: path.to_owned(),
        source,
    };
    let mut line = serde_json::to_vec(command).map_err(unknown)?;
    line.push(b'\n');
    stream.write_all(&line).map_err(broken)?;
    let mut answer = String::new();
    BufReader::new(stream)
        .read_line(&mut answer)
        .map_err(broken)?;
    serde_json::from_str(&answer).map_err(unknown)
}
