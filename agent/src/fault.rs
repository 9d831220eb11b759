//! Points at which a test has this process killed: one behind each step that changes what a crash would
//! leave behind.
//!
//! Only with the feature `fault-points`, which tests are built with: without it passing a point does nothing,
//! and nothing of it is in the program.

macro_rules! points {
    ($($(#[$doc:meta])* $point:ident = $name:literal,)+) => {
        /// Where it may happen.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Point {
            $($(#[$doc])* $point,)+
        }

        impl Point {
            /// Every point.
            pub const ALL: &'static [Self] = &[$(Self::$point,)+];

            /// The name by which it is asked for.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)+
                }
            }
        }
    };
}

points! {
    /// `seal`: the images without the handler are built and pushed.
    SealPrepared = "seal.prepared",
    /// `seal`: what is to be sealed is noted.
    SealNoted = "seal.noted",
    /// `seal`: the first plain file is removed.
    SealRemoving = "seal.removing",
    /// `seal`: every plain file is.
    SealRemoved = "seal.removed",
    /// `seal`: the locked function is deployed.
    SealDeployed = "seal.deployed",
    /// `seal`: the function is registered.
    SealRegistered = "seal.registered",
    /// `seal`: what plain builds left is removed.
    SealPurged = "seal.purged",
    /// `seal`: the note is removed.
    SealFinished = "seal.finished",
    /// A file is replaced: an empty one is beside it.
    ReplaceCreated = "replace.created",
    /// A file is replaced: the new content is written beside it.
    ReplaceWritten = "replace.written",
    /// A file is replaced: the new content is on the disk.
    ReplaceSynced = "replace.synced",
    /// A file is replaced: the new content has its name.
    ReplaceRenamed = "replace.renamed",
    /// A file is replaced: and the name is on the disk.
    ReplaceFinished = "replace.finished",
    /// The container that is to be parked is deployed.
    ParkDeployed = "park.deployed",
    /// The handler is decrypted.
    UnlockOpened = "unlock.opened",
    /// A parked container is taken.
    UnlockTaken = "unlock.taken",
    /// It has the handler.
    UnlockDelivered = "unlock.delivered",
    /// Rebuild by image: the image with the handler is built.
    UnlockBuilt = "unlock.built",
    /// Rebuild by image: it is pushed.
    UnlockPushed = "unlock.pushed",
    /// Rebuild by image: its container is deployed.
    UnlockDeployed = "unlock.deployed",
    /// It listens.
    UnlockReady = "unlock.ready",
    /// The request is on its way to it.
    UnlockReleased = "unlock.released",
    /// Rebuild by image: the container is removed, or is late to be; its image is there still.
    LockEnded = "lock.ended",
    /// The delivered files are overwritten and the processes killed; or the image is purged.
    LockWiped = "lock.wiped",
    /// The handler is encrypted afresh.
    LockReencrypted = "lock.reencrypted",
    /// The container is removed.
    LockRemoved = "lock.removed",
    /// The next one is parked.
    LockParked = "lock.parked",
}

/// Names a file that holds the name of the point at which the process is to be killed. A file, so that an agent
/// that runs already can be told.
#[cfg(feature = "fault-points")]
const VARIABLE: &str = "RSFAAS_FAULT";

/// Passes a point, unless it is the one that was asked for.
#[cfg(feature = "fault-points")]
pub(crate) fn pass(point: Point) {
    use nix::{
        sys::signal::{Signal, kill},
        unistd::Pid,
    };
    let asked = std::env::var_os(VARIABLE).and_then(|file| std::fs::read_to_string(file).ok());
    if asked.is_some_and(|name| name.trim() == point.name()) {
        // There is no way for this to fail, and nobody to tell.
        let _ = kill(Pid::this(), Signal::SIGKILL);
    }
}

/// Passes a point.
#[cfg(not(feature = "fault-points"))]
pub(crate) const fn pass(_: Point) {}
