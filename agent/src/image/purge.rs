//! Removes what plain builds left under a function's image name.
use hyper::{Method, StatusCode, header};

use super::{Engine, ImageError, Reference};
use crate::http;

/// Kinds of manifests that a registry may have (OCI and Docker, single and list).
const MANIFESTS: &str = "application/vnd.docker.distribution.manifest.v2+json, \
                         application/vnd.docker.distribution.manifest.list.v2+json, \
                         application/vnd.oci.image.manifest.v1+json, \
                         application/vnd.oci.image.index.v1+json";

/// Something that may hold plaintext and could not be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// What it is.
    pub what: String,
    /// How to remove it.
    pub how: String,
}

/// Removes the function's image from the engine and its manifest from the registry; gives what is left
/// for the operator.
///
/// # Errors
/// When the engine fails.
pub async fn purge(engine: &Engine, image: &Reference) -> Result<Vec<Leftover>, ImageError> {
    let mut left = Vec::new();
    let name = image.to_string();
    let built = engine.remove(&name).await?;
    if built {
        left.push(Leftover {
            what: format!("layers of {name} in the builder's cache"),
            how: "docker builder prune --all (it removes every function's)".into(),
        });
    }
    match remove_manifest(image).await {
        Ok(false) => {}
        Ok(true) => left.push(blobs(image)),
        Err(error) => left.push(Leftover {
            what: format!("image {name} in the registry ({error})"),
            how: "delete the tag with the registry's own means, then collect garbage".into(),
        }),
    }
    Ok(left)
}

/// What a registry keeps when an image's manifest is deleted.
pub(super) fn blobs(image: &Reference) -> Leftover {
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
pub(super) async fn remove_manifest(image: &Reference) -> Result<bool, ImageError> {
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
