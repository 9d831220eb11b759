//! A function's image in its registry.
use std::collections::BTreeSet;

use hyper::{Method, StatusCode, header};
use serde::Deserialize;
use serde_json::Value;

use super::{Leftover, Purge, Purged};
use crate::{
    http,
    image::{ImageError, PurgeCommand, Reference},
};

/// Kinds of manifests that a registry may have (OCI and Docker, single and list).
const MANIFESTS: &str = "application/vnd.docker.distribution.manifest.v2+json, \
                         application/vnd.docker.distribution.manifest.list.v2+json, \
                         application/vnd.oci.image.manifest.v1+json, \
                         application/vnd.oci.image.index.v1+json";

/// Removes the plain function's images, and looks whether their layers have gone with them.
pub(super) async fn purge(purge: &Purge<'_>, purged: &mut Purged) {
    let others = others(purge).await;
    for image in purge.images() {
        let removed = match &others {
            Ok(others) => remove(image, others).await.map_err(|it| it.to_string()),
            Err(said) => Err(said.clone()),
        };
        let why = match removed {
            Ok(Removed::Missing) => continue,
            Ok(Removed::Gone(own)) => {
                collect(purge, image, &own, purged).await;
                continue;
            }
            Ok(Removed::Stays) => {
                "another function's tag there stands for the same, and would go with it; give that function an image of \
                 its own"
                    .to_owned()
            }
            Err(said) => said,
        };
        purged.left.push(Leftover {
            what: format!("image {image} in the registry ({why})"),
            how: "delete the tag, and those of other builds, with the registry's own means, then collect garbage".into(),
        });
    }
}

/// What the base image and other functions' images of the repository stand for.
async fn others(purge: &Purge<'_>) -> Result<Held, String> {
    let mut others = held(purge.base).await.unwrap_or_default();
    for tag in purge.taken {
        let Held { manifests, blobs } = held(&purge.image.tagged(tag)).await?;
        others.manifests.extend(manifests);
        others.blobs.extend(blobs);
    }
    Ok(others)
}

/// Has the registry's garbage collected, and looks whether the layers and settings that were an image's own are there.
async fn collect(
    purge: &Purge<'_>,
    image: &Reference,
    own: &BTreeSet<String>,
    purged: &mut Purged,
) {
    if let Some(command) = purge.command.clone()
        && let Err(error) = PurgeCommand::new(command).run(image).await
    {
        tracing::warn!(%error, "the registry's garbage was not collected");
    }
    let mut kept = 0;
    for digest in own {
        kept += usize::from(has_blob(image, digest).await.unwrap_or(true));
    }
    if kept > 0 {
        purged.left.push(blobs(image));
    } else if !own.is_empty() {
        purged.proved.push(format!(
            "the {} layers of {image} are gone from the registry",
            own.len()
        ));
    }
}

/// Whether an image's registry says that it has no such image; one that cannot be asked does not.
pub(crate) async fn is_gone(image: &Reference) -> bool {
    let Some((host, path)) = image.registry() else {
        return false;
    };
    let path = format!("/v2/{path}/manifests/{}", image.tag);
    match answer(host, Method::GET, &path).await {
        Ok(missed) if missed.status == StatusCode::NOT_FOUND => {
            believe(host, &missed).await.is_ok()
        }
        _ => false,
    }
}

/// What a registry keeps when an image's manifest is deleted.
pub(in crate::image) fn blobs(image: &Reference) -> Leftover {
    Leftover {
        what: format!("layers of {image} in the registry, which no image names any more"),
        how: "collect its garbage: `docker-registry garbage-collect CONFIG` on its host (Debian's), or `docker exec \
              CONTAINER registry garbage-collect /etc/docker/registry/config.yml`"
            .into(),
    }
}

/// Deletes a tag's manifest, and those that it lists (<https://distribution.github.io/distribution/spec/api/>);
/// whether there was one.
///
/// # Errors
/// When the registry is not named, does not answer, or refuses.
pub(in crate::image) async fn remove_manifest(image: &Reference) -> Result<bool, ImageError> {
    let removed = remove(image, &Held::default()).await?;
    Ok(!matches!(removed, Removed::Missing))
}

/// What has become of an image.
enum Removed {
    /// There was none.
    Missing,
    /// Others are the same: with its manifest a registry forgets every tag that stands for it.
    Stays,
    /// Its manifests are deleted, and nobody else has these layers and settings of it.
    Gone(BTreeSet<String>),
}

/// Deletes the manifests of an image, but for those that others have.
async fn remove(image: &Reference, others: &Held) -> Result<Removed, ImageError> {
    let failed = |said: String| ImageError::Registry {
        image: image.to_string(),
        said,
    };
    let Some((host, path)) = image.registry() else {
        return Err(failed("the image's name has no registry".into()));
    };
    let tagged = format!("/v2/{path}/manifests/{}", image.tag);
    let (status, digest) = ask(host, Method::HEAD, &tagged).await.map_err(failed)?;
    if status == StatusCode::NOT_FOUND {
        let missed = answer(host, Method::GET, &tagged).await.map_err(failed)?;
        believe(host, &missed).await.map_err(failed)?;
        return Ok(Removed::Missing);
    }
    let refused = |status: StatusCode| failed(format!("the registry answered {status}"));
    let digest = digest
        .filter(|_| status.is_success())
        .ok_or_else(|| refused(status))?;
    if others.manifests.contains(&digest) {
        return Ok(Removed::Stays);
    }
    let held = held(image).await;
    let delete = async |digest: &str| {
        let manifest = format!("/v2/{path}/manifests/{digest}");
        let answer = ask(host, Method::DELETE, &manifest).await;
        answer.map(|(status, _)| status).map_err(failed)
    };
    // An index goes before what it lists: no name leads to half an image.
    let status = delete(&digest).await?;
    if !status.is_success() {
        return Err(refused(status));
    }
    let held = held.map_err(failed)?;
    let own = held.manifests.difference(&others.manifests);
    for listed in own.filter(|listed| **listed != digest) {
        let status = delete(listed).await?;
        if !status.is_success() && status != StatusCode::NOT_FOUND {
            return Err(refused(status));
        }
    }
    Ok(Removed::Gone(&held.blobs - &others.blobs))
}

/// What a name stands for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Held {
    /// Digests of its manifest, of those that this lists where it is an index, and of those that these list.
    manifests: BTreeSet<String>,
    /// Digests of layers and settings.
    blobs: BTreeSet<String>,
}

/// What an image's name stands for; nothing where there is no such image.
async fn held(image: &Reference) -> Result<Held, String> {
    let (host, path) = image.registry().ok_or("the image's name has no registry")?;
    let mut held = Held::default();
    let mut names = vec![image.tag.clone()];
    while let Some(name) = names.pop() {
        let path = format!("/v2/{path}/manifests/{name}");
        let answer = answer(host, Method::GET, &path).await?;
        if answer.status == StatusCode::NOT_FOUND {
            // Indexes may list manifests for machines that nobody has pushed for.
            continue;
        }
        if !answer.status.is_success() {
            return Err(format!("the registry answered {}", answer.status));
        }
        held.manifests.extend(digest_of(&answer));
        let manifest: Value =
            serde_json::from_slice(&answer.body).map_err(|error| format!("{name}: {error}"))?;
        let list = |field: &str| manifest[field].as_array();
        if list("layers").or(list("manifests")).is_none() {
            return Err(format!("{name} is a manifest of a kind that is not known"));
        }
        let layers = list("layers").into_iter().flatten();
        let blobs = layers.chain([&manifest["config"]]);
        held.blobs.extend(blobs.filter_map(digest));
        for child in list("manifests").into_iter().flatten().filter_map(digest) {
            if held.manifests.insert(child.clone()) {
                names.push(child);
            }
        }
    }
    Ok(held)
}

fn digest(descriptor: &Value) -> Option<String> {
    descriptor["digest"].as_str().map(str::to_owned)
}

/// The tags that an image's registry has beside it; none where it has no such repository.
///
/// # Errors
/// When the registry is not named, does not answer, or does not tell.
pub(in crate::image) async fn pushed_tags(image: &Reference) -> Result<Vec<String>, ImageError> {
    let failed = |said: String| ImageError::Tags {
        repository: image.repository.clone(),
        said,
    };
    let Some((host, path)) = image.registry() else {
        return Err(failed("the image's name has no registry".into()));
    };
    let answer = answer(host, Method::GET, &format!("/v2/{path}/tags/list"))
        .await
        .map_err(failed)?;
    match answer.status {
        StatusCode::OK => {
            let listed: Tags =
                serde_json::from_slice(&answer.body).map_err(|error| failed(error.to_string()))?;
            Ok(listed.tags.unwrap_or_default())
        }
        StatusCode::NOT_FOUND => {
            believe(host, &answer).await.map_err(failed)?;
            Ok(Vec::new())
        }
        status => Err(failed(format!("the registry answered {status}"))),
    }
}

/// A registry's list of tags; `null` where the last one was deleted.
#[derive(Deserialize)]
struct Tags {
    tags: Option<Vec<String>>,
}

/// Whether the registry still has a layer.
async fn has_blob(image: &Reference, digest: &str) -> Option<bool> {
    let (host, path) = image.registry()?;
    let path = format!("/v2/{path}/blobs/{digest}");
    let (status, _) = ask(host, Method::HEAD, &path).await.ok()?;
    Some(status != StatusCode::NOT_FOUND)
}

async fn ask(
    host: &str,
    method: Method,
    path: &str,
) -> Result<(StatusCode, Option<String>), String> {
    let answer = answer(host, method, path).await?;
    Ok((answer.status, digest_of(&answer)))
}

/// The digest of the manifest that a registry has answered with.
fn digest_of(answer: &http::Answer) -> Option<String> {
    let digest = answer.headers.get("docker-content-digest")?;
    digest.to_str().ok().map(str::to_owned)
}

async fn answer(host: &str, method: Method, path: &str) -> Result<http::Answer, String> {
    http::ask(host, method, path, &[(header::ACCEPT, MANIFESTS)])
        .await
        .map_err(|error| error.to_string())
}

/// Whether a registry says that it has something not. Whatever else serves at that address, a web server that sends
/// everybody on to TLS say, knows nothing of images, and has no such path either.
async fn believe(host: &str, missed: &http::Answer) -> Result<(), String> {
    if missed.status != StatusCode::NOT_FOUND {
        return Err(format!("the registry answered {}", missed.status));
    }
    if names_itself(missed) || is_registry_error(&missed.body) {
        return Ok(());
    }
    let root = answer(host, Method::GET, "/v2/").await?;
    let speaks = [StatusCode::OK, StatusCode::UNAUTHORIZED].contains(&root.status);
    if speaks && names_itself(&root) {
        return Ok(());
    }
    Err(format!(
        "what answers {} by plain HTTP at {host} is no registry",
        missed.status
    ))
}

/// Whether an answer has the header of Docker's own registry, and of many others.
fn names_itself(answer: &http::Answer) -> bool {
    answer
        .headers
        .contains_key("docker-distribution-api-version")
}

/// Whether a body is an error as every registry tells it
/// (<https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes>).
fn is_registry_error(body: &[u8]) -> bool {
    let told: Result<Value, _> = serde_json::from_slice(body);
    told.is_ok_and(|told| {
        let errors = told["errors"].as_array();
        errors.is_some_and(|errors| errors.iter().any(|error| error["code"].is_string()))
    })
}

#[cfg(test)]
mod tests;
