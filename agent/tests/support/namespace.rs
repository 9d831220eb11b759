//! Network namespaces and interfaces to test and to measure in.
use std::{
    process::Command,
    thread::{self, JoinHandle},
};

use nix::{
    sched::{CloneFlags, unshare},
    unistd::Pid,
};
use rsfaas::spot::{
    AdmissionKey, Interface, InterfaceChange, Interfaces, Options, ReleaseSign, Spotter,
};

/// The gateway's port.
pub(crate) const PORT: u16 = 8080;
/// The header that carries the key.
pub(crate) const KEY_HEADER: &str = "X-RsFaaS-Key";

/// Runs on a thread of its own in a network namespace of its own, which goes with its threads.
pub(crate) fn in_namespace<T: Send + 'static>(
    run: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        ip("link set lo up");
        run()
    })
}

pub(crate) fn ip(arguments: &str) {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {error}");
}

/// Links this namespace to that of a thread, which gets `cl0`: by `gw0`, or by the bridge `br0` that `gw0` is
/// a port of. The named interface has the address 198.18.211.1/30.
pub(crate) fn link_to(there: Pid, name: &str) {
    ip("link add gw0 type veth peer name cl0");
    ip("link add br0 type bridge");
    ip(&format!("link set cl0 netns {there}"));
    if name == "br0" {
        ip("link set gw0 master br0");
    }
    ip(&format!("address add 198.18.211.1/30 dev {name}"));
    ip("link set br0 up");
    ip("link set gw0 up");
}

/// The spotter's programs, loaded.
pub(crate) fn spotter(sign: &ReleaseSign) -> Spotter {
    Spotter::load(&Options {
        port: PORT,
        key_header: KEY_HEADER.into(),
        next_key_header: "X-RsFaaS-Next-Key".into(),
        release: *sign,
        admission: AdmissionKey::random().unwrap(),
    })
    .unwrap()
}

/// Waits for an interface.
pub(crate) async fn interface(name: &str) -> Interface {
    let mut interfaces = Interfaces::follow().await.unwrap();
    loop {
        if let InterfaceChange::Up(interface) = interfaces.next().await.unwrap()
            && interface.name == name
        {
            return interface;
        }
    }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}
