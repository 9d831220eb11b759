//! Images, through Docker Engine: the base image without a handler, the locked function's image, and
//! the removal of what plain builds left.
mod arguments;
mod base;
mod built;
mod containerd;
mod context;
mod difference;
mod dockerfile;
mod engine;
mod export;
mod ignore;
mod locate;
mod locked;
mod login;
mod park;
mod project;
mod purge;
mod recipe;
mod reference;
mod unlocked;

pub use base::{BaseImage, Preparation, Prepared};
pub use containerd::remove_pulled;
pub use engine::Engine;
pub use ignore::LeftOut;
pub use locked::build_locked;
pub(crate) use park::GATE_PATH;
pub use purge::{Leftover, Purge, Purged, Traces};
pub(crate) use purge::{PurgeCommand, is_gone};
pub use reference::Reference;
pub(crate) use unlocked::Unlocked;

/// What can go wrong with images.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Docker Engine does not answer, or refuses.
    #[error("Docker Engine: {}{}", .0, engine::advice(.0))]
    Engine(#[from] bollard::errors::Error),
    /// An image could not be built.
    #[error("building {image} failed: {said}")]
    Build {
        /// The image.
        image: String,
        /// What the engine said.
        said: String,
    },
    /// The image without the handler could not be built.
    #[error(
        "the image of {function} without the handler cannot be built: of the handler folder its build has nothing but \
         the dependency manifests, since the rest is encrypted, a `vendor/` folder too; nothing was changed"
    )]
    Base {
        /// The function.
        function: String,
        /// How the build failed.
        source: Box<Self>,
    },
    /// An image could not be pushed.
    #[error(
        "pushing {image} failed: {said}; where its registry wants a login: `docker login` as the user who runs this \
         (root, with sudo), or have DOCKER_CONFIG name the folder that has it"
    )]
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
    /// A registry does not tell which images it has.
    #[error("{repository}: its registry does not list its tags: {said}")]
    Tags {
        /// The images' name without a tag.
        repository: String,
        /// What the registry said.
        said: String,
    },
    /// An image with a handler in it could not be removed from everywhere.
    #[error("the plaintext in image {image} is left in part: {said}")]
    Unpurged {
        /// The image.
        image: String,
        /// What could not be done, and what to do.
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
    /// The builder's cache cannot be looked into.
    #[error("the builder's cache: {said}; is the docker client installed?")]
    Cache {
        /// What the docker client said.
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
    /// The function's process cannot be given its handler late.
    #[error("{function} cannot be sealed: {why}; nothing was changed")]
    Unparkable {
        /// The function.
        function: String,
        /// What stands in the way.
        why: String,
    },
    /// A function that has to be built anew is sealed already.
    #[error(
        "{function} is sealed, and its image has to be built again, since this host has no record of it or its registry \
         has lost it. That takes the plain files: `rsfaas open {folder} --key-file KEY -o {folder}`, remove {folder}/handler.sealed, and \
         seal it again; it stays locked meanwhile"
    )]
    SealedBuild {
        /// The function.
        function: String,
        /// Its handler folder.
        folder: std::path::PathBuf,
    },
    /// The files of an image could not be read.
    #[error("reading the files of {image} failed: {source}")]
    Export {
        /// The image.
        image: String,
        /// What is wrong.
        source: std::io::Error,
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

impl ImageError {
    fn context(function: &str) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let function = function.to_owned();
        move |source| Self::Context { function, source }
    }
}
