//! Removes what plain builds left under a function's image name, and looks whether anything of the handler
//! is left: in the registry by the digests of the image's layers, in the engine by the content of every
//! file that it keeps.
mod cache;
mod command;
mod context;
mod others;
mod places;
mod registry;
mod traces;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::{Path, PathBuf},
    time::Duration,
};

use self::places::{layer_of, loose, volume_of};
pub(super) use self::registry::{blobs, pushed_tags, remove_manifest};
pub use self::traces::Traces;
pub(crate) use self::{command::PurgeCommand, registry::is_gone};
use super::{
    Engine, ImageError, Reference,
    engine::{Image, Storage},
};

/// How long the plain function's container may take until it is gone.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many places of one kind are named at most.
const NAMED: usize = 5;

/// Something that may hold plaintext and could not be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// What it is.
    pub what: String,
    /// How to remove it.
    pub how: String,
}

/// What is to be removed, and to be looked for.
pub struct Purge<'a> {
    /// The engine that has built.
    pub engine: &'a Engine,
    /// The plain function's image, as its stack file names it.
    pub image: &'a Reference,
    /// Its images under other tags.
    pub further: &'a [Reference],
    /// Tags of the repository that other functions have: their images stay.
    pub taken: &'a BTreeSet<String>,
    /// Where faas-cli may have left the context of a plain build; none where that is the handler's own place.
    pub context: Option<PathBuf>,
    /// The function's base image, whose layers stay.
    pub base: &'a Reference,
    /// What the handler is known by.
    pub traces: Traces,
    /// The operator's command that collects a registry's garbage.
    pub command: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Purged {
    /// What is left.
    pub left: Vec<Leftover>,
    /// What was looked through in vain.
    pub proved: Vec<String>,
    /// Why it was broken off, where it was.
    pub failure: Option<ImageError>,
}

impl Purge<'_> {
    /// Does it, as far as it can be done. The plain function is not deployed any more.
    pub async fn run(self) -> Purged {
        let mut purged = Purged::default();
        self.context(&mut purged);
        registry::purge(&self, &mut purged).await;
        others::name(&self, &mut purged).await;
        purged.failure = self.engine(&mut purged).await.err();
        purged
    }

    /// The plain function's images, but for those that other functions have.
    fn images(&self) -> impl Iterator<Item = &Reference> {
        let all = std::iter::once(self.image).chain(self.further);
        all.filter(|image| !self.taken.contains(&image.tag))
    }

    async fn engine(&self, purged: &mut Purged) -> Result<(), ImageError> {
        for image in self.images() {
            let image = image.to_string();
            self.engine.wait_unused(&image, PATIENCE).await?;
            self.engine.remove(&image).await?;
        }
        let base = self.base_layers().await?;
        let storage = self.engine.storage().await?.with_layers(&base);
        if storage.in_containerd {
            purged.left.push(Leftover {
                what: "whatever builds have left in containerd's own folder, where this engine keeps images: it \
                       was not searched"
                    .into(),
                how: "docker builder prune --all, which removes every function's cache".into(),
            });
        }
        let why = storage.unsearchable();
        if let Some(why) = &why {
            // Whose they are nobody can tell.
            if let Err(error) = self.clean_contexts().await {
                tracing::warn!(%error, "the builder's cache was not cleaned");
            }
            purged.left.push(unsearched(&storage, why));
        }
        if storage.is_here {
            self.search(&storage, &base, why.is_none(), purged).await?;
        }
        Ok(())
    }

    /// Searches the engine's folder; whether that is all that there is to search.
    async fn search(
        &self,
        storage: &Storage,
        base: &HashSet<String>,
        is_all: bool,
        purged: &mut Purged,
    ) -> Result<(), ImageError> {
        let root = &storage.root;
        let Some(mut search) = self.look(root, base).await else {
            if is_all {
                purged
                    .left
                    .push(unsearched(storage, "since it cannot be read"));
            }
            return Ok(());
        };
        if !search.found.is_empty() {
            let found: Vec<PathBuf> = search.found.keys().cloned().collect();
            if let Err(error) = self.clean(&found).await {
                tracing::warn!(%error, "the builder's cache was not cleaned");
            }
            search = self.look(root, base).await.unwrap_or(search);
        }
        if !search.found.is_empty() {
            self.tell(search, purged).await?;
        } else if is_all && search.contents > 0 {
            purged.proved.push(format!(
                "none of the handler's {} files is among the {} files in {}",
                search.contents,
                search.files,
                root.display()
            ));
        }
        Ok(())
    }

    fn context(&self, purged: &mut Purged) {
        let Some(folder) = &self.context else {
            return;
        };
        let shown = folder.display();
        match context::remove(folder) {
            Ok(false) => {}
            Ok(true) => purged.proved.push(format!(
                "{shown}, where a plain build had its context, is gone"
            )),
            Err(error) => purged.left.push(Leftover {
                what: format!("the context of a plain build ({error})"),
                how: format!("rm -r {shown}"),
            }),
        }
    }

    /// The folders of the base's layers. That was built without any of the author's files: what is the same there, as
    /// a stub of the template that the author has left as it was, is no secret.
    async fn base_layers(&self) -> Result<HashSet<String>, ImageError> {
        let is_base = |image: &Image| {
            let mut names = image.tags.iter().map(|tag| Reference::parse(tag));
            names.any(|name| name.is_same(self.base))
        };
        Ok(self
            .engine
            .layer_folders(is_base)
            .await?
            .into_iter()
            .flat_map(|(_, folders)| folders)
            .collect())
    }

    /// Searches everything that the engine keeps for what the base has not; `None` where it is out of reach.
    async fn look(&self, root: &Path, base: &HashSet<String>) -> Option<traces::Search> {
        let (traces, root) = (self.traces.clone(), root.to_owned());
        let search = tokio::task::spawn_blocking(move || traces.search(&root)).await;
        let mut search = search.ok()?.ok()?;
        search.pass_over(|path| layer_of(path).is_some_and(|layer| base.contains(&layer)));
        Some(search)
    }

    /// Removes images without a name, and records of the builder's cache, that hold what was found.
    async fn clean(&self, found: &[PathBuf]) -> Result<(), ImageError> {
        let layers: BTreeSet<String> = found.iter().filter_map(|path| layer_of(path)).collect();
        let images = self.engine.layer_folders(|_| true).await?;
        for (image, folders) in &images {
            if image.tags.is_empty() && folders.iter().any(|folder| layers.contains(folder)) {
                // A step of an image that has a name cannot be removed, and is told of.
                let _ = self.engine.remove(&image.id).await;
            }
        }
        let records = cache::records().await?;
        for id in cache::in_order(&records, layers) {
            cache::prune(&id).await?;
        }
        // A record's folder may have another name than the record.
        let loose = loose(found, &images);
        let records = cache::records().await?;
        for id in cache::of_contexts(&records) {
            if !loose.iter().any(|path| path.exists()) {
                break;
            }
            cache::prune(&id).await?;
        }
        Ok(())
    }

    /// Removes every record of the builder's cache that holds files of a build context, where nothing shows which ones
    /// are the handler's.
    async fn clean_contexts(&self) -> Result<(), ImageError> {
        for id in cache::of_contexts(&cache::records().await?) {
            cache::prune(&id).await?;
        }
        Ok(())
    }

    async fn tell(&self, search: traces::Search, purged: &mut Purged) -> Result<(), ImageError> {
        let images = self.engine.layer_folders(|_| true).await?;
        let mut left = BTreeMap::<String, (String, usize)>::new();
        for path in search.found.keys() {
            let layer = layer_of(path);
            let owners = images
                .iter()
                .filter(|(_, folders)| layer.as_ref().is_some_and(|it| folders.contains(it)));
            let names: BTreeSet<&String> = owners.flat_map(|(image, _)| &image.tags).collect();
            let (what, how) = match (names.first(), volume_of(path)) {
                (Some(name), _) => (format!("image {name}"), format!("docker image rm {name}")),
                (None, Some(volume)) => (
                    format!("volume {volume}"),
                    format!("docker volume rm {volume}, once no container has it"),
                ),
                (None, None) => (
                    path.parent().unwrap_or(path).display().to_string(),
                    "docker builder prune --all, which removes every function's cache".to_owned(),
                ),
            };
            left.entry(what).or_insert((how, 0)).1 += 1;
        }
        let more = left.len().saturating_sub(NAMED);
        for (what, (how, count)) in left.into_iter().take(NAMED) {
            let what = format!("{count} files of the handler in {what}");
            purged.left.push(Leftover { what, how });
        }
        if more > 0 {
            purged.left.push(Leftover {
                what: format!("files of the handler at {more} further places"),
                how: "the same".to_owned(),
            });
        }
        Ok(())
    }
}

/// What is said of an engine's folder that was not searched, or not all of it.
fn unsearched(storage: &Storage, why: &str) -> Leftover {
    let how = match storage.is_here && storage.unsearchable().is_some() {
        true => {
            "docker image prune and docker builder prune --all, which remove every function's steps of builds and cache"
        }
        false => {
            "seal on the engine's host, as root, to have it searched; or docker builder prune --all, which removes \
             every function's cache"
        }
    };
    Leftover {
        what: format!(
            "whatever builds have left in {}: it was not searched, {why}",
            storage.root.display()
        ),
        how: how.to_owned(),
    }
}

#[cfg(test)]
mod tests;
