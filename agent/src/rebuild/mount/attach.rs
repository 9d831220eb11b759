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
            // The clone takes over what the mount is at this moment: read-only.
            let kept = MountFlags::BIND | MountFlags::NOSUID | MountFlags::NODEV;
            let remount = |flags| {
                mount_remount(".", flags, c"").map_err(MountError::kernel("mount (MS_REMOUNT)"))
            };
            remount(kept | MountFlags::RDONLY)?;
            let flags = OpenTreeFlags::OPEN_TREE_CLONE
                | OpenTreeFlags::OPEN_TREE_CLOEXEC
                | OpenTreeFlags::AT_EMPTY_PATH;
            let view = open_tree(ramfs, c"", flags).map_err(MountError::kernel("open_tree"))?;
            remount(kept)?;
            Ok(view)
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

fn mount_over(mount: BorrowedFd<'_>, folder: BorrowedFd<'_>) -> Result<(), MountError> {
    let both = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, c"", folder, c"", both).map_err(MountError::kernel("move_mount"))
}
