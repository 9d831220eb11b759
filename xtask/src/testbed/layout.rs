//! Where the testbed's parts listen, and where its files lie: all under `target/testbed/`.

use std::path::{Path, PathBuf};

/// Docker Engine's socket.
pub(super) const ENGINE: &str = "/var/run/docker.sock";
/// The registry.
pub(super) const REGISTRY: &str = "127.0.0.1:5000";
/// Prometheus, which the gateway asks for its counts.
pub(super) const PROMETHEUS: &str = "127.0.0.1:9090";
/// Where the gateway offers its own figures.
pub(super) const GATEWAY_METRICS: &str = "127.0.0.1:8082";
/// The provider.
pub(super) const PROVIDER: &str = "127.0.0.1:8081";
/// The gateway.
pub(super) const GATEWAY: &str = "127.0.0.1:8080";
/// What every image of the testbed, and of functions on it, is named under.
pub(crate) const PREFIX: &str = "127.0.0.1:5000/rsfaas-dev";

/// The testbed's folders.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    workspace: PathBuf,
    state: PathBuf,
}

impl Layout {
    /// The layout in a workspace.
    pub(crate) fn new(workspace: &Path) -> Self {
        Self {
            workspace: workspace.to_owned(),
            state: workspace.join("target/testbed"),
        }
    }

    /// What of the testbed is ours, in source.
    pub(crate) fn sources(&self) -> PathBuf {
        self.workspace.join("tests/openfaas")
    }

    /// Everything else lies in here.
    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    /// Programs built or linked for the testbed; kept over `down`.
    pub(crate) fn bin(&self) -> PathBuf {
        self.state.join("bin")
    }

    /// Slow things to make; kept over `down`.
    pub(super) fn cache(&self) -> PathBuf {
        self.state.join("cache")
    }

    /// What each daemon wrote; kept over `down`.
    pub(crate) fn logs(&self) -> PathBuf {
        self.state.join("logs")
    }

    /// Records of started processes, and of how the host was before.
    pub(super) fn run(&self) -> PathBuf {
        self.state.join("run")
    }

    /// The daemons' settings.
    pub(super) fn config(&self) -> PathBuf {
        self.state.join("config")
    }

    /// The disk that the data lie on, as an image file.
    pub(super) fn disk(&self) -> PathBuf {
        self.state.join("data.img")
    }

    /// The daemons' data: images, blobs, samples.
    pub(super) fn data(&self) -> PathBuf {
        self.state.join("data")
    }

    /// The gateway's `basic-auth-user` and `basic-auth-password`.
    pub(crate) fn secrets(&self) -> PathBuf {
        self.state.join("secrets")
    }

    /// The faas-cli's own folder, so that the login of whoever runs this stays as it is.
    pub(crate) fn faas_cli_config(&self) -> PathBuf {
        self.state.join("faas-cli")
    }
}
