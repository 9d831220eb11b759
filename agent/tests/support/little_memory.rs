//! File systems that are soon full.
use std::{fs::File, path::Path};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
    unistd::{chroot, fchdir},
};

/// Does something with an empty file system in memory of this size (`64k`), which nobody else sees. Needs root.
pub(crate) fn with_little_memory(size: &str, act: impl FnOnce(&Path) + Send) {
    let mounted = tempfile::tempdir().unwrap();
    // On a thread of its own, which nobody else's mounts follow.
    let here = || {
        unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).unwrap();
        let root = File::open("/").unwrap();
        // A chroot's root may be no mount point; whoever enters a namespace is at that one's root.
        let mounts = File::open("/proc/thread-self/ns/mnt").unwrap();
        setns(mounts, CloneFlags::CLONE_NEWNS).unwrap();
        let private = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
        let none = None::<&str>;
        mount(none, "/", none, private, none).unwrap();
        fchdir(root).unwrap();
        chroot(".").unwrap();
        let (kind, options) = (Some("tmpfs"), Some(&*format!("size={size}")));
        mount(kind, mounted.path(), kind, MsFlags::empty(), options).unwrap();
        act(mounted.path());
    };
    std::thread::scope(|scope| scope.spawn(here).join().unwrap());
}
