//! The agent's side of the control socket.
use std::{
    future::Future,
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
};

use super::{Command, Reply};
use crate::not_found::ignore_not_found;

/// Longest command, in bytes.
const COMMAND_LEN: u64 = 4096;

/// The socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Another agent has it.
    #[error("another agent runs already: it answers on {0}")]
    Taken(PathBuf),
    /// The system refuses.
    #[error("cannot open the control socket {path}: {source}")]
    Open {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The open socket; only root may talk through it. Dropping it removes it.
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    /// Opens the socket. One that a dead agent left behind is replaced.
    ///
    /// # Errors
    /// When another agent has it, or the system refuses.
    pub fn open(path: &Path) -> Result<Self, ServerError> {
        let failed = |source| ServerError::Open {
            path: path.to_owned(),
            source,
        };
        if super::is_answered(path) {
            return Err(ServerError::Taken(path.to_owned()));
        }
        ignore_not_found(std::fs::remove_file(path)).map_err(failed)?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }

    /// Answers commands for as long as it is polled, each connection in its own task.
    pub async fn serve<F, R>(&self, answer: F)
    where
        F: Fn(Command) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Reply> + Send,
    {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let answer = answer.clone();
                    tokio::spawn(async move {
                        if let Err(error) = converse(stream, answer).await {
                            tracing::debug!(%error, "a control connection broke off");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "control socket");
                    // Out of descriptors, most likely: others must have time to close some.
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "control socket not removed");
        }
    }
}

async fn converse<F, R>(stream: UnixStream, answer: F) -> io::Result<()>
where
    F: Fn(Command) -> R,
    R: Future<Output = Reply>,
{
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    BufReader::new(reader.take(COMMAND_LEN))
        .read_line(&mut line)
        .await?;
    let reply = match serde_json::from_str(&line) {
        Ok(command) => answer(command).await,
        Err(error) => Reply::Error(format!("not a command: {error}")),
    };
    let mut text = serde_json::to_vec(&reply)?;
    text.push(b'\n');
    writer.write_all(&text).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::ask;

    #[tokio::test]
    async fn a_command_is_answered_and_a_second_agent_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/agent.sock");
        let server = Server::open(&path).unwrap();
        assert!(matches!(Server::open(&path), Err(ServerError::Taken(_))));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let client = {
            let path = path.clone();
            tokio::task::spawn_blocking(move || {
                ask(
                    &path,
                    &Command::Lock {
                        function: Some("pydict".into()),
                    },
                )
            })
        };
        let answer = |command| async move {
            match command {
                Command::Lock { function } => Reply::Error(function.unwrap_or_default()),
                Command::Status => Reply::Locked,
            }
        };
        tokio::select! {
            () = server.serve(answer) => unreachable!("it serves until dropped"),
            reply = client => assert_eq!(reply.unwrap().unwrap(), Reply::Error("pydict".into())),
        }
        drop(server);
        assert!(!path.exists());
    }
}
