//! Copies of images in a containerd that a provider pulls into: faasd keeps every image that it has ever
//! deployed. Removed with containerd's own `ctr`; a host without it has no such copies within reach.
use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{net::UnixStream, process::Command};

use super::{ImageError, Reference};

/// For hangs only: the removal waits until containerd has collected what nothing refers to any more.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Removes every copy of an image that no container uses any more.
///
/// # Errors
/// When containerd is there, and does not answer or refuses.
pub async fn remove_pulled(image: &Reference) -> Result<(), ImageError> {
    if is_served(&socket()).await {
        Ctr(PathBuf::from("ctr")).remove(image).await
    } else {
        tracing::debug!(%image, "no containerd runs here, so none has a copy");
        Ok(())
    }
}

/// The tags of a repository's images of which there are copies.
///
/// # Errors
/// When containerd is there, and does not answer or refuses.
pub(super) async fn pulled_tags(image: &Reference) -> Result<Vec<String>, ImageError> {
    if is_served(&socket()).await {
        Ctr(PathBuf::from("ctr")).tags(image).await
    } else {
        Ok(Vec::new())
    }
}

/// Whether somebody listens at a socket: `ctr` would wait for ten seconds at one that was left behind.
async fn is_served(socket: &Path) -> bool {
    match UnixStream::connect(socket).await {
        Ok(_) => true,
        Err(error) => !matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
        ),
    }
}

struct Ctr(PathBuf);

impl Ctr {
    async fn remove(&self, image: &Reference) -> Result<(), ImageError> {
        let name = full_name(image);
        let failed = |said| ImageError::Pulled {
            image: name.clone(),
            said,
        };
        for (namespace, images) in self.images().await.map_err(failed)? {
            if images.contains(&name) {
                let remove = ["--namespace", &namespace, "images", "rm", "--sync", &name];
                self.run(&remove).await.map_err(failed)?;
            }
        }
        Ok(())
    }

    async fn tags(&self, image: &Reference) -> Result<Vec<String>, ImageError> {
        let prefix = full_name(&image.tagged(""));
        let images = self.images().await.map_err(|said| ImageError::Pulled {
            image: format!("{prefix}TAG"),
            said,
        })?;
        let names = images.iter().flat_map(|(_, names)| names);
        let tags = names.filter_map(|name| name.strip_prefix(&prefix));
        Ok(tags.map(str::to_owned).collect())
    }

    /// The images of each namespace.
    async fn images(&self) -> Result<Vec<(String, Vec<String>)>, String> {
        let namespaces = self.run(&["namespaces", "ls", "--quiet"]).await?;
        let mut images = Vec::new();
        for namespace in namespaces.unwrap_or_default().lines() {
            let list = ["--namespace", namespace, "images", "ls", "--quiet"];
            let names = self.run(&list).await?.unwrap_or_default();
            images.push((
                namespace.to_owned(),
                names.lines().map(str::to_owned).collect(),
            ));
        }
        Ok(images)
    }

    /// What `ctr` writes; `None` where there is no `ctr`.
    async fn run(&self, arguments: &[&str]) -> Result<Option<String>, String> {
        let mut command = Command::new(&self.0);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = match tokio::time::timeout(TIMEOUT, command.output()).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err(format!("no end after {} s", TIMEOUT.as_secs())),
        };
        if output.status.success() {
            return Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()));
        }
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

/// Where `ctr` looks for containerd.
fn socket() -> PathBuf {
    std::env::var_os("CONTAINERD_ADDRESS")
        .unwrap_or_else(|| "/run/containerd/containerd.sock".into())
        .into()
}

/// An image's name with the registry that containerd adds where none is written.
fn full_name(image: &Reference) -> String {
    format!("{}:{}", image.full_repository(), image.tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{eventually::PATIENCE, script};

    /// A `ctr` that answers as the text says, and notes how it was called.
    fn ctr(text: &str) -> (tempfile::TempDir, Ctr) {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("echo \"$@\" >> \"$0.calls\"\n{text}");
        let path = script::write(&folder.path().join("ctr"), &text);
        (folder, Ctr(path))
    }

    #[tokio::test]
    async fn only_the_very_image_is_removed_and_only_where_it_is() {
        let (folder, ctr) = ctr(r#"case "$*" in
            "namespaces ls --quiet") echo openfaas-fn; echo other;;
            "--namespace openfaas-fn images ls --quiet") echo r:5000/f:1; echo r:5000/f:10;;
        esac"#);
        ctr.remove(&Reference::parse("r:5000/f:1")).await.unwrap();
        let calls = std::fs::read_to_string(folder.path().join("ctr.calls")).unwrap();
        let removals: Vec<_> = calls.lines().filter(|line| line.contains(" rm ")).collect();
        assert_eq!(
            removals,
            ["--namespace openfaas-fn images rm --sync r:5000/f:1"]
        );
        let tags = ctr.tags(&Reference::parse("r:5000/f:base")).await.unwrap();
        assert_eq!(tags, ["1", "10"]);
    }

    #[tokio::test]
    async fn a_refusal_is_told_with_the_image_and_what_to_do() {
        let (_folder, ctr) = ctr("echo permission denied >&2; exit 1");
        let error = ctr.remove(&Reference::parse("f")).await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("permission denied") && text.contains("docker.io/library/f:latest"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn a_socket_that_a_containerd_left_behind_is_not_waited_at() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("containerd.sock");
        assert!(!is_served(&socket).await);
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(is_served(&socket).await);
        drop(listener);
        // A program that another test is just starting has the socket for a moment longer.
        let ended = async {
            while is_served(&socket).await {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, ended).await.unwrap();
        assert!(socket.exists());
    }

    #[tokio::test]
    async fn a_host_without_containerd_has_no_copies() {
        let ctr = Ctr(PathBuf::from("/nonexistent/ctr"));
        ctr.remove(&Reference::parse("f")).await.unwrap();
    }

    #[test]
    fn names_are_written_out_as_containerd_has_them() {
        for (short, full) in [
            ("f", "docker.io/library/f:latest"),
            ("user/f:1", "docker.io/user/f:1"),
            ("r.example/f", "r.example/f:latest"),
        ] {
            assert_eq!(full_name(&Reference::parse(short)), full);
        }
    }
}
