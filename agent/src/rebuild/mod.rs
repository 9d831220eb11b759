//! From a sealed handler to a container that serves it, and back.
mod by_image;
mod by_mount;
mod container;
mod deployed;
#[cfg(test)]
pub(crate) mod example;
mod handler;
mod late_deployments;
pub mod mount;
mod names;
mod parked;
mod pool;
mod queue;
mod sweep;

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::Semaphore;

pub use container::{Container, Keys, Serving, ended};
pub use handler::SealedHandler;
pub use late_deployments::{ServedSlots, remove_late_deployments};
pub use names::UnlockedNames;
pub use parked::ParkedStatus;
pub use pool::Standby;
pub use sweep::{Swept, sweep};

use self::{by_image::ByImage, by_mount::ByMount, names::Slots};
use crate::{
    chain,
    image::{GATE_PATH, ImageError},
    openfaas::{FaasCli, FaasError, Gateway},
    seal::{archive::ArchiveError, file::FileError},
    stack::Deployment,
    state::{Isolation, Park, Rebuild, SealedFunction},
};

/// How long a delivered function may take until it listens; the agent's own limit on unlocks is
/// usually shorter.
const READY_TIMEOUT: Duration = Duration::from_secs(600);

/// Why a function could not be rebuilt, or locked again.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The sealed handler.
    #[error("the sealed handler: {0}")]
    Seal(#[from] FileError),
    /// What the sealed handler holds.
    #[error("the sealed handler: {0}")]
    Archive(ArchiveError),
    /// A deployment or removal.
    #[error(transparent)]
    Faas(#[from] FaasError),
    /// Parking or delivering.
    #[error(transparent)]
    Mount(#[from] mount::MountError),
    /// An image: building, pushing or purging it.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A container with the handler that its provider has not removed, or is deploying still.
    #[error(
        "container {name} has the handler and is not removed yet; it is tried until it is (or until the agent ends, \
         whose next start removes it). If that does not help: faas-cli remove {name}"
    )]
    NotRemoved {
        /// Its OpenFaaS name.
        name: String,
    },
    /// No random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// Work in the background was broken off.
    #[error("work on the handler or its container was broken off")]
    BrokenOff,
}

/// A deployment of an image whose gate the function's own process is to start behind, where the stack file names that
/// process.
fn behind_gate(function: &SealedFunction, deployment: Deployment) -> Deployment {
    match function.park {
        Park::Gate => deployment.behind(GATE_PATH),
        Park::Python | Park::Node | Park::Container => deployment,
    }
}

/// The OpenFaaS that containers are deployed to, and how.
#[derive(Clone)]
pub struct Host {
    /// Deploys and removes.
    pub faas: Arc<FaasCli>,
    /// Tells what is available.
    pub gateway: Arc<Gateway>,
    /// The names of unlocked containers.
    pub names: UnlockedNames,
    /// Where each function's are entered that are in use.
    pub served: ServedSlots,
    /// Containers that are kept parked for each function.
    pub standby: usize,
    /// Containers that may serve at a time of a function each of whose connections has its own.
    pub isolated: usize,
    /// The operator's command that removes what a purged image leaves in registries and providers.
    pub purge_command: Option<PathBuf>,
}

impl Host {
    /// How many of a function's containers may serve at a time.
    fn serving(&self, function: &SealedFunction) -> usize {
        match function.isolation {
            Isolation::Shared => 1,
            Isolation::Connection => self.isolated,
        }
    }

    /// The names that a function's unlocked containers may have.
    #[must_use]
    pub fn slots(&self, function: &SealedFunction) -> usize {
        UnlockedNames::slots(self.standby, self.serving(function))
    }
}

/// Rebuilds one function.
pub struct Rebuilder {
    function: SealedFunction,
    sealed: Arc<SealedHandler>,
    /// Taken by each container that serves.
    turns: Arc<Semaphore>,
    way: Way,
}

#[derive(Clone)]
enum Way {
    Mount(Arc<ByMount>),
    Image(Arc<ByImage>),
}

impl Rebuilder {
    /// For one sealed function; nothing is deployed yet.
    #[must_use]
    pub fn new(function: SealedFunction, host: Host) -> Self {
        let slots = host.slots(&function);
        let turns = Arc::new(Semaphore::new(host.serving(&function)));
        let Host {
            faas,
            gateway,
            names,
            served,
            standby,
            isolated: _,
            purge_command,
        } = host;
        let sealed = Arc::new(SealedHandler::new(&function.name, &function.sealed));
        let slots = Slots::new(names, &function.name, slots);
        served.enter(&function.name, &slots);
        let way = match function.rebuild {
            Rebuild::Mount => {
                let way = ByMount::new(function.clone(), slots, faas, standby);
                Way::Mount(Arc::new(way))
            }
            Rebuild::Image => {
                let way = ByImage::new(function.clone(), slots, faas, gateway, purge_command);
                Way::Image(Arc::new(way))
            }
        };
        Self {
            function,
            sealed,
            turns,
            way,
        }
    }

    /// The function's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.function.name
    }

    /// The function's record.
    #[must_use]
    pub fn function(&self) -> &SealedFunction {
        &self.function
    }

    /// The sealed handler.
    #[must_use]
    pub fn sealed(&self) -> &SealedHandler {
        &self.sealed
    }

    /// A container for a lease that begins.
    #[must_use]
    pub fn container(&self) -> Container {
        Container::new(&self.sealed, &self.turns, &self.way)
    }

    /// Containers that wait.
    #[must_use]
    pub fn parked(&self) -> Vec<ParkedStatus> {
        match &self.way {
            Way::Mount(way) => way.parked(),
            Way::Image(_) => Vec::new(),
        }
    }

    /// Why no container can be parked at the moment.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        match &self.way {
            Way::Mount(way) => way.trouble(),
            Way::Image(_) => None,
        }
    }

    /// Parks containers up to the standby.
    pub async fn fill(&self) -> Standby {
        match &self.way {
            Way::Mount(way) => way.fill().await,
            Way::Image(_) => Standby::Off,
        }
    }

    /// Starts to do so, and waits for nothing.
    pub fn refill(&self) {
        if let Way::Mount(way) = &self.way {
            way.refill();
        }
    }

    /// Looks for parked containers that have ended, and has others parked in their place; waits for nothing.
    pub fn replace_ended(&self) {
        if let Way::Mount(way) = &self.way {
            way.replace_ended();
        }
    }

    /// Removes what an earlier agent that was killed has left and only this function knows of.
    pub async fn sweep(&self) {
        if let Err(error) = self.sealed.remove_leftovers() {
            let (function, error) = (self.name(), chain::of(&error));
            tracing::warn!(
                function,
                error,
                "what an interrupted encryption left beside the handler stays"
            );
        }
        if let Way::Image(way) = &self.way {
            way.sweep().await;
        }
    }

    /// Whether containers or images of leases that are over are being removed still: their closes have failed.
    #[must_use]
    pub fn still_removes(&self) -> bool {
        match &self.way {
            Way::Mount(_) => false,
            Way::Image(way) => way.still_removes(),
        }
    }

    /// Removes everything that waits, and waits for what is being removed still: whoever has the function forgotten is
    /// told that it is once that is so.
    pub async fn clear(&self) {
        match &self.way {
            Way::Mount(way) => way.clear().await,
            Way::Image(way) => way.removed().await,
        }
    }
}
