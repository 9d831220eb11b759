//! A network namespace by name, and work done inside it.
use std::{fs::File, io, os::fd::AsRawFd as _, process::Command, thread};

use nix::{
    libc,
    sched::{CloneFlags, setns},
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};

use crate::check::{Error, Outcome, check, run};

/// What an interface does for the stack (`ETHTOOL_S...` in the kernel's `linux/ethtool.h`).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Offload {
    /// Cuts TCP's segments as they leave.
    Tso = 0x1f,
    /// The same by the kernel.
    Gso = 0x24,
    /// Puts segments together as they come.
    Gro = 0x2c,
}

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

    /// Sets a file of an interface in `/sys`, which shows the namespace of whoever has mounted it.
    pub(crate) fn set_link(&self, link: &str, file: &str, value: &str) -> Outcome {
        let command = format!("echo {value} > /sys/class/net/{link}/{file}");
        let inside = ["netns", "exec", self.name, "sh", "-c", &command];
        run(Command::new("ip").args(inside)).map(drop)
    }

    /// Switches what an interface does for the stack on or off, as `ethtool -K` does.
    pub(crate) fn offload(&self, link: &str, offload: Offload, on: bool) -> Outcome {
        self.enter(|| {
            let kind = SockFlag::SOCK_CLOEXEC;
            let socket = socket(AddressFamily::Inet, SockType::Datagram, kind, None)?;
            let mut value = [offload as u32, u32::from(on)];
            // SAFETY: all zeros is a value of this plain C structure.
            let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
            for (target, byte) in request.ifr_name.iter_mut().zip(link.bytes()) {
                *target = libc::c_char::try_from(byte)?;
            }
            request.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
            // SAFETY: the structure is as ioctl(2) wants it, and points to the two numbers of a `struct ethtool_value`.
            let result =
                unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
            check!(
                result == 0,
                "{offload:?} of {link}: {}",
                io::Error::last_os_error()
            );
            Ok(())
        })
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
