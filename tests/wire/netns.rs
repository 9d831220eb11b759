//! A network namespace by name, and work done inside it.
use std::{fs::File, process::Command, thread};

use nix::sched::{CloneFlags, setns};

use crate::check::{Error, Outcome, run};

/// Gone when dropped.
pub(crate) struct Namespace {
    name: &'static str,
    handle: File,
}

impl Namespace {
    /// Makes it, also where a test that was killed has left one behind.
    pub(crate) fn new(name: &'static str) -> Outcome<Self> {
        delete(name);
        run(Command::new("ip").args(["netns", "add", name]))?;
        let handle = File::open(format!("/run/netns/{name}"))?;
        let namespace = Self { name, handle };
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// Removes it; what has a socket or a process there keeps its part of it.
    pub(crate) fn delete(&self) {
        delete(self.name);
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Runs something on a thread inside. Sockets and processes that it makes stay there.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> Outcome<T> + Send) -> Outcome<T> {
        thread::scope(|scope| {
            scope
                .spawn(|| {
                    setns(&self.handle, CloneFlags::CLONE_NEWNET)?;
                    work()
                })
                .join()
                .map_err(|_| Error(format!("work in {} panicked", self.name)))?
        })
    }

    /// `ip` with these arguments, inside.
    pub(crate) fn ip(&self, arguments: &str) -> Outcome<String> {
        run(Command::new("ip")
            .args(["-n", self.name])
            .args(arguments.split_whitespace()))
    }

    /// Any command, inside.
    pub(crate) fn run(&self, command: &str) -> Outcome<String> {
        run(Command::new("ip")
            .args(["netns", "exec", self.name])
            .args(command.split_whitespace()))
    }

    /// Sets `/proc/sys/net/NAME`; gives what it was.
    pub(crate) fn sysctl(&self, name: &str, value: &str) -> Outcome<String> {
        let path = format!("/proc/sys/net/{name}");
        self.enter(|| {
            let before = std::fs::read_to_string(&path)?;
            std::fs::write(&path, value)?;
            Ok(before.trim().to_owned())
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        delete(self.name);
    }
}

fn delete(name: &str) {
    // It may not be there.
    let _ = Command::new("ip").args(["netns", "del", name]).output();
}
