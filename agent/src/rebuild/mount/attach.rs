//! Brings a written ramfs into a container's mount namespace, on a thread that ends with it: a thread
//! that has been in another namespace must not do anything else afterwards.
//!
//! Mount calls that prepare the view happen in a private copy of the container's namespace, so the
//! container sees one change only: the finished, read-only mount.
use std::{
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    thread,
};

use nix::sched::{CloneFlags, setns, unshare};
use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    mount::{
        MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount_change,
        mount_remount, move_mount, open_tree,
    },
    process::{chroot, fchdir},
};

use super::{
    MountError,
    base::Layering,
    ramfs::{self, Ramfs},
};

/// Mounts `ramfs` (with what `layering` says below it) over `folder` in `namespace`.
pub(super) fn attach(
    ramfs: &Ramfs,
    namespace: &OwnedFd,
    folder: &OwnedFd,
    layering: Layering,
) -> Result<(), MountError> {
    thread::scope(|scope| {
        thread::Builder::new()
            .name("deliver".into())
            .spawn_scoped(scope, || {
                attach_here(ramfs.mount(), namespace, folder, layering)
            })
            .map_err(MountError::kernel(
                "clone (a thread to enter the container)",
            ))?
            .join()
            .map_err(|_| MountError::Stopped)?
    })
}

fn attach_here(
    ramfs: BorrowedFd<'_>,
    namespace: &OwnedFd,
    folder: &OwnedFd,
    layering: Layering,
) -> Result<(), MountError> {
    // Root and working folder become this thread's own, which entering a mount namespace demands.
    unshare(CloneFlags::CLONE_FS).map_err(MountError::kernel("unshare (CLONE_FS)"))?;
    enter(namespace)?;
    let view = scratch(ramfs, folder, layering)?;
    enter(namespace)?;
    mount_over(view.as_fd(), folder.as_fd())
}

fn enter(namespace: &OwnedFd) -> Result<(), MountError> {
    setns(namespace, CloneFlags::CLONE_NEWNS).map_err(MountError::kernel(
        "setns (the container's mount namespace)",
    ))
}

/// Makes what the container is to see, in a copy of its namespace that ends when this thread leaves it.
/// `ramfs` stays writable through its own descriptor; nobody else has it.
fn scratch(
    ramfs: BorrowedFd<'_>,
    folder: &OwnedFd,
    layering: Layering,
) -> Result<OwnedFd, MountError> {
    // The copy takes the working folder along: that is how `folder` is found in it.
    fchdir(folder).map_err(MountError::kernel("fchdir (the handler folder)"))?;
    unshare(CloneFlags::CLONE_NEWNS).map_err(MountError::kernel("unshare (CLONE_NEWNS)"))?;
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .map_err(MountError::kernel("mount (MS_PRIVATE)"))?;
    let path_only = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let base = openat(CWD, c".", path_only, Mode::empty())
        .map_err(MountError::kernel("openat (the handler folder)"))?;
    mount_over(ramfs, base.as_fd())?;
    fchdir(ramfs).map_err(MountError::kernel("fchdir (the ramfs)"))?;
    match layering {
        Layering::Copied => {
            // A second mount, over the first, becomes read-only: the kernel refuses that to one through which
            // a file is open for writing, as in a child of the agent's that has not come to its exec yet.
            let mount = clone(ramfs)?;
            mount_over(mount.as_fd(), ramfs)?;
            fchdir(&mount).map_err(MountError::kernel("fchdir (the read-only mount)"))?;
            let flags =
                MountFlags::BIND | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::RDONLY;
            mount_remount(".", flags, c"").map_err(MountError::kernel("mount (MS_REMOUNT)"))?;
            // It ends with this namespace; what the container sees is another one like it.
            clone(mount.as_fd())
        }
        Layering::Overlay => {
            // Two paths that need no escaping: the ramfs is the root, the base the working folder.
            // An overlay without an upper layer is read-only.
            chroot(".").map_err(MountError::kernel("chroot (the ramfs)"))?;
            fchdir(&base).map_err(MountError::kernel("fchdir (the handler folder)"))?;
            ramfs::open("overlay", Some("/:."))
        }
    }
}

/// A mount like another, mounted nowhere.
fn clone(mount: BorrowedFd<'_>) -> Result<OwnedFd, MountError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(mount, c"", flags).map_err(MountError::kernel("open_tree"))
}

fn mount_over(mount: BorrowedFd<'_>, folder: BorrowedFd<'_>) -> Result<(), MountError> {
    let both = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, c"", folder, c"", both).map_err(MountError::kernel("move_mount"))
}
