//! Docker Engine: the few calls that are needed, with errors that are told inside its streams.
mod build;

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bollard::{
    Docker,
    models::{ContainerCreateBody, ContainerSummary, ImageConfig, SystemInfo},
    query_parameters::{
        CreateContainerOptions, ListContainersOptionsBuilder, ListImagesOptionsBuilder,
        PushImageOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder,
        TagImageOptionsBuilder,
    },
};
use futures_util::{Stream, StreamExt as _};
use hyper::body::Bytes;

use super::{ImageError, Reference, login};

/// An image of the engine's list.
pub(super) struct Image {
    pub(super) id: String,
    pub(super) tags: Vec<String>,
}

/// Where the engine keeps everything.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Storage {
    /// Its folder.
    pub(super) root: PathBuf,
    /// Whether images are not there, but containerd's (<https://docs.docker.com/engine/storage/containerd/>).
    pub(super) in_containerd: bool,
    /// Whether that folder is on this host.
    pub(super) is_here: bool,
    /// What keeps the layers.
    driver: String,
}

/// Drivers that keep each layer as a folder of the file system that the engine's own is on. Others have subvolumes, data
/// sets or devices, most of which show nowhere.
pub(super) const IN_FOLDERS: [&str; 3] = ["overlay2", "fuse-overlayfs", "vfs"];

impl Storage {
    /// As the engine has it that is reached at an address; none is the usual socket.
    pub(super) fn of(info: SystemInfo, address: Option<&str>) -> Self {
        let mut status = info.driver_status.into_iter().flatten();
        Self {
            root: info.docker_root_dir.unwrap_or_default().into(),
            in_containerd: status
                .any(|pair| pair == ["driver-type", "io.containerd.snapshotter.v1"]),
            is_here: address.is_none_or(|address| address.starts_with("unix://")),
            driver: info.driver.unwrap_or_default(),
        }
    }

    /// The same, known to have folders of these layers: a socket may be another host's, forwarded, and then none of them is
    /// on this one.
    pub(super) fn with_layers(self, layers: &HashSet<String>) -> Self {
        let folder = self.root.join(match self.driver.as_str() {
            "vfs" => "vfs/dir",
            driver => driver,
        });
        // What may not be looked at is not known to be elsewhere.
        let is_there = |layer: &String| folder.join(layer).try_exists().unwrap_or(true);
        let are_here = layers.is_empty() || layers.iter().any(is_there);
        Self {
            is_here: self.is_here && (self.in_containerd || are_here),
            ..self
        }
    }

    /// Why a search of the folder would prove nothing, where it would not.
    pub(super) fn unsearchable(&self) -> Option<String> {
        if !self.is_here {
            Some("since the engine may be another host's (DOCKER_HOST)".to_owned())
        } else if !self.in_containerd && !IN_FOLDERS.contains(&self.driver.as_str()) {
            let driver = &self.driver;
            Some(format!(
                "since the storage driver {driver} does not keep layers as folders there"
            ))
        } else {
            None
        }
    }
}

/// Between two looks whether an image is still used.
const PAUSE: Duration = Duration::from_millis(100);

/// The engine on this host.
pub struct Engine(pub(super) Docker);

impl Engine {
    /// Connects to the engine that `DOCKER_HOST` names, or to the usual socket.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn connect() -> Result<Self, ImageError> {
        let docker = Docker::connect_with_defaults()?;
        docker.ping().await?;
        Ok(Self(docker))
    }

    /// Pushes an image to its registry, with the login that this user has there. Many want none: one that cannot be used
    /// is told only where the push fails.
    pub(crate) async fn push(&self, image: &Reference) -> Result<(), ImageError> {
        let options = PushImageOptionsBuilder::new().tag(&image.tag).build();
        let (login, unusable) = match login::of(image).await {
            Ok(login) => (login, None),
            Err(error) => (None, Some(error)),
        };
        let mut stream = std::pin::pin!(self.0.push_image(&image.repository, Some(options), login));
        while let Some(progress) = stream.next().await {
            let error = match progress {
                Ok(progress) => progress
                    .error_detail
                    .map(|detail| detail.message.unwrap_or_default()),
                Err(error) => Some(error.to_string()),
            };
            if let Some(said) = error {
                return Err(ImageError::Push {
                    image: image.to_string(),
                    said: login::explain(said, unusable.as_slice()),
                });
            }
        }
        Ok(())
    }

    /// Gives an image another name.
    pub(super) async fn tag(&self, image: &Reference, other: &Reference) -> Result<(), ImageError> {
        let options = TagImageOptionsBuilder::new()
            .repo(&other.repository)
            .tag(&other.tag)
            .build();
        Ok(self.0.tag_image(&image.to_string(), Some(options)).await?)
    }

    /// The tags of a repository's images.
    pub(super) async fn tags(&self, repository: &str) -> Result<Vec<String>, ImageError> {
        let filters = HashMap::from([("reference", vec![repository])]);
        let options = ListImagesOptionsBuilder::new().filters(&filters).build();
        let images = self.0.list_images(Some(options)).await?;
        Ok(images
            .iter()
            .flat_map(|image| &image.repo_tags)
            .map(|name| Reference::parse(name))
            .filter(|image| image.repository == repository)
            .map(|image| image.tag)
            .collect())
    }

    /// An image's ID and settings.
    pub(super) async fn inspect(&self, image: &str) -> Result<(String, ImageConfig), ImageError> {
        let found = self.0.inspect_image(image).await?;
        Ok((
            found.id.unwrap_or_default(),
            found.config.unwrap_or_default(),
        ))
    }

    /// Removes an image and the layers that only it has; whether it was there.
    pub(super) async fn remove(&self, image: &str) -> Result<bool, ImageError> {
        let options = RemoveImageOptionsBuilder::new().force(true).build();
        match self.0.remove_image(image, Some(options), None).await {
            Ok(_) => Ok(true),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes an image together with the containers that were made of it.
    pub(super) async fn remove_with_containers(&self, image: &str) -> Result<(), ImageError> {
        // Other names may stand for the same image.
        let by_name = |it: &ContainerSummary| it.image.as_deref() == Some(image);
        for container in self
            .containers_of(image)
            .await?
            .iter()
            .filter(|it| by_name(it))
        {
            if let Some(id) = &container.id {
                self.remove_container(id).await?;
            }
        }
        self.remove(image).await.map(drop)
    }

    /// An image's containers, running or not.
    async fn containers_of(&self, image: &str) -> Result<Vec<ContainerSummary>, ImageError> {
        let filters = HashMap::from([("ancestor", vec![image])]);
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filters);
        Ok(self.0.list_containers(Some(options.build())).await?)
    }

    /// Waits until no container uses an image, or for so long.
    pub(super) async fn wait_unused(
        &self,
        image: &str,
        patience: Duration,
    ) -> Result<(), ImageError> {
        let start = Instant::now();
        loop {
            let users = self.containers_of(image).await?;
            if users.is_empty() || start.elapsed() >= patience {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Where the engine keeps everything.
    pub(super) async fn storage(&self) -> Result<Storage, ImageError> {
        let address = std::env::var("DOCKER_HOST").ok();
        Ok(Storage::of(self.0.info().await?, address.as_deref()))
    }

    /// Some of all images, steps of builds included, with the names of the folders of their layers.
    pub(super) async fn layer_folders(
        &self,
        wanted: impl Fn(&Image) -> bool,
    ) -> Result<Vec<(Image, HashSet<String>)>, ImageError> {
        let options = ListImagesOptionsBuilder::new().all(true).build();
        let listed = self.0.list_images(Some(options)).await?.into_iter();
        let listed = listed.map(|listed| Image {
            id: listed.id,
            tags: without_none(listed.repo_tags),
        });
        let mut images = Vec::new();
        for image in listed.filter(wanted) {
            let found = match self.0.inspect_image(&image.id).await {
                Ok(found) => found,
                // It has gone since it was listed.
                Err(error) if is_missing(&error) => continue,
                Err(error) => return Err(error.into()),
            };
            let data = found.graph_driver.map(|driver| driver.data);
            let folders = data.iter().flat_map(HashMap::values).flat_map(|paths| {
                let paths = paths.split(':').map(Path::new);
                // `NAME/diff`, but for the folder of all.
                paths.filter_map(|path| path.parent()?.file_name()?.to_str())
            });
            let folders = folders.map(str::to_owned).collect();
            images.push((image, folders));
        }
        Ok(images)
    }

    /// Makes a container that is never started, for a look into an image.
    pub(super) async fn container(&self, image: &str) -> Result<String, ImageError> {
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            cmd: Some(vec!["/".into()]),
            ..ContainerCreateBody::default()
        };
        Ok(self
            .0
            .create_container(None::<CreateContainerOptions>, body)
            .await?
            .id)
    }

    /// Removes such a container, with the volumes into which the engine has copied what its image has there
    /// (<https://docs.docker.com/reference/dockerfile/#volume>).
    pub(super) async fn remove_container(&self, id: &str) -> Result<(), ImageError> {
        let options = RemoveContainerOptionsBuilder::new().v(true).build();
        Ok(self.0.remove_container(id, Some(options)).await?)
    }

    /// A container's files as a tar archive.
    pub(super) fn export(
        &self,
        id: &str,
    ) -> impl Stream<Item = Result<Bytes, bollard::errors::Error>> {
        self.0.export_container(id)
    }
}

/// An image's names: the engine lists one that has none by this text.
fn without_none(mut tags: Vec<String>) -> Vec<String> {
    tags.retain(|tag| tag != "<none>:<none>");
    tags
}

/// What to do about an engine that gave no answer; one that has answered runs, and has let this user in.
pub(super) const fn advice(error: &bollard::errors::Error) -> &'static str {
    use bollard::errors::Error;
    match error {
        Error::IOError { .. }
        | Error::HyperResponseError { .. }
        | Error::HyperLegacyError { .. }
        | Error::RequestTimeoutError
        | Error::SocketNotFoundError(_) => "; is it running, and is this user permitted to use it?",
        Error::UnsupportedURISchemeError { .. } => {
            "; DOCKER_HOST must be unix://PATH, or tcp://HOST:PORT without TLS: where the engine is reached by ssh, forward \
             its socket (`ssh -fNL /run/engine.sock:/var/run/docker.sock HOST`) and name that one"
        }
        _ => "",
    }
}

fn is_missing(error: &bollard::errors::Error) -> bool {
    matches!(
        error,
        bollard::errors::Error::DockerResponseServerError {
            status_code: 404,
            ..
        }
    )
}

#[cfg(test)]
mod tests;
