//! Rebuild by mount, the default: a parked container gets the handler delivered into its mount namespace,
//! in memory.
use std::{path::Path, sync::Arc};

use tokio::{sync::Mutex, task::JoinHandle};

use super::{
    ParkedStatus, READY_TIMEOUT, RebuildError, Standby,
    mount::{Delivered, DeliveryPlace, Entry, EntryKind, Parked, PlaceContent},
    names::{Slot, Slots},
    pool::{Pool, Taken},
};
use crate::{
    fault::{self, Point},
    openfaas::FaasCli,
    seal::archive::{self, Archive, Content},
    state::SealedFunction,
    timeline::{Step, Timeline},
};

/// Parks and delivers for one function.
pub(super) struct ByMount {
    function: SealedFunction,
    pool: Arc<Pool>,
}

impl ByMount {
    pub(super) fn new(
        function: SealedFunction,
        slots: Arc<Slots>,
        faas: Arc<FaasCli>,
        standby: usize,
    ) -> Self {
        Self {
            pool: Arc::new(Pool::new(function.clone(), slots, faas, standby)),
            function,
        }
    }

    pub(super) async fn fill(&self) -> Standby {
        self.pool.fill().await
    }

    pub(super) fn refill(&self) {
        self.pool.refill();
    }

    pub(super) fn replace_ended(&self) {
        self.pool.replace_ended();
    }

    pub(super) async fn clear(&self) {
        self.pool.clear().await;
    }

    pub(super) fn parked(&self) -> Vec<ParkedStatus> {
        self.pool.status()
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.pool.trouble()
    }
}

/// One lease's container.
pub(super) struct Mounted {
    way: Arc<ByMount>,
    serving: Mutex<Option<Serving>>,
}

/// A container that has been taken, and its handler once it is delivered.
struct Serving {
    slot: Slot,
    /// A delivery under way. It goes on where the unlock is given up.
    delivering: Option<JoinHandle<Result<Delivered, RebuildError>>>,
    delivered: Option<Delivered>,
}

impl Serving {
    /// Waits for the delivery, where there is one.
    async fn delivery(&mut self) -> Result<Option<&mut Delivered>, RebuildError> {
        if let Some(delivering) = &mut self.delivering {
            let ended = delivering.await;
            self.delivering = None;
            self.delivered = Some(ended.map_err(|_| RebuildError::BrokenOff)??);
        }
        Ok(self.delivered.as_mut())
    }
}

impl Mounted {
    pub(super) fn new(way: &Arc<ByMount>) -> Self {
        Self {
            way: Arc::clone(way),
            serving: Mutex::new(None),
        }
    }

    /// Delivers the handler; gives the container's name. Safe to give up: [`Self::wipe`] and
    /// [`Self::remove`] clean up.
    pub(super) async fn unlock(
        &self,
        handler: Archive,
        timeline: &mut Timeline,
    ) -> Result<String, RebuildError> {
        let mut serving = self.serving.lock().await;
        let Taken {
            slot,
            parked,
            from_standby,
        } = self.way.pool.take().await?;
        timeline.note(if from_standby {
            Step::Taken
        } else {
            Step::Deployed
        });
        fault::pass(Point::UnlockTaken);
        let name = slot.name.clone();
        let function = &self.way.function;
        let folder = function.handler_dir.clone();
        // It enters namespaces and copies files, which is not for the threads that wait for packets.
        let delivering =
            tokio::task::spawn_blocking(move || Self::deliver(parked, &folder, &handler));
        let serving = serving.insert(Serving {
            slot,
            delivering: Some(delivering),
            delivered: None,
        });
        let delivered = serving.delivery().await?.ok_or(RebuildError::BrokenOff)?;
        timeline.note(Step::Delivered);
        fault::pass(Point::UnlockDelivered);
        delivered
            .ready(function.upstream_port, READY_TIMEOUT)
            .await?;
        timeline.note(Step::Ready);
        fault::pass(Point::UnlockReady);
        Ok(name)
    }

    /// Delivers what a build has made of the handler, or the handler itself into its folder.
    fn deliver(
        parked: Parked,
        folder: &Path,
        handler: &Archive,
    ) -> Result<Delivered, RebuildError> {
        let built = handler.places().map_err(RebuildError::Archive)?;
        let places: Vec<DeliveryPlace<'_>> = match &built {
            None => vec![DeliveryPlace {
                path: folder,
                content: PlaceContent::Folder(handler.entries().map(entry).collect()),
            }],
            Some(places) => places.iter().filter_map(place).collect(),
        };
        Ok(parked.deliver(&places)?)
    }

    /// Asks the delivery, where one serves.
    pub(super) fn delivered<T>(&self, ask: impl FnOnce(&Delivered) -> T) -> Option<T> {
        // Whoever has the lock delivers or wipes.
        let serving = self.serving.try_lock().ok()?;
        let delivered = serving.as_ref()?.delivered.as_ref();
        delivered.map(ask)
    }

    /// Overwrites what was delivered, and kills the processes that had it.
    pub(super) async fn wipe(&self) -> Result<(), RebuildError> {
        let mut serving = self.serving.lock().await;
        let Some(serving) = serving.as_mut() else {
            return Ok(());
        };
        match serving.delivery().await {
            Ok(Some(delivered)) => Ok(delivered.wipe_and_kill().await?),
            Ok(None) => Ok(()),
            // Its unlock was given up before it could be told.
            Err(error) => {
                tracing::warn!(container = serving.slot.name, %error, "not delivered");
                Ok(())
            }
        }
    }

    /// Removes the container that has served.
    pub(super) async fn remove(&self) -> Result<(), RebuildError> {
        let Some(Serving {
            slot, delivered, ..
        }) = self.serving.lock().await.take()
        else {
            return Ok(());
        };
        let removal = self.way.pool.remove(slot);
        match delivered {
            Some(delivered) => delivered.removed_by(removal).await,
            None => removal.await,
        }
    }
}

fn place<'a>(place: &archive::BuiltPlace<'a>) -> Option<DeliveryPlace<'a>> {
    let mut entries = place.entries.iter().map(|it| entry(*it));
    let content = if place.is_folder {
        PlaceContent::Folder(entries.collect())
    } else {
        PlaceContent::File(entries.next()?)
    };
    Some(DeliveryPlace {
        path: place.path,
        content,
    })
}

/// An entry of the handler, as the delivery takes it.
fn entry(entry: archive::Entry<'_>) -> Entry<'_> {
    Entry {
        path: entry.path,
        mode: entry.mode,
        kind: match entry.content {
            Content::Folder => EntryKind::Dir,
            Content::File(bytes) => EntryKind::File(bytes),
            Content::Link(target) => EntryKind::Symlink(target),
        },
    }
}
