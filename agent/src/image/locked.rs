//! The locked function's image: one static program and nothing else.
use std::collections::HashMap;

use super::{Engine, ImageError, Reference, context::Context};

static LOCKED: &[u8] = include_bytes!("../../../target/artifacts/locked");

const DOCKERFILE: &str = "FROM scratch\n\
                          COPY locked /locked\n\
                          COPY tmp/ /tmp/\n\
                          USER 100:100\n\
                          EXPOSE 8080\n\
                          ENTRYPOINT [\"/locked\"]\n";

/// Builds and pushes the locked function's image beside a function's own.
///
/// # Errors
/// When the engine or the registry fails.
pub async fn build_locked(engine: &Engine, image: &Reference) -> Result<Reference, ImageError> {
    let locked = image.tagged(&format!("rsfaas-locked-{}", env!("CARGO_PKG_VERSION")));
    let context = Context::new()
        .file("Dockerfile", 0o644, DOCKERFILE.as_bytes())
        .and_then(|context| context.file("locked", 0o755, LOCKED))
        // An image without any folder for it has no /tmp.
        .and_then(|context| context.file("tmp/.keep", 0o644, b""))
        .map_err(|source| ImageError::Context {
            function: locked.to_string(),
            source,
        })?;
    engine.build(&locked, context, HashMap::new()).await?;
    engine.push(&locked).await?;
    Ok(locked)
}
