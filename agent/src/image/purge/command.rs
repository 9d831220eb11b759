//! What the operator has run for images that are purged.
use std::{path::PathBuf, process::Stdio, time::Duration};

use tokio::process::Command;

use crate::image::{ImageError, Reference};

/// For hangs only: collecting a registry's garbage reads all of its manifests.
const PURGE_TIMEOUT: Duration = Duration::from_secs(600);

/// The operator's command that removes what the agent cannot reach: the registry's unnamed blobs, a
/// provider's own copies of images.
#[derive(Debug)]
pub(crate) struct PurgeCommand(PathBuf);

impl PurgeCommand {
    /// Variable with the purged image's name.
    const IMAGE: &str = "RSFAAS_IMAGE";

    pub(crate) fn new(program: PathBuf) -> Self {
        Self(program)
    }

    /// Runs it for an image that has been purged.
    ///
    /// # Errors
    /// When it cannot be run or fails.
    pub(crate) async fn run(&self, image: &Reference) -> Result<(), ImageError> {
        let failed = |said: String| ImageError::Purge {
            program: self.0.clone(),
            image: image.to_string(),
            said,
        };
        let mut command = Command::new(&self.0);
        command
            .env(Self::IMAGE, image.to_string())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(PURGE_TIMEOUT, command.output())
            .await
            .map_err(|_| failed(format!("no end after {} s", PURGE_TIMEOUT.as_secs())))?
            .map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(failed(format!("{}: {}", output.status, said.trim())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_purge_command_is_told_the_image_and_its_failure_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let script = |name: &str, text: &str| {
            PurgeCommand::new(crate::script::write(&folder.path().join(name), text))
        };
        let image = Reference::parse("r/f:lease");
        script("good", "test \"$RSFAAS_IMAGE\" = r/f:lease")
            .run(&image)
            .await
            .unwrap();
        let error = script("bad", "echo no space >&2; exit 3")
            .run(&image)
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no space") && error.contains("r/f:lease"),
            "{error}"
        );
    }
}
