//! Docker Engine: the few calls that are needed, with errors that are told inside its streams.
use std::collections::HashMap;

use bollard::{
    Docker, body_full,
    models::{ContainerCreateBody, ImageConfig},
    query_parameters::{
        BuildImageOptions, CreateContainerOptions, ListImagesOptionsBuilder,
        PushImageOptionsBuilder, RemoveContainerOptions, RemoveImageOptionsBuilder,
        TagImageOptionsBuilder,
    },
};
use futures_util::{Stream, StreamExt as _};
use hyper::body::Bytes;

use super::{ImageError, Reference, context::Context};

/// So much of the end of a build's output goes into an error, in lines.
const SAID: usize = 12;

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

    /// Builds an image from a context that has a `Dockerfile`.
    pub(super) async fn build(
        &self,
        image: &Reference,
        context: Context,
        arguments: HashMap<String, String>,
    ) -> Result<(), ImageError> {
        let failed = |said: String| ImageError::Build {
            image: image.to_string(),
            said,
        };
        let body = context
            .finish()
            .map_err(|error| failed(error.to_string()))?;
        let options = BuildImageOptions {
            dockerfile: "Dockerfile".into(),
            t: Some(image.to_string()),
            rm: true,
            forcerm: true,
            buildargs: Some(arguments),
            ..BuildImageOptions::default()
        };
        let mut output: Vec<String> = Vec::new();
        let mut stream = std::pin::pin!(self.0.build_image(options, None, Some(body_full(body))));
        while let Some(progress) = stream.next().await {
            let error = match progress {
                Ok(progress) => {
                    output.extend(progress.stream);
                    progress
                        .error_detail
                        .map(|detail| detail.message.unwrap_or_default())
                }
                Err(error) => Some(error.to_string()),
            };
            if let Some(error) = error {
                let start = output.len().saturating_sub(SAID);
                return Err(failed(format!(
                    "{error}\n{}",
                    output[start..].concat().trim()
                )));
            }
        }
        Ok(())
    }

    /// Pushes an image to its registry.
    pub(crate) async fn push(&self, image: &Reference) -> Result<(), ImageError> {
        let options = PushImageOptionsBuilder::new().tag(&image.tag).build();
        let mut stream = std::pin::pin!(self.0.push_image(&image.repository, Some(options), None));
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
                    said,
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
            Err(bollard::errors::Error::DockerResponseServerError {
                status_code: 404, ..
            }) => Ok(false),
            Err(error) => Err(error.into()),
        }
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

    /// Removes such a container.
    pub(super) async fn remove_container(&self, id: &str) -> Result<(), ImageError> {
        Ok(self
            .0
            .remove_container(id, None::<RemoveContainerOptions>)
            .await?)
    }

    /// A container's files as a tar archive.
    pub(super) fn export(
        &self,
        id: &str,
    ) -> impl Stream<Item = Result<Bytes, bollard::errors::Error>> {
        self.0.export_container(id)
    }
}
