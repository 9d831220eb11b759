//! A function's image in its registry.
use std::collections::BTreeSet;

use hyper::{Method, StatusCode, header};

use super::Leftover;
use crate::{
    http,
    image::{ImageError, Reference},
};

/// Kinds of manifests that a registry may have (OCI and Docker, single and list).
const MANIFESTS: &str = "application/vnd.docker.distribution.manifest.v2+json, \
                         application/vnd.docker.distribution.manifest.list.v2+json, \
                         application/vnd.oci.image.manifest.v1+json, \
                         application/vnd.oci.image.index.v1+json";

/// What a registry keeps when an image's manifest is deleted.
pub(in crate::image) fn blobs(image: &Reference) -> Leftover {
    Leftover {
        what: format!("layers of {image} in the registry, which no image names any more"),
        how: "docker-registry garbage-collect CONFIG, on the registry's host".into(),
    }
}

/// Deletes a tag's manifest (<https://distribution.github.io/distribution/spec/api/>); whether there was
/// one.
///
/// # Errors
/// When the registry is not named, does not answer, or refuses.
pub(in crate::image) async fn remove_manifest(image: &Reference) -> Result<bool, ImageError> {
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
        return Ok(false);
    }
    let refused = |status: StatusCode| failed(format!("the registry answered {status}"));
    let digest = digest
        .filter(|_| status.is_success())
        .ok_or_else(|| refused(status))?;
    let manifest = format!("/v2/{path}/manifests/{digest}");
    let (status, _) = ask(host, Method::DELETE, &manifest).await.map_err(failed)?;
    if status.is_success() {
        Ok(true)
    } else {
        Err(refused(status))
    }
}

/// The digests of an image's layers and settings; none where the registry has no such image.
pub(super) async fn layers(image: &Reference) -> Option<BTreeSet<String>> {
    let (host, path) = image.registry()?;
    let path = format!("/v2/{path}/manifests/{}", image.tag);
    let answer = http::ask(host, Method::GET, &path, &[(header::ACCEPT, MANIFESTS)]).await;
    let manifest: serde_json::Value = serde_json::from_slice(&answer.ok()?.body).ok()?;
    let layers = manifest["layers"].as_array()?.iter();
    Some(
        layers
            .chain([&manifest["config"]])
            .filter_map(|blob| blob["digest"].as_str())
            .map(str::to_owned)
            .collect(),
    )
}

/// Whether the registry still has a layer.
pub(super) async fn has_blob(image: &Reference, digest: &str) -> Option<bool> {
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
    let answer = http::ask(host, method, path, &[(header::ACCEPT, MANIFESTS)])
        .await
        .map_err(|error| error.to_string())?;
    let digest = answer.headers.get("docker-content-digest");
    let digest = digest.and_then(|digest| digest.to_str().ok());
    Ok((answer.status, digest.map(str::to_owned)))
}
