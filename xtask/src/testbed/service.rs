//! Bringing a part of the testbed to health: what answers already is used, what is ours but old is
//! started anew, what is missing is started.

use std::{process::Command, time::Duration};

use super::{daemon::Daemon, http};
use crate::error::Error;

/// How long a part may take to become healthy.
const LIMIT: Duration = Duration::from_secs(60);

/// A part that answers HTTP.
pub(super) struct Service {
    /// The process, if it is ours.
    pub(super) daemon: Daemon,
    /// Where it listens: `ADDRESS:PORT`, or the path of a Unix socket.
    pub(super) place: &'static str,
    /// The path that answers 200 when it is well.
    pub(super) health: &'static str,
    /// Whether one that somebody else started will do.
    pub(super) shareable: bool,
}

/// How a part stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// We started it, and it is well.
    Ours(i32),
    /// We started it, and it does not answer as it should.
    Ailing(i32),
    /// Somebody else started it, and it is well.
    Foreign,
    /// Something else is in its place.
    Taken,
    /// Nothing is there.
    Absent,
}

impl Service {
    /// How it stands now.
    pub(super) fn standing(&self) -> Standing {
        let healthy = self.healthy();
        match self.daemon.running() {
            Some(pid) if healthy => Standing::Ours(pid),
            Some(pid) => Standing::Ailing(pid),
            None if healthy => Standing::Foreign,
            None if http::listens(self.place) => Standing::Taken,
            None => Standing::Absent,
        }
    }

    /// Makes sure that it is there and well. `version` stands for everything that it is started with.
    pub(super) fn ensure(&self, version: &str, command: &Command) -> Result<(), Error> {
        let name = self.daemon.name;
        match self.standing() {
            Standing::Ours(_) if self.daemon.runs_as(version) => {
                println!("testbed: {name} is running");
                return Ok(());
            }
            Standing::Ours(_) | Standing::Ailing(_) => {
                println!("testbed: {name} is started anew");
                self.daemon.stop()?;
            }
            Standing::Foreign if self.shareable => {
                println!("testbed: {name} was running before; it is used");
                return Ok(());
            }
            Standing::Foreign | Standing::Taken => return Err(self.taken()),
            Standing::Absent => println!("testbed: {name} is started"),
        }
        let child = self.daemon.start(command, version)?;
        self.daemon.wait(Some(child), LIMIT, || self.healthy())
    }

    fn healthy(&self) -> bool {
        http::status(self.place, self.health).is_ok_and(|status| status == 200)
    }

    fn taken(&self) -> Error {
        let place = self.place;
        Error::Part {
            part: self.daemon.name,
            problem: format!(
                "something that this testbed did not start listens on {place}; end it (a testbed of \
                 another checkout: `cargo xtask testbed down` there; a service of this host: `systemctl \
                 disable --now NAME`), or use an OpenFaaS that is already there with --existing"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader, Write as _},
        net::TcpListener,
        path::Path,
        thread,
    };

    use super::{super::layout::Layout, *};

    /// A part in whose place a program of somebody else's answers that it is well.
    fn foreign(root: &Path, shareable: bool) -> Service {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                // All of the request: what is left of it unread ends a connection with an error.
                let lines = BufReader::new(&stream).lines();
                lines.map_while(Result::ok).find(String::is_empty);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
        });
        Service {
            daemon: Daemon::new(&Layout::new(root), "part"),
            place: place.leak(),
            health: "/",
            shareable,
        }
    }

    #[test]
    fn what_somebody_else_has_started_is_used_only_where_it_may_be_shared() {
        let command = Command::new("false");
        let root = tempfile::tempdir().unwrap();
        foreign(root.path(), true).ensure("1", &command).unwrap();
        let own = foreign(root.path(), false);
        let error = own.ensure("1", &command).unwrap_err().to_string();
        assert!(error.contains(own.place), "{error}");
        assert!(error.contains("systemctl disable --now"), "{error}");
    }
}
