//! A Docker Engine.
use std::{
    fs,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
};

use crate::server::{serve, tell};

/// The socket, in a folder, of one that has neither images nor containers and keeps nothing, for as long as the tests run.
pub(crate) fn empty(folder: &Path) -> PathBuf {
    with(folder, None)
}

/// The same with one image, until that is removed: there is a file `docker/removed` then.
pub(crate) fn with_image(folder: &Path, name: &str) -> PathBuf {
    with(folder, Some(name.to_owned()))
}

fn with(folder: &Path, mut image: Option<String>) -> PathBuf {
    let root = folder.join("docker");
    fs::create_dir(&root).unwrap();
    let socket = folder.join("docker.sock");
    serve(UnixListener::bind(&socket).unwrap(), move |head, _| {
        let line = head.lines().next().unwrap();
        let has = |image: &String| line.contains(&format!("/images/{image}"));
        if line.starts_with("DELETE") && image.as_ref().is_some_and(has) {
            image = None;
            fs::write(root.join("removed"), "").unwrap();
            tell("200 OK", "[]")
        } else if line.starts_with("DELETE") {
            tell("404 Not Found", r#"{"message":"no such image"}"#)
        } else if line.contains("/info") {
            tell(
                "200 OK",
                format!(r#"{{"DockerRootDir":{root:?},"Driver":"overlay2"}}"#),
            )
        } else if let Some(image) = &image
            && line.contains("/images/json")
            && !line.contains("label")
        {
            let listed = serde_json::json!([{
                "Id": "id", "ParentId": "", "RepoTags": [image], "RepoDigests": [], "Created": 0, "Size": 0,
                "SharedSize": 0, "Containers": 0, "Labels": {},
            }]);
            tell("200 OK", listed.to_string())
        } else if line.contains("/images/id/json") {
            tell("200 OK", "{}")
        } else {
            tell("200 OK", "[]")
        }
    });
    socket
}
