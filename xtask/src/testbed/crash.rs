//! A part of the testbed dies without a chance to clean up; `up` starts it again. For tests of what follows.

use clap::ValueEnum;

use super::{check_rights, daemon::Daemon, engine::Engine, layout::Layout, openfaas, store};
use crate::{error::Error, workspace};

/// A part that may die.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The gateway
    Gateway,
    /// The provider
    Provider,
    /// The registry
    Registry,
    /// Docker Engine
    Dockerd,
    /// Its containerd
    Containerd,
}

/// Kills it, where this testbed has started it.
///
/// # Errors
/// When it does not run, or somebody else has started it.
pub(crate) fn crash(part: Part) -> Result<(), Error> {
    check_rights()?;
    let layout = Layout::new(&workspace::root());
    process(part, &layout).kill()
}

fn process(part: Part, layout: &Layout) -> Daemon {
    let engine = || Engine::new(layout);
    match part {
        Part::Gateway => openfaas::gateway(layout).daemon,
        Part::Provider => openfaas::provider(layout).daemon,
        Part::Registry => store::registry(layout).daemon,
        Part::Dockerd => engine().dockerd.daemon,
        Part::Containerd => engine().containerd,
    }
}
