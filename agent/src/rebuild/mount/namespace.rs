//! A container's mount namespace, held: the kernel gives the number of one that is gone to the next that is
//! made, which would be somebody else's container.
use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt as _,
    },
};

use super::{MountError, error::seen};

/// A mount namespace, which exists at least as long as this.
pub(super) struct Namespace {
    handle: OwnedFd,
    number: u64,
}

impl Namespace {
    /// Takes hold of the one that an open `/proc/PID/ns/mnt` names.
    pub(super) fn held_by(handle: OwnedFd) -> io::Result<Self> {
        let number = rustix::fs::fstat(&handle)?.st_ino;
        Ok(Self { handle, number })
    }

    /// Its number, nobody else's while it is held.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Tells whether it is no container's: the agent lives in it, or the host's first process does. They are two where
    /// a service manager gives the agent mounts of its own.
    pub(super) fn is_hosts(&self) -> Result<bool, MountError> {
        let own = number_in("self").map_err(MountError::kernel("reading /proc/self/ns/mnt"))?;
        // A first process that the agent may not look at is that of a sandbox around both.
        Ok(own == self.number || seen(number_of(1))? == Some(self.number))
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// Number of the one that a process lives in.
///
/// # Errors
/// When it has ended.
pub(super) fn number_of(pid: i32) -> io::Result<u64> {
    number_in(&pid.to_string())
}

fn number_in(process: &str) -> io::Result<u64> {
    Ok(std::fs::metadata(format!("/proc/{process}/ns/mnt"))?.ino())
}

#[cfg(test)]
mod tests {
    use std::{env, process::Command};

    use super::{super::process::Process, *};
    use crate::rebuild::example;

    const INSIDE: &str = "RSFAAS_TEST_INSIDE";
    const TEST: &str = "the_hosts_mounts_are_no_containers_for_an_agent_with_mounts_of_its_own";

    /// What follows has mounts of its own, also in a chroot, whose root need be no mount point.
    fn with_own_mounts() -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "unchanged"]);
        command
    }

    #[test]
    fn the_hosts_mounts_are_no_containers_for_an_agent_with_mounts_of_its_own() {
        if env::var_os(INSIDE).is_none() {
            let name = format!("{}::{TEST}", module_path!().split_once("::").unwrap().1);
            let mut host = with_own_mounts();
            host.args(["--pid", "--fork", "--mount-proc", "sh", "-c"])
                .arg("unshare --mount --propagation unchanged \"$0\" --exact \"$1\"; exit $?")
                .arg(env::current_exe().unwrap())
                .arg(name)
                .env(INSIDE, "");
            let outcome = host.output().unwrap();
            let said = [outcome.stdout, outcome.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            let passed = outcome.status.success() && said.contains("1 passed");
            assert!(passed, "{said}");
            return;
        }
        let is_hosts = |pid: u32| {
            let process = Process::open(pid.cast_signed()).unwrap();
            process.namespace().unwrap().is_hosts().unwrap()
        };
        let own = number_of(std::process::id().cast_signed());
        assert_ne!(number_of(1).unwrap(), own.unwrap());
        assert!(is_hosts(std::process::id()) && is_hosts(1));
        let mut container = example::started(with_own_mounts().arg("cat"));
        assert!(!is_hosts(container.id()));
        container.kill().unwrap();
        container.wait().unwrap();
    }
}
