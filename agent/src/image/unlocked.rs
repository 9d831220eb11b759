//! Images with the handler in them, for the opt-in rebuild by image: a layer on the base image, built from
//! a context that exists in memory only, and purged at the close.
use std::{
    collections::{BTreeSet, HashMap},
    io,
    path::Path,
};

use super::{
    Engine, ImageError, Leftover, PurgeCommand, Reference,
    containerd::{pulled_tags, remove_pulled},
    context::Context,
    purge::{blobs, pushed_tags, remove_manifest},
    random_name,
};
use crate::seal::archive::{Archive, Content};

/// What the tags of such images start with; then comes the host ID, by which an agent knows what an
/// earlier one has left. The rest is random, so that no two leases share one.
const TAG: &str = "rsfaas-lease-";
/// Folder of the handler in the context.
const HANDLER: &str = "handler";

/// What an unlocked image is made of, beside the handler.
pub(crate) struct Unlocked<'a> {
    /// The function's base image.
    pub(crate) base: &'a Reference,
    /// Handler folder inside the container, absolute.
    pub(crate) handler_dir: &'a Path,
    /// The image's user, to whom the handler belongs; empty for root.
    pub(crate) user: &'a str,
}

impl Unlocked<'_> {
    /// A tag that no other lease has, of the host of that ID.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(crate) fn tag(host: &str) -> Result<String, getrandom::Error> {
        Ok(format!("{TAG}{host}-{}", random_name()?))
    }

    /// Builds the image. Plaintext is handed to the engine as a stream, never as a file of the agent's.
    ///
    /// # Errors
    /// When the engine fails.
    pub(crate) async fn build(
        &self,
        engine: &Engine,
        image: &Reference,
        handler: Archive,
    ) -> Result<(), ImageError> {
        let context = self
            .context(&handler)
            .map_err(|source| ImageError::Context {
                function: image.to_string(),
                source,
            })?;
        drop(handler);
        engine.build(image, context, HashMap::new()).await?;
        Ok(())
    }

    fn context(&self, handler: &Archive) -> io::Result<Context> {
        // Sized before it is filled, so that it never moves and leaves no copy behind.
        let size = handler.entries().map(|entry| match entry.content {
            Content::File(bytes) => bytes.len(),
            Content::Folder | Content::Link(_) => 0,
        });
        let mut context = Context::with_capacity(handler.entries().count() + 1, size.sum())
            // A layer with a digest of its own each time: a registry may remember digests that its
            // garbage collection has removed.
            .at(std::time::SystemTime::now())
            .file("Dockerfile", 0o644, self.dockerfile().as_bytes())?;
        for entry in handler.entries() {
            let path = Path::new(HANDLER).join(entry.path);
            context = match entry.content {
                Content::Folder => context.dir(&path, entry.mode)?,
                Content::File(bytes) => context.file(&path, entry.mode, bytes)?,
                Content::Link(target) => context.link(&path, target)?,
            };
        }
        Ok(context)
    }

    /// An empty handler variable tells gate and hook that there is nothing to wait for.
    fn dockerfile(&self) -> String {
        let folder = serde_json::json!([format!("{HANDLER}/"), self.handler_dir]);
        let owner = if self.user.is_empty() {
            String::new()
        } else {
            format!("--chown={} ", self.user)
        };
        format!(
            "FROM {}\nCOPY {owner}{folder}\nENV {}=\"\"\n",
            self.base,
            rsfaas_shim::HANDLER_DIR
        )
    }

    /// Images of a host's that are still there beside a base image: in the engine, in the registry or in a containerd,
    /// and why one of these cannot tell.
    pub(crate) async fn left(engine: &Engine, base: &Reference, host: &str) -> Left {
        let mut left = Left::default();
        let mut tags = BTreeSet::new();
        for found in [
            engine.tags(&base.repository).await,
            pushed_tags(base).await,
            pulled_tags(base).await,
        ] {
            match found {
                Ok(found) => tags.extend(found),
                Err(error) => left.unseen.push(error),
            }
        }
        let own = format!("{TAG}{host}-");
        for tag in tags.iter().filter(|tag| tag.starts_with(TAG)) {
            let image = base.tagged(tag);
            if tag.starts_with(&own) {
                left.own.push(image);
            } else {
                left.others.push(image);
            }
        }
        left
    }

    /// Removes the image from wherever it is within reach, in the engine last, where a later agent finds most easily
    /// what this one did not come to. What fails keeps nothing else from being removed. The classic builder keeps no
    /// cache beside the image's own layers. Gives what is out of reach.
    ///
    /// # Errors
    /// When the engine, the registry, a containerd or the operator's command fails: with all that was said.
    pub(crate) async fn purge(
        engine: &Engine,
        image: &Reference,
        command: Option<&PurgeCommand>,
    ) -> Result<Option<Leftover>, ImageError> {
        let mut said = Vec::new();
        let left = match remove_manifest(image).await {
            Ok(there) => there && command.is_none(),
            Err(error) => {
                said.push(format!(
                    "{error}; delete the tag with the registry's own means, then collect its garbage"
                ));
                false
            }
        };
        if let Err(error) = remove_pulled(image).await {
            said.push(error.to_string());
        }
        if let Some(command) = command
            && let Err(error) = command.run(image).await
        {
            said.push(error.to_string());
        }
        if let Err(error) = engine.remove(&image.to_string()).await {
            said.push(error.to_string());
        }
        if said.is_empty() {
            Ok(left.then(|| blobs(image)))
        } else {
            Err(ImageError::Unpurged {
                image: image.to_string(),
                said: said.join(" / "),
            })
        }
    }
}

/// Images with a handler in them that are still there.
#[derive(Default)]
pub(crate) struct Left {
    /// This host's, which nobody uses any more.
    pub(crate) own: Vec<Reference>,
    /// Those of other hosts, or of a state folder that is gone.
    pub(crate) others: Vec<Reference>,
    /// Why there may be more.
    pub(crate) unseen: Vec<ImageError>,
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::{
        io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufStream},
        net::TcpListener,
    };

    use super::*;

    fn dockerfile(user: &str) -> String {
        Unlocked {
            base: &Reference::parse("r/f:base"),
            handler_dir: Path::new("/home/app/my function"),
            user,
        }
        .dockerfile()
    }

    #[test]
    fn the_handler_belongs_to_the_images_user() {
        assert_eq!(
            dockerfile("app"),
            "FROM r/f:base\nCOPY --chown=app [\"handler/\",\"/home/app/my function\"]\nENV \
             RSFAAS_HANDLER_DIR=\"\"\n"
        );
        assert!(dockerfile("").contains("\nCOPY [\"handler/\""));
    }

    #[test]
    fn no_two_leases_share_a_tag() {
        assert_ne!(Unlocked::tag("h").unwrap(), Unlocked::tag("h").unwrap());
    }

    /// An engine and a registry at one address, which note how they are asked. The registry refuses to delete, and
    /// lists these tags.
    async fn refusing_registry(tags: &[&str]) -> (Engine, Reference, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = Arc::clone(&asked);
        let listed = serde_json::json!({"name": "f", "tags": tags}).to_string();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufStream::new(stream);
                let mut line = String::new();
                stream.read_line(&mut line).await.unwrap();
                let (status, body) = match line.as_str() {
                    line if line.contains("/manifests/") => ("405 Method Not Allowed", ""),
                    line if line.contains("/tags/list") => ("200 OK", listed.as_str()),
                    _ => ("200 OK", "[]"),
                };
                noted.lock().unwrap().push(line);
                let answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n{body}");
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.flush().await.unwrap();
            }
        });
        let docker = bollard::Docker::connect_with_http(
            &format!("http://{host}"),
            5,
            bollard::API_DEFAULT_VERSION,
        );
        let image = Reference::parse(&format!("{host}/f:lease"));
        (Engine(docker.unwrap()), image, asked)
    }

    #[tokio::test]
    async fn a_registry_that_refuses_keeps_nothing_else_from_being_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("purge");
        let command = PurgeCommand::new(crate::script::write(&path, "touch \"$0.ran\""));
        let (engine, image, asked) = refusing_registry(&[]).await;
        let error = Unlocked::purge(&engine, &image, Some(&command))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("405") && error.contains("delete the tag"));
        assert!(folder.path().join("purge.ran").exists());
        let asked = asked.lock().unwrap();
        assert!(
            asked.last().unwrap().starts_with("DELETE ")
                && asked.last().unwrap().contains("/images/"),
            "{asked:?}"
        );
    }

    #[tokio::test]
    async fn what_a_registry_has_kept_is_found_again_and_other_hosts_is_told_apart() {
        let (own, other) = ("rsfaas-lease-host-1", "rsfaas-lease-another-1");
        let (engine, base, _) = refusing_registry(&[own, other, "1.0"]).await;
        let left = Unlocked::left(&engine, &base, "host").await;
        assert_eq!(left.own, [base.tagged(own)]);
        assert_eq!(left.others, [base.tagged(other)]);
    }
}
