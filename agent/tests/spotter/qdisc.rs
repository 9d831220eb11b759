//! What older kernels attach programs to, as this kernel tells of it.
use std::{process::Command, thread};

use nix::{
    net::if_::if_nametoindex,
    sched::{CloneFlags, unshare},
};
use rsfaas::spot::qdisc_at_hooks;

const INTERFACE: &str = "rsfaas-qdisc";

fn run(program: &str, arguments: &[&str]) {
    let ended = Command::new(program).args(arguments).status().unwrap();
    assert!(ended.success(), "{program} {arguments:?}: {ended}");
}

#[test]
fn the_qdisc_at_an_interfaces_hooks_is_told_by_its_kind() {
    // In a namespace of its own, which goes with its thread.
    thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        is_told();
    })
    .join()
    .unwrap();
}

fn is_told() {
    // A pair, since not every kernel has dummies.
    let pair = ["type", "veth", "peer", "name", "rsfaas-qdisc1"];
    run("ip", &[&["link", "add", INTERFACE][..], &pair].concat());
    let index = if_nametoindex(INTERFACE).unwrap();
    assert_eq!(qdisc_at_hooks(index).unwrap(), None);
    for kind in ["ingress", "clsact"] {
        run("tc", &["qdisc", "add", "dev", INTERFACE, kind]);
        assert_eq!(qdisc_at_hooks(index).unwrap().as_deref(), Some(kind));
        run("tc", &["qdisc", "del", "dev", INTERFACE, kind]);
    }
}
