//! The side of `rsfaas status` and its like.
use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::{
        signal::kill,
        socket::{getsockopt, sockopt::PeerCredentials},
    },
    unistd::Pid,
};

use super::{Command, Reply};

/// How long the agent may be silent: a status is answered within a second or two, whatever its functions do.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the agent gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error(
        "no agent answers on {path} ({source}); start it: `systemctl start rsfaas-agent` (why it does not run: \
         `journalctl -u rsfaas-agent`), or `rsfaas agent` where there is no unit"
    )]
    NoAgent {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The socket is there, but not for this user.
    #[error("not permitted to talk to the agent on {path}")]
    NotPermitted {
        /// The socket.
        path: PathBuf,
    },
    /// The agent takes connections, and says nothing.
    #[error(
        "the agent does not answer on {path}: it is starting still, as its log tells, or stopped; \
         `systemctl restart rsfaas-agent` ends it and starts another one"
    )]
    NoAnswer {
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
    /// The connection broke while the agent ended leases.
    #[error(
        "the agent on {path} broke off before it said that everything is locked ({source}), so that is not certain: where \
         an agent runs, run `rsfaas lock` again; where none does, `rsfaas sweep` ends what is left"
    )]
    Unconfirmed {
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
    UnixStream::connect(path).is_ok_and(|stream| {
        // A program that the agent was just starting when it was killed has the socket for a moment longer.
        match getsockopt(&stream, PeerCredentials) {
            Ok(listener) if listener.pid() > 0 => {
                kill(Pid::from_raw(listener.pid()), None) != Err(Errno::ESRCH)
            }
            _ => true,
        }
    })
}

/// Asks the agent. What takes long is waited for, as long as it answers others meanwhile.
///
/// # Errors
/// When no agent answers.
pub fn ask(path: &Path, command: &Command) -> Result<Reply, ClientError> {
    ask_within(path, command, PATIENCE)
}

fn ask_within(path: &Path, command: &Command, patience: Duration) -> Result<Reply, ClientError> {
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
    stream.set_read_timeout(Some(patience)).map_err(broken)?;
    stream.write_all(&line).map_err(broken)?;
    let broken = |source| match command {
        Command::Status => broken(source),
        Command::Lock { .. } => ClientError::Unconfirmed {
            path: path.to_owned(),
            source,
        },
    };
    let mut reader = BufReader::new(stream);
    // What has come stays there over an error.
    let mut answer = Vec::new();
    while let Err(source) = reader.read_until(b'\n', &mut answer) {
        if source.kind() != io::ErrorKind::WouldBlock {
            return Err(broken(source));
        }
        if *command == Command::Status {
            return Err(ClientError::NoAnswer {
                path: path.to_owned(),
            });
        }
        // Of any other end the first connection tells.
        if let Err(silent @ ClientError::NoAnswer { .. }) =
            ask_within(path, &Command::Status, patience)
        {
            return Err(silent);
        }
    }
    // As far as it came, a part of an answer may read as a whole one.
    if !answer.ends_with(b"\n") {
        return Err(broken(io::ErrorKind::UnexpectedEof.into()));
    }
    serde_json::from_slice(&answer).map_err(unknown)
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixListener, process, thread};

    use super::*;
    use crate::eventually::eventually_without_tasks;

    #[test]
    fn a_socket_that_a_child_of_a_dead_agent_still_has_is_answered_by_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.sock");
        let script = "import os, socket, sys\n\
                      s = socket.socket(socket.AF_UNIX)\n\
                      s.bind(sys.argv[1] + '.new')\n\
                      s.listen()\n\
                      if os.fork() == 0:\n\
                      \x20   sys.stdin.read()\n\
                      \x20   os._exit(0)\n\
                      os.rename(sys.argv[1] + '.new', sys.argv[1])\n\
                      sys.stdin.read()\n";
        let mut agent = process::Command::new("python3")
            .args(["-c", script])
            .arg(&path)
            .stdin(process::Stdio::piped())
            .spawn()
            .unwrap();
        // The child goes with it, at the end.
        let _stdin = agent.stdin.take();
        eventually_without_tasks("the agent's socket", || is_answered(&path));
        agent.kill().unwrap();
        agent.wait().unwrap();
        assert!(UnixStream::connect(&path).is_ok(), "the child has it");
        assert!(!is_answered(&path));
    }

    #[test]
    fn an_agent_that_takes_connections_and_says_nothing_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.sock");
        // Nobody takes what comes, as where the agent is stopped.
        let _listener = UnixListener::bind(&path).unwrap();
        for command in [Command::Status, Command::Lock { function: None }] {
            let error = ask_within(&path, &command, Duration::from_millis(20)).unwrap_err();
            assert!(matches!(error, ClientError::NoAnswer { .. }), "{error}");
        }
    }

    #[test]
    fn what_takes_long_is_waited_for_while_the_agent_answers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let agent = thread::spawn(move || {
            let (mut lock, _) = listener.accept().unwrap();
            lock.write_all(b"\"loc").unwrap();
            for _ in 0..2 {
                let (mut status, _) = listener.accept().unwrap();
                status.write_all(b"\"stopping\"\n").unwrap();
            }
            lock.write_all(b"ked\"\n").unwrap();
        });
        let lock = Command::Lock { function: None };
        let reply = ask_within(&path, &lock, Duration::from_millis(500)).unwrap();
        assert_eq!(reply, Reply::Locked);
        agent.join().unwrap();
    }

    #[test]
    fn an_agent_that_ends_before_its_answer_is_whole_has_confirmed_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let agent = thread::spawn(move || {
            for answer in ["", "\"locked\"", ""] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut line = String::new();
                BufReader::new(&stream).read_line(&mut line).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        for _ in 0..2 {
            let error = ask(&path, &Command::Lock { function: None }).unwrap_err();
            assert!(matches!(error, ClientError::Unconfirmed { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains("not certain"), "{text}");
        }
        let error = ask(&path, &Command::Status).unwrap_err();
        assert!(matches!(error, ClientError::Broken { .. }), "{error}");
        agent.join().unwrap();
    }

    #[test]
    fn a_living_agents_socket_is_answered_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.sock");
        assert!(!is_answered(&path));
        let listener = UnixListener::bind(&path).unwrap();
        assert!(is_answered(&path));
        drop(listener);
        // A program that another test is just starting has the socket for a moment longer.
        eventually_without_tasks("nobody to answer", || !is_answered(&path));
    }
}
