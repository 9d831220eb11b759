//! From a sealed handler to a container that serves it, and back.
mod handler;
pub mod mount;
mod names;
mod pool;

use std::{sync::Arc, time::Duration};

use tokio::sync::Mutex;

pub use handler::SealedHandler;
use mount::{Delivered, Entry, EntryKind};
pub use names::UnlockedNames;
pub use pool::ParkedStatus;
use pool::{Container, Pool};

use crate::{
    lease::{Step, Timeline},
    openfaas::{FaasCli, FaasError},
    seal::{
        archive::{Archive, Content},
        file::FileError,
        key::Key,
    },
    state::SealedFunction,
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

/// A container that has been taken, and its handler once it is delivered.
struct Serving {
    container: Container,
    delivered: Option<Delivered>,
}

/// Rebuilds one function.
pub struct Rebuilder {
    function: SealedFunction,
    sealed: Arc<SealedHandler>,
    pool: Pool,
    serving: Mutex<Option<Serving>>,
}

impl Rebuilder {
    /// For one sealed function; nothing is deployed yet.
    #[must_use]
    pub fn new(
        function: SealedFunction,
        names: UnlockedNames,
        faas: Arc<FaasCli>,
        standby: usize,
    ) -> Self {
        let sealed = Arc::new(SealedHandler::new(&function.name, &function.sealed));
        let pool = Pool::new(function.clone(), names, faas, standby);
        Self {
            function,
            sealed,
            pool,
            serving: Mutex::new(None),
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
        self.pool.status().await
    }

    /// Parks containers up to the standby; `false` where one could not be parked.
    pub async fn fill(&self) -> bool {
        self.pool.fill().await
    }

    /// Removes everything that waits.
    pub async fn clear(&self) {
        self.pool.clear().await;
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
        let mut serving = self.serving.lock().await;
        let (container, parked, from_standby) = self.pool.take().await?;
        timeline.note(if from_standby {
            Step::Taken
        } else {
            Step::Deployed
        });
        let serving = serving.insert(Serving {
            container,
            delivered: None,
        });
        let folder = self.function.handler_dir.clone();
        // It enters namespaces and copies files, which is not for the threads that wait for packets.
        let delivered =
            tokio::task::spawn_blocking(move || parked.deliver(&folder, &entries(&handler)))
                .await
                .map_err(|_| RebuildError::BrokenOff)??;
        let delivered = serving.delivered.insert(delivered);
        timeline.note(Step::Delivered);
        delivered
            .ready(self.function.upstream_port, READY_TIMEOUT)
            .await?;
        timeline.note(Step::Ready);
        Ok(serving.container.name.clone())
    }

    /// Overwrites and removes what serves, and encrypts the handler afresh where the key is given.
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
        let mut serving = self.serving.lock().await.take();
        let wiped = match serving.as_mut().and_then(|all| all.delivered.as_mut()) {
            Some(delivered) => delivered.wipe_and_kill().await,
            None => Ok(()),
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
        if let Some(serving) = serving {
            let removal = self.pool.remove(serving.container);
            match serving.delivered {
                Some(delivered) => delivered.removed_by(removal).await?,
                None => removal.await?,
            }
        }
        note(Step::Removed);
        wiped?;
        resealed
    }
}

/// The handler's files, as the delivery takes them.
fn entries(handler: &Archive) -> Vec<Entry<'_>> {
    handler
        .entries()
        .map(|entry| Entry {
            path: entry.path,
            mode: entry.mode,
            kind: match entry.content {
                Content::Folder => EntryKind::Dir,
                Content::File(bytes) => EntryKind::File(bytes),
                Content::Link(target) => EntryKind::Symlink(target),
            },
        })
        .collect()
}
