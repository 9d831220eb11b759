//! A client host: a network namespace with one link to this host.
use std::{fs, process::Command, thread};

use nix::sched::{CloneFlags, setns};

use crate::{
    host::{Error, run},
    http::Connection,
};

const NAMESPACE: &str = "rsfaas-e2e";
const HERE: &str = "rsfaas-e2e0";
const THERE: &str = "rsfaas-e2e1";
/// From a network that is set aside for such purposes (RFC 2544).
const ADDRESS: &str = "198.18.211.1";
const CLIENT: &str = "198.18.211.2";

/// Gone when dropped.
pub(crate) struct ClientHost;

impl ClientHost {
    pub(crate) fn new() -> Result<Self, Error> {
        // One that a test that was killed left behind.
        remove();
        let host = Self;
        ip(&["netns", "add", NAMESPACE])?;
        ip(&[
            "link", "add", HERE, "type", "veth", "peer", "name", THERE, "netns", NAMESPACE,
        ])?;
        ip(&["address", "add", &format!("{ADDRESS}/30"), "dev", HERE])?;
        ip(&["link", "set", HERE, "up"])?;
        let there = ["-n", NAMESPACE];
        ip(&[
            &there[..],
            &["address", "add", &format!("{CLIENT}/30"), "dev", THERE],
        ]
        .concat())?;
        ip(&[&there[..], &["link", "set", THERE, "up"]].concat())?;
        Ok(host)
    }

    /// A connection from there to the gateway.
    pub(crate) fn connect(&self, port: u16) -> Result<Connection, Error> {
        let namespace = fs::File::open(format!("/run/netns/{NAMESPACE}"))?;
        thread::scope(|scope| {
            // A thread of its own, which alone is there.
            let connecting = scope.spawn(|| {
                setns(&namespace, CloneFlags::CLONE_NEWNET)?;
                Connection::open_at((ADDRESS, port))
            });
            connecting.join()
        })
        .map_err(|_| Error("the client broke off".into()))?
    }

    /// Calls a function from there by curl; status and body.
    pub(crate) fn call(
        &self,
        port: u16,
        function: &str,
        key: Option<&str>,
        body: &str,
    ) -> Result<(u16, String), Error> {
        let mut command = Command::new("ip");
        command.args([
            "netns",
            "exec",
            NAMESPACE,
            "curl",
            "-sS",
            "--max-time",
            "60",
        ]);
        command.args(["-w", "\n%{http_code}", "-d", body]);
        if let Some(key) = key {
            command.args(["-H", &format!("X-RsFaaS-Key: {key}")]);
        }
        command.arg(format!("http://{ADDRESS}:{port}/function/{function}"));
        let text = run(&mut command)?;
        let (body, status) = text.rsplit_once('\n').unwrap_or(("", &text));
        Ok((status.parse()?, body.to_owned()))
    }
}

impl Drop for ClientHost {
    fn drop(&mut self) {
        remove();
    }
}

fn remove() {
    for command in [["link", "del", HERE], ["netns", "del", NAMESPACE]] {
        // It may not be there.
        let _ = Command::new("ip").args(command).output();
    }
}

fn ip(arguments: &[&str]) -> Result<(), Error> {
    run(Command::new("ip").args(arguments)).map(drop)
}
