//! Network namespaces and interfaces to measure in.
use std::{
    process::Command,
    thread::{self, JoinHandle},
};

use nix::sched::{CloneFlags, unshare};
use rsfaas::spot::{Interface, InterfaceChange, Interfaces, Options, ReleaseSign, Spotter};

/// The gateway's port.
pub(super) const PORT: u16 = 8080;

/// Runs on a thread of its own in a network namespace of its own, which goes with its threads.
pub(super) fn in_namespace<T: Send + 'static>(
    run: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        ip("link set lo up");
        run()
    })
}

pub(super) fn ip(arguments: &str) {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {error}");
}

/// The spotter's programs, and the interface at which they are to be measured.
pub(super) fn spotter(name: &str) -> (Spotter, Interface) {
    let spotter = Spotter::load(&Options {
        port: PORT,
        key_header: "X-RsFaaS-Key".into(),
        release: ReleaseSign::random().unwrap(),
    })
    .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let interface = runtime.block_on(async {
        let mut interfaces = Interfaces::follow().await.unwrap();
        loop {
            if let InterfaceChange::Up(interface) = interfaces.next().await.unwrap()
                && interface.name == name
            {
                return interface;
            }
        }
    });
    (spotter, interface)
}
