//! The record of a sealed function.
use std::path::PathBuf;

use rsfaas_shim::DEFAULT_KEY_HEADER;
use serde::{Deserialize, Serialize};

/// How the unlocked container comes to its handler.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Rebuild {
    /// Parked container, handler delivered into its mount namespace, in memory.
    #[default]
    Mount,
    /// An image built at each unlock: plaintext touches the engine's and the registry's disks.
    Image,
}

/// Who shares an unlocked container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Every connection with the key.
    #[default]
    Shared,
    /// Nobody: each connection with the key has one of its own, which ends with it.
    Connection,
}

/// Where a parked process waits for its handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Park {
    /// Inside the import of the handler package, everything else loaded.
    Python,
    /// At the `require` of the handler folder, everything else loaded.
    Node,
    /// Before the process starts, behind the gate binary.
    Gate,
    /// Before the container starts anything, behind the gate binary, which stays its first process.
    Container,
}

/// What the agent needs to know of a sealed function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SealedFunction {
    /// The function's OpenFaaS name, also the record's file name.
    pub name: String,
    /// Absolute path of the sealed handler; authoritative, replaced atomically at each close.
    pub sealed: PathBuf,
    /// Image without a handler (and with the gate), as the provider pulls it.
    pub base_image: String,
    /// Image of the locked function.
    pub locked_image: String,
    /// What is mounted in the container, absolute: the handler folder, or the last place where something that
    /// was built of the handler is delivered.
    pub handler_dir: PathBuf,
    /// Where the process waits.
    pub park: Park,
    /// Port on which the function's own process listens (`upstream_url`), or the container's port.
    pub upstream_port: u16,
    /// The image's user, to whom a handler in an image belongs; empty for root.
    #[serde(default)]
    pub user: String,
    /// How the unlocked container comes to its handler.
    #[serde(default)]
    pub rebuild: Rebuild,
    /// Who shares an unlocked container.
    #[serde(default)]
    pub isolation: Isolation,
    /// The key header that the locked function names to its callers. It was the usual one for all functions that were
    /// sealed before it was kept.
    #[serde(default = "usual_key_header")]
    pub key_header: String,
    /// The function's entry of the stack file, as written (environment, labels, secrets, limits),
    /// with paths made absolute and the template's process where it names none.
    pub stack: serde_json::Value,
    /// SHA-256 of the dependency manifests that the base image was built from, as hexadecimal; not known of functions
    /// that were sealed by earlier versions.
    #[serde(default)]
    pub manifests: Option<String>,
}

fn usual_key_header() -> String {
    DEFAULT_KEY_HEADER.to_owned()
}
