//! Where things lie in the workspace.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The workspace's folder: the parent of this crate's. Cargo says at run time where that is, since a
/// build folder may have been moved together with its workspace.
pub(crate) fn root() -> PathBuf {
    let manifest =
        env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&manifest)
        .parent()
        .map_or_else(|| PathBuf::from("."), PathBuf::from)
}
