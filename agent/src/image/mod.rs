//! Images, through Docker Engine: the base image without a handler, the locked function's image, and
//! the removal of what plain builds left.
mod base;
mod containerd;
mod context;
mod engine;
mod locate;
mod locked;
mod project;
mod purge;
mod reference;
mod unlocked;

pub(crate) use base::GATE_PATH;
pub use base::{BaseImage, build_base};
pub use containerd::remove_pulled;
pub use engine::Engine;
pub use locked::build_locked;
pub use purge::{Leftover, purge};
pub use reference::Reference;
pub(crate) use unlocked::{PurgeCommand, Unlocked};

/// What can go wrong with images.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Docker Engine does not answer, or refuses.
    #[error("Docker Engine: {0}; is it running, and is this user permitted to use it?")]
    Engine(#[from] bollard::errors::Error),
    /// An image could not be built.
    #[error("building {image} failed: {said}")]
    Build {
        /// The image.
        image: String,
        /// What the engine said.
        said: String,
    },
    /// An image could not be pushed.
    #[error("pushing {image} failed: {said}; `docker login` may be needed")]
    Push {
        /// The image.
        image: String,
        /// What the engine or the registry said.
        said: String,
    },
    /// An image could not be removed from its registry.
    #[error("removing {image} from its registry failed: {said}")]
    Registry {
        /// The image.
        image: String,
        /// What the registry said.
        said: String,
    },
    /// The operator's purge command failed.
    #[error("{program} (`purge_command`) failed for {image}: {said}; plaintext may be left")]
    Purge {
        /// The command.
        program: std::path::PathBuf,
        /// The image.
        image: String,
        /// What it said.
        said: String,
    },
    /// A build context could not be put together.
    #[error("the build context of {function}: {source}")]
    Context {
        /// The function.
        function: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The handler folder is not in the image that the template builds.
    #[error(
        "the image of {function} holds no handler folder, as with compiled templates: only templates \
         that load the handler's files when they start can be sealed"
    )]
    NoHandler {
        /// The function.
        function: String,
    },
    /// The function has no template.
    #[error("{function} has `lang: dockerfile`: only functions with a template can be sealed")]
    NoTemplate {
        /// The function.
        function: String,
    },
    /// A provider's copy of an image could not be removed.
    #[error(
        "containerd may still have {image} ({said}); to remove it: ctr --namespace NAMESPACE images rm \
         --sync {image}"
    )]
    Pulled {
        /// The image's full name.
        image: String,
        /// What was said.
        said: String,
    },
    /// faas-cli could not write the build context.
    #[error(transparent)]
    Faas(#[from] crate::openfaas::FaasError),
}

/// Sixteen random hexadecimal digits.
fn random_name() -> Result<String, getrandom::Error> {
    let mut bytes = [0_u8; 8];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
