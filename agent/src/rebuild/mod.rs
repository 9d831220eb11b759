//! From a sealed handler to a container that serves it, and back.
mod by_image;
mod by_mount;
mod handler;
pub mod mount;
mod names;
mod pool;

use std::{path::PathBuf, sync::Arc, time::Duration};

pub use handler::SealedHandler;
pub use names::UnlockedNames;
pub use pool::{ParkedStatus, Standby};

use self::{by_image::ByImage, by_mount::ByMount, names::Slots};
use crate::{
    image::ImageError,
    lease::{Step, Timeline},
    openfaas::{FaasCli, FaasError, Gateway},
    seal::{file::FileError, key::Key},
    state::{Rebuild, SealedFunction},
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
    /// A deployment or removal.
    #[error(transparent)]
    Faas(#[from] FaasError),
    /// Parking or delivering.
    #[error(transparent)]
    Mount(#[from] mount::MountError),
    /// An image: building, pushing or purging it.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// No random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// Every container name of the function is in use.
    #[error("all of the function's containers are still being removed; try again later")]
    NoSlot,
    /// Work on files was broken off.
    #[error("reading the sealed handler was broken off")]
    BrokenOff,
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
    /// Containers that are kept parked for each function.
    pub standby: usize,
    /// The operator's command that removes what a purged image leaves in registries and providers.
    pub purge_command: Option<PathBuf>,
}

/// Rebuilds one function.
pub struct Rebuilder {
    function: SealedFunction,
    sealed: Arc<SealedHandler>,
    way: Way,
}

enum Way {
    Mount(ByMount),
    Image(ByImage),
}

impl Rebuilder {
    /// For one sealed function; nothing is deployed yet.
    #[must_use]
    pub fn new(function: SealedFunction, host: Host) -> Self {
        let Host {
            faas,
            gateway,
            names,
            standby,
            purge_command,
        } = host;
        let sealed = Arc::new(SealedHandler::new(&function.name, &function.sealed));
        let slots = Slots::new(names, &function.name, standby);
        let way = match function.rebuild {
            Rebuild::Mount => Way::Mount(ByMount::new(function.clone(), slots, faas, standby)),
            Rebuild::Image => Way::Image(ByImage::new(
                function.clone(),
                slots,
                faas,
                gateway,
                purge_command,
            )),
        };
        Self {
            function,
            sealed,
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

    /// Containers that wait.
    pub async fn parked(&self) -> Vec<ParkedStatus> {
        match &self.way {
            Way::Mount(way) => way.parked().await,
            Way::Image(_) => Vec::new(),
        }
    }

    /// Parks containers up to the standby.
    pub async fn fill(&self) -> Standby {
        match &self.way {
            Way::Mount(way) => way.fill().await,
            Way::Image(_) => Standby::Off,
        }
    }

    /// Removes what an earlier agent that was killed has left and only this function knows of.
    pub async fn sweep(&self) {
        if let Way::Image(way) = &self.way {
            way.sweep().await;
        }
    }

    /// Removes everything that waits.
    pub async fn clear(&self) {
        if let Way::Mount(way) = &self.way {
            way.clear().await;
        }
    }

    /// Opens the handler and makes a container serve it; gives the container's name. Safe to give
    /// up: [`Self::lock`] cleans up what was begun.
    ///
    /// # Errors
    /// When the handler cannot be opened or the container not be brought to serve.
    pub async fn unlock(
        &self,
        key: &Arc<Key>,
        timeline: &mut Timeline,
    ) -> Result<String, RebuildError> {
        let handler = {
            let (sealed, key) = (Arc::clone(&self.sealed), Arc::clone(key));
            tokio::task::spawn_blocking(move || sealed.open(&key))
                .await
                .map_err(|_| RebuildError::BrokenOff)??
        };
        timeline.note(Step::Opened);
        match &self.way {
            Way::Mount(way) => way.unlock(handler, timeline).await,
            Way::Image(way) => way.unlock(handler, timeline).await,
        }
    }

    /// Wipes and removes what serves, and encrypts the handler afresh where the key is given.
    ///
    /// # Errors
    /// When something could not be done; everything else is done all the same.
    pub async fn lock(
        &self,
        key: Option<&Arc<Key>>,
        mut timeline: Option<&mut Timeline>,
    ) -> Result<(), RebuildError> {
        let mut note = |step| {
            if let Some(timeline) = timeline.as_deref_mut() {
                timeline.note(step);
            }
        };
        note(Step::Closed);
        let wiped = match &self.way {
            Way::Mount(way) => way.wipe().await,
            Way::Image(way) => way.wipe().await,
        };
        note(Step::Wiped);
        let resealed = match key {
            Some(key) => {
                let (sealed, key) = (Arc::clone(&self.sealed), Arc::clone(key));
                tokio::task::spawn_blocking(move || sealed.reseal(&key))
                    .await
                    .map_err(|_| RebuildError::BrokenOff)
                    .and_then(|result| result.map_err(RebuildError::from))
            }
            None => Ok(()),
        };
        note(Step::Reencrypted);
        let removed = match &self.way {
            Way::Mount(way) => way.remove().await,
            // It went with its image.
            Way::Image(_) => Ok(()),
        };
        note(Step::Removed);
        wiped.and(resealed).and(removed)
    }
}
