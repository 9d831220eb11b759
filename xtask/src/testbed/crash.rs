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
    /// Docker Engine, together with its containerd
    Engine,
    /// Docker Engine by itself
    Dockerd,
    /// Its containerd by itself
    Containerd,
}

/// Kills it, where this testbed has started it.
///
/// # Errors
/// When it does not run, or somebody else has started it.
pub(crate) fn crash(part: Part) -> Result<(), Error> {
    check_rights()?;
    let layout = Layout::new(&workspace::root());
    processes(part, &layout).iter().try_for_each(Daemon::kill)
}

fn processes(part: Part, layout: &Layout) -> Vec<Daemon> {
    let engine = || Engine::new(layout);
    match part {
        Part::Gateway => vec![openfaas::gateway(layout).daemon],
        Part::Provider => vec![openfaas::provider(layout).daemon],
        Part::Registry => vec![store::registry(layout).daemon],
        Part::Engine => vec![engine().dockerd.daemon, engine().containerd],
        Part::Dockerd => vec![engine().dockerd.daemon],
        Part::Containerd => vec![engine().containerd],
    }
}
