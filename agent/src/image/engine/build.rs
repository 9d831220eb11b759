//! Builds, and the end of everything that a build has left.
use std::collections::HashMap;

use bollard::{
    body_stream,
    query_parameters::{BuildImageOptions, ListImagesOptionsBuilder},
};
use futures_util::{StreamExt as _, stream};

use super::{Engine, is_missing};
use crate::image::{
    ImageError, Leftover, Reference,
    context::Context,
    login::{self, Logins},
};

/// So much of the end of a build's output goes into an error, in lines.
const SAID: usize = 12;

/// How a build went.
pub(in crate::image) struct Build {
    pub(in crate::image) outcome: Result<(), ImageError>,
    /// IDs of the images of its steps, bases and cached ones included, in order.
    pub(in crate::image) steps: Vec<String>,
}

impl Engine {
    /// Builds an image from a context that has a `Dockerfile`; gives the images of its steps.
    pub(in crate::image) async fn build(
        &self,
        image: &Reference,
        context: Context,
        arguments: HashMap<String, String>,
    ) -> Result<Vec<String>, ImageError> {
        let Build { outcome, steps } = self.build_noted(image, context, arguments).await;
        outcome.map(|()| steps)
    }

    /// Builds an image, and tells the steps of a build that has failed, too.
    pub(in crate::image) async fn build_noted(
        &self,
        image: &Reference,
        context: Context,
        arguments: HashMap<String, String>,
    ) -> Build {
        let mut steps = Vec::new();
        let outcome = self.try_build(image, context, arguments, &mut steps).await;
        Build { outcome, steps }
    }

    async fn try_build(
        &self,
        image: &Reference,
        context: Context,
        arguments: HashMap<String, String>,
        steps: &mut Vec<String>,
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
        let Logins { usable, unusable } = login::all().await;
        let mut output: Vec<String> = Vec::new();
        let mut stream = std::pin::pin!(self.0.build_image(
            options,
            Some(usable),
            // Of a body as a whole bollard's log would show every byte.
            Some(body_stream(stream::iter([body])))
        ));
        while let Some(progress) = stream.next().await {
            let error = match progress {
                Ok(progress) => {
                    steps.extend(progress.stream.as_deref().and_then(step));
                    output.extend(progress.stream);
                    progress
                        .error_detail
                        .map(|detail| detail.message.unwrap_or_default())
                }
                Err(error) => Some(error.to_string()),
            };
            if let Some(error) = error {
                let start = output.len().saturating_sub(SAID);
                let said = format!("{error}\n{}", output[start..].concat().trim());
                // Only where it may be the reason: most builds need no login.
                return Err(failed(login::explain(explain(said), &unusable)));
            }
        }
        Ok(())
    }

    /// Removes an image and those of its steps that have no name, the last step first; gives what is left.
    pub(in crate::image) async fn forget(
        &self,
        image: &Reference,
        steps: impl Iterator<Item = &String>,
    ) -> Result<Vec<Leftover>, ImageError> {
        self.remove(&image.to_string()).await?;
        let mut left = Vec::new();
        for step in steps {
            let tags = match self.0.inspect_image(step).await {
                Ok(found) => found.repo_tags.unwrap_or_default(),
                Err(error) if is_missing(&error) => continue,
                Err(error) => return Err(error.into()),
            };
            // What somebody gave a name was there before: a base of a stage.
            if tags.is_empty()
                && let Err(error) = self.remove(step).await
            {
                left.push(Leftover {
                    what: format!("image {step}, a step of the handler's build ({error})"),
                    how: format!("docker image rm {step}"),
                });
            }
        }
        Ok(left)
    }

    /// Every image with a label, steps of builds included: its ID, and what the label says.
    pub(in crate::image) async fn labelled(
        &self,
        label: &str,
    ) -> Result<Vec<(String, String)>, ImageError> {
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListImagesOptionsBuilder::new().all(true).filters(&filters);
        let images = self.0.list_images(Some(options.build())).await?;
        let labelled = images.into_iter().filter_map(|mut image| {
            let says = image.labels.remove(label)?;
            Some((image.id, says))
        });
        Ok(labelled.collect())
    }

    /// Removes every image whose label says so, with or without a name.
    pub(in crate::image) async fn remove_labelled(
        &self,
        label: &str,
        says: &str,
    ) -> Result<(), ImageError> {
        let mut images = self.labelled(label).await?;
        images.retain(|(_, found)| found == says);
        // A step goes after the one that was made of it, and often with it.
        loop {
            let mut kept = Vec::new();
            let mut refused = None;
            for image in &images {
                if let Err(error) = self.remove(&image.0).await {
                    kept.push(image.clone());
                    refused = Some(error);
                }
            }
            match refused {
                None => return Ok(()),
                Some(error) if kept.len() == images.len() => return Err(error),
                Some(_) => images = kept,
            }
        }
    }
}

/// What to do where the engine recommends another builder.
fn explain(said: String) -> String {
    if !said.contains("BuildKit") {
        return said;
    }
    said + "\n`rsfaas` builds with the engine's classic builder, whatever DOCKER_BUILDKIT says: leave out of the Dockerfile \
            what only BuildKit knows (`--mount`, `--chmod`, `--link`)"
}

/// The image that a step of a build has come to, from the line that says so.
fn step(line: &str) -> Option<String> {
    let id = line.trim_start().strip_prefix("---> ")?.trim();
    let is_id = id.len() >= 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_told_to_use_buildkit_is_told_what_to_leave_out() {
        let said = explain("the --chmod option requires BuildKit.".to_owned());
        assert!(said.contains("leave out"), "{said}");
        assert_eq!(explain("no such file".to_owned()), "no such file");
    }

    #[test]
    fn the_steps_of_a_build_are_known_by_their_lines() {
        assert_eq!(
            step(" ---> 7614ae9453d1\n"),
            Some("7614ae9453d1".to_owned())
        );
        for line in [
            " ---> Using cache\n",
            " ---> Running in 7614ae9453d1\n",
            "Step 2/3 : RUN echo '---> 7614ae9453d1'\n",
        ] {
            assert_eq!(step(line), None, "{line}");
        }
    }
}
