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
};
use crate::seal::archive::{Archive, Content};

/// What the tags of such images start with; then comes the host ID, by which an agent knows what an
/// earlier one has left. The rest is random, so that no two leases share one.
const TAG: &str = "rsfaas-lease-";
/// Label of such images, which says their name: whose build was given up has no tag, or comes to it late.
const LABEL: &str = "com.rsfaas.lease";
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
        let mut bytes = [0_u8; 8];
        getrandom::fill(&mut bytes)?;
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("{TAG}{host}-{digits}"))
    }

    /// Whether a tag is such an image's.
    pub(crate) fn is_tag(tag: &str) -> bool {
        tag.starts_with(TAG)
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
            .context(image, &handler)
            .map_err(|source| ImageError::Context {
                function: image.to_string(),
                source,
            })?;
        drop(handler);
        engine.build(image, context, HashMap::new()).await?;
        Ok(())
    }

    fn context(&self, image: &Reference, handler: &Archive) -> io::Result<Context> {
        // Sized before it is filled, so that it never moves and leaves no copy behind.
        let size = handler.entries().map(|entry| match entry.content {
            Content::File(bytes) => bytes.len(),
            Content::Folder | Content::Link(_) => 0,
        });
        let mut context = Context::with_capacity(handler.entries().count() + 1, size.sum())
            // A layer with a digest of its own each time: a registry may remember digests that its
            // garbage collection has removed.
            .at(std::time::SystemTime::now())
            .file("Dockerfile", 0o644, self.dockerfile(image).as_bytes())?;
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

    /// An empty handler variable tells gate and hook that there is nothing to wait for. The label comes before
    /// anything of the handler does, so that no step with it is without.
    fn dockerfile(&self, image: &Reference) -> String {
        let folder = serde_json::json!([format!("{HANDLER}/"), self.handler_dir]);
        let owner = if self.user.is_empty() {
            String::new()
        } else {
            format!("--chown={} ", self.user)
        };
        format!(
            "FROM {}\nLABEL {LABEL}=\"{image}\"\nCOPY {owner}{folder}\nENV {}=\"\"\n",
            self.base,
            rsfaas_shim::HANDLER_DIR
        )
    }

    /// Images of a host's that are still there beside a base image: in the engine, also without a name, in the registry
    /// or in a containerd, and why one of these cannot tell.
    pub(crate) async fn left(engine: &Engine, base: &Reference, host: &str) -> Left {
        let mut left = Left::default();
        let mut tags = BTreeSet::new();
        for found in [
            engine.tags(&base.repository).await,
            labelled_tags(engine, base).await,
            pushed_tags(base).await,
            pulled_tags(base).await,
        ] {
            match found {
                Ok(found) => tags.extend(found),
                Err(error) => left.unseen.push(error),
            }
        }
        let own = format!("{TAG}{host}-");
        for tag in tags.iter().filter(|tag| Self::is_tag(tag)) {
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
    /// cache beside the image's own layers, and those of its steps, which bear the label. Gives what is out of reach.
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
        let name = image.to_string();
        if let Err(error) = engine.remove(&name).await {
            said.push(error.to_string());
        }
        if let Err(error) = engine.remove_labelled(LABEL, &name).await {
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

/// The tags that images beside a base image were to have, whether they have come to it or not.
async fn labelled_tags(engine: &Engine, base: &Reference) -> Result<Vec<String>, ImageError> {
    let labels = engine.labelled(LABEL).await?.into_iter();
    let images = labels.map(|(_, name)| Reference::parse(&name));
    let beside = images.filter(|image| image.repository == base.repository);
    Ok(beside.map(|image| image.tag).collect())
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
mod tests;
