//! A Docker Engine.
use std::{
    fs,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
};

use crate::server::{serve, tell};

/// The socket, in a folder, of one that has neither images nor containers and keeps nothing, for as long as the tests run.
pub(crate) fn empty(folder: &Path) -> PathBuf {
    let root = folder.join("docker");
    fs::create_dir(&root).unwrap();
    let socket = folder.join("docker.sock");
    serve(UnixListener::bind(&socket).unwrap(), move |head, _| {
        if head.starts_with("DELETE") {
            tell("404 Not Found", r#"{"message":"no such image"}"#)
        } else if head.contains("/info") {
            tell("200 OK", format!(r#"{{"DockerRootDir":{root:?}}}"#))
        } else {
            tell("200 OK", "[]")
        }
    });
    socket
}
