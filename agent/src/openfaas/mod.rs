//! The OpenFaaS that is there: faas-cli for deployments, the gateway's API for listings.
mod cli;
mod gateway;
mod login;
mod turns;

pub use cli::FaasCli;
pub use gateway::Gateway;
pub(crate) use login::remove_left_logins;
pub use turns::Turns;

use std::{io, path::PathBuf};

/// What can go wrong with a deployment or a listing.
#[derive(Debug, thiserror::Error)]
pub enum FaasError {
    /// faas-cli is not there.
    #[error("cannot run {program} ({source}); install faas-cli, or say where it is in `faas_cli`")]
    NoCli {
        /// What was tried.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// faas-cli ended with a failure.
    #[error("faas-cli {step} failed: {said}")]
    Cli {
        /// Its subcommand.
        step: &'static str,
        /// The end of what it wrote.
        said: String,
    },
    /// faas-cli did not end.
    #[error("faas-cli {step} did not end within {} s", limit.as_secs())]
    CliTimeout {
        /// Its subcommand.
        step: &'static str,
        /// How long it was given.
        limit: std::time::Duration,
    },
    /// A stack file for faas-cli could not be written.
    #[error("cannot hand a stack file to faas-cli: {0}")]
    Stack(String),
    /// The gateway's address cannot be used.
    #[error("the gateway's address {0:?} is not of the form http://HOST:PORT")]
    Address(String),
    /// The gateway does not answer.
    #[error(
        "the gateway {gateway} does not answer: {what}; its address is what the stack file, OPENFAAS_URL, or `gateway` \
         and `port` of the agent's configuration name"
    )]
    Unreachable {
        /// Its address.
        gateway: String,
        /// What was said.
        what: String,
    },
    /// The gateway wants another login.
    #[error(
        "the gateway {0} does not accept the login; run `faas-cli login --gateway {0}` as the user who runs this \
         (root, with sudo), or set `credentials` in the agent's configuration"
    )]
    Unauthorized(String),
    /// The gateway answered with an error.
    #[error("the gateway {gateway} answered {status}")]
    Status {
        /// Its address.
        gateway: String,
        /// The HTTP status.
        status: u16,
    },
    /// A deployed function did not become available.
    #[error(
        "function {name} is not available after {waited:?}; look at its log (faas-cli logs) and the \
         provider's"
    )]
    NotAvailable {
        /// The function.
        name: String,
        /// How long it was waited for.
        waited: std::time::Duration,
    },
    /// The file of the login cannot be read.
    #[error("cannot read the login in {path}: {source}")]
    LoginFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The login cannot be handed to faas-cli.
    #[error(
        "cannot write the login for faas-cli in {place}: {source}; free some room there or in /dev/shm"
    )]
    LoginUnwritten {
        /// Where it was tried last.
        place: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The login has mistakes.
    #[error("cannot read the login in {path}: {what}")]
    Login {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}
