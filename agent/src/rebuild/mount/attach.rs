//! Brings a written ramfs into a container's mount namespace, on a thread that ends with it: a thread
//! that has been in another namespace must not do anything else afterwards.
//!
//! Mount calls that prepare the view happen in a private copy of the container's namespace, so the
//! container sees finished, read-only mounts only.
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    thread,
};

use nix::sched::{CloneFlags, setns, unshare};
use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2},
    mount::{
        MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount_change,
        mount_remount, move_mount, open_tree,
    },
    process::{chroot, fchdir},
};

use super::{
    MountError,
    base::Layering,
    namespace::Namespace,
    ramfs::{self, Ramfs},
};

/// A place below a root folder: its links cannot lead out of the container.
pub(super) fn place(root: impl AsFd, path: &Path, is_folder: bool) -> Result<OwnedFd, MountError> {
    let kind = if is_folder {
        OFlags::DIRECTORY
    } else {
        OFlags::empty()
    };
    openat2(
        root,
        path,
        kind | OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )
    .map_err(|errno| MountError::HandlerDir {
        folder: path.to_owned(),
        source: errno.into(),
    })
}

/// What comes over one place of a container.
pub(super) struct Attachment<'a> {
    /// The place, as the container sees it.
    pub(super) path: &'a Path,
    /// The opened place.
    pub(super) place: OwnedFd,
    /// The file or folder of the ramfs that is mounted there.
    pub(super) inside: PathBuf,
    /// What is below it.
    pub(super) layering: Layering,
}

/// Mounts parts of `ramfs` over places in `namespace`, in their order. `root` is the container's root
/// folder.
pub(super) fn attach(
    ramfs: &Ramfs,
    namespace: &Namespace,
    root: &OwnedFd,
    attachments: &[Attachment<'_>],
) -> Result<(), MountError> {
    thread::scope(|scope| {
        thread::Builder::new()
            .name("deliver".into())
            .spawn_scoped(scope, || {
                attach_here(ramfs.mount(), namespace, root, attachments)
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
    namespace: &Namespace,
    root: &OwnedFd,
    attachments: &[Attachment<'_>],
) -> Result<(), MountError> {
    // Root and working folder become this thread's own, which entering a mount namespace demands.
    unshare(CloneFlags::CLONE_FS).map_err(MountError::kernel("unshare (CLONE_FS)"))?;
    let thread = openat(
        CWD,
        "/proc/thread-self",
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(MountError::kernel("openat (/proc/thread-self)"))?;
    enter(namespace)?;
    let views = scratch(ramfs, root, attachments)?;
    // The kernel takes its time to end the copy, which nobody waits for once the handler is there.
    let _copy = openat(
        &thread,
        "ns/mnt",
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(MountError::kernel("openat (ns/mnt)"))?;
    enter(namespace)?;
    for (view, attachment) in views.iter().zip(attachments) {
        mount_over(view.as_fd(), attachment.place.as_fd())?;
    }
    Ok(())
}

fn enter(namespace: &Namespace) -> Result<(), MountError> {
    setns(namespace, CloneFlags::CLONE_NEWNS).map_err(MountError::kernel(
        "setns (the container's mount namespace)",
    ))
}

/// Makes what the container is to see, in a copy of its namespace that ends when this thread leaves it.
/// `ramfs` stays writable through its own descriptor; nobody else has it.
fn scratch(
    ramfs: BorrowedFd<'_>,
    root: &OwnedFd,
    attachments: &[Attachment<'_>],
) -> Result<Vec<OwnedFd>, MountError> {
    // The copy takes the working folder along: that is how the container's folders are found in it.
    fchdir(root).map_err(MountError::kernel("fchdir (the container's root)"))?;
    unshare(CloneFlags::CLONE_NEWNS).map_err(MountError::kernel("unshare (CLONE_NEWNS)"))?;
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .map_err(MountError::kernel("mount (MS_PRIVATE)"))?;
    let path_only = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |folder, path: &Path| {
        openat(folder, path, path_only, Mode::empty())
            .map_err(MountError::kernel("openat (for the delivery)"))
    };
    let root = open(CWD, Path::new("."))?;
    let bases = attachments
        .iter()
        .map(|it| match it.layering {
            Layering::Overlay => place(&root, it.path, true).map(Some),
            Layering::Copied => Ok(None),
        })
        .collect::<Result<Vec<_>, _>>()?;
    mount_over(ramfs, root.as_fd())?;
    // A second mount, over the first, becomes read-only: the kernel refuses that to one through which a file
    // is open for writing, as in a child of the agent's that has not come to its exec yet.
    let read_only = clone(ramfs, Path::new(""))?;
    mount_over(read_only.as_fd(), ramfs)?;
    fchdir(&read_only).map_err(MountError::kernel("fchdir (the read-only mount)"))?;
    let flags = MountFlags::BIND | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::RDONLY;
    mount_remount(".", flags, c"").map_err(MountError::kernel("mount (MS_REMOUNT)"))?;
    // It ends with this namespace; what the container sees are others like it.
    let mut views = Vec::with_capacity(attachments.len());
    for (attachment, base) in attachments.iter().zip(&bases) {
        views.push(match base {
            None => clone(read_only.as_fd(), &attachment.inside)?,
            Some(base) => layered(&open(read_only.as_fd(), &attachment.inside)?, base)?,
        });
    }
    Ok(views)
}

/// An overlay of a folder over another one; without an upper layer it is read-only.
fn layered(upper: &OwnedFd, base: &OwnedFd) -> Result<OwnedFd, MountError> {
    // Two paths that need no escaping: the one is the root, the other the working folder.
    fchdir(upper).map_err(MountError::kernel("fchdir (the ramfs)"))?;
    chroot(".").map_err(MountError::kernel("chroot (the ramfs)"))?;
    fchdir(base).map_err(MountError::kernel("fchdir (the handler folder)"))?;
    ramfs::open("overlay", Some("/:."))
}

/// A mount like another, or of a file or folder in it, mounted nowhere.
fn clone(mount: BorrowedFd<'_>, inside: &Path) -> Result<OwnedFd, MountError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    open_tree(mount, inside, flags).map_err(MountError::kernel("open_tree"))
}

fn mount_over(mount: BorrowedFd<'_>, folder: BorrowedFd<'_>) -> Result<(), MountError> {
    let both = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, c"", folder, c"", both).map_err(MountError::kernel("move_mount"))
}
