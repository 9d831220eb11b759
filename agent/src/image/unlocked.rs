//! Images with the handler in them, for the opt-in rebuild by image: a layer on the base image, built from
//! a context that exists in memory only, and purged at the close.
use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::process::Command;

use super::{
    Engine, ImageError, Leftover, Reference,
    containerd::remove_pulled,
    context::Context,
    purge::{blobs, remove_manifest},
    random_name,
};
use crate::seal::archive::{Archive, Content};

/// What the tags of such images start with; the rest is random, so that no two leases share one.
const TAG: &str = "rsfaas-lease-";
/// Folder of the handler in the context.
const HANDLER: &str = "handler";
/// For hangs only: collecting a registry's garbage reads all of its manifests.
const PURGE_TIMEOUT: Duration = Duration::from_secs(600);

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
    /// A tag that no other lease has.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(crate) fn tag() -> Result<String, getrandom::Error> {
        Ok(TAG.to_owned() + &random_name()?)
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

    /// Images of this kind that are still there beside a base image.
    ///
    /// # Errors
    /// When the engine fails.
    pub(crate) async fn left(
        engine: &Engine,
        base: &Reference,
    ) -> Result<Vec<Reference>, ImageError> {
        let mut tags = engine.tags(&base.repository).await?;
        tags.retain(|tag| tag.starts_with(TAG));
        Ok(tags.iter().map(|tag| base.tagged(tag)).collect())
    }

    /// Removes the image: first from the registry, since its name in the engine is what a later sweep
    /// would find it by. The classic builder keeps no cache beside the image's own layers. Gives what
    /// is out of reach.
    ///
    /// # Errors
    /// When the engine, the registry or a containerd fails.
    pub(crate) async fn purge(
        engine: &Engine,
        image: &Reference,
    ) -> Result<Option<Leftover>, ImageError> {
        let left = remove_manifest(image).await?.then(|| blobs(image));
        engine.remove(&image.to_string()).await?;
        remove_pulled(image).await?;
        Ok(left)
    }
}

/// The operator's command that removes what the agent cannot reach: the registry's unnamed blobs, a
/// provider's own copies of images.
#[derive(Debug)]
pub(crate) struct PurgeCommand(PathBuf);

impl PurgeCommand {
    /// Variable with the purged image's name.
    const IMAGE: &str = "RSFAAS_IMAGE";

    pub(crate) fn new(program: PathBuf) -> Self {
        Self(program)
    }

    /// Runs it for an image that has been purged.
    ///
    /// # Errors
    /// When it cannot be run or fails.
    pub(crate) async fn run(&self, image: &Reference) -> Result<(), ImageError> {
        let failed = |said: String| ImageError::Purge {
            program: self.0.clone(),
            image: image.to_string(),
            said,
        };
        let mut command = Command::new(&self.0);
        command
            .env(Self::IMAGE, image.to_string())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(PURGE_TIMEOUT, command.output())
            .await
            .map_err(|_| failed(format!("no end after {} s", PURGE_TIMEOUT.as_secs())))?
            .map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(failed(format!("{}: {}", output.status, said.trim())))
    }
}

#[cfg(test)]
mod tests {
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
        assert_ne!(Unlocked::tag().unwrap(), Unlocked::tag().unwrap());
    }

    #[tokio::test]
    async fn a_purge_command_is_told_the_image_and_its_failure_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let script = |name: &str, text: &str| {
            PurgeCommand::new(crate::script::write(&folder.path().join(name), text))
        };
        let image = Reference::parse("r/f:lease");
        script("good", "test \"$RSFAAS_IMAGE\" = r/f:lease")
            .run(&image)
            .await
            .unwrap();
        let error = script("bad", "echo no space >&2; exit 3")
            .run(&image)
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no space") && error.contains("r/f:lease"),
            "{error}"
        );
    }
}
