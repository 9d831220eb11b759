//! Removes what plain builds left under a function's image name.
use http_body_util::Empty;
use hyper::{Method, Request, StatusCode, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{Engine, ImageError, Reference};

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
        Ok(true) => left.push(Leftover {
            what: format!("layers of {name} in the registry, which no image names any more"),
            how: "docker-registry garbage-collect CONFIG, on the registry's host".into(),
        }),
        Err(what) => left.push(Leftover {
            what: format!("image {name} in the registry ({what})"),
            how: "delete the tag with the registry's own means, then collect garbage".into(),
        }),
    }
    Ok(left)
}

/// Deletes a tag's manifest (<https://distribution.github.io/distribution/spec/api/>); whether there was
/// one.
async fn remove_manifest(image: &Reference) -> Result<bool, String> {
    let Some((host, path)) = image.registry() else {
        return Err("its registry is not named".into());
    };
    let tagged = format!("/v2/{path}/manifests/{}", image.tag);
    let (status, digest) = ask(host, Method::HEAD, &tagged).await?;
    if status == StatusCode::NOT_FOUND {
        return Ok(false);
    }
    let Some(digest) = digest.filter(|_| status.is_success()) else {
        return Err(format!("the registry answered {status}"));
    };
    let (status, _) = ask(
        host,
        Method::DELETE,
        &format!("/v2/{path}/manifests/{digest}"),
    )
    .await?;
    if status.is_success() {
        Ok(true)
    } else {
        Err(format!("the registry answered {status}"))
    }
}

async fn ask(
    host: &str,
    method: Method,
    path: &str,
) -> Result<(StatusCode, Option<String>), String> {
    let address = if host.contains(':') {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let stream = TcpStream::connect(&address)
        .await
        .map_err(|error| told(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| told(&error))?;
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, host)
        .header(header::ACCEPT, MANIFESTS)
        .body(Empty::<Bytes>::new())
        .map_err(|error| told(&error))?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| told(&error))?;
    let digest = response
        .headers()
        .get("docker-content-digest")
        .and_then(|digest| digest.to_str().ok())
        .map(str::to_owned);
    connection.abort();
    Ok((response.status(), digest))
}
