//! Parked containers of one function: deployed ahead of time, each for one lease.
//!
//! Nothing is awaited while the pool is locked: whoever wants a container gets one that is parked, or the
//! first that comes, while others are deployed and removed.
mod park;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::sync::Notify;

use self::park::For;
use super::{
    RebuildError,
    mount::{ContainerProcesses, ParkToken, Parked},
    names::{Slot, Slots},
    parked::ParkedStatus,
    queue::{self, Queue},
};
use crate::{openfaas::FaasCli, state::SealedFunction};

/// Times that a container is tried to be parked before it is left for the next unlock.
const PARK_TRIES: u32 = 3;
/// Containers on their way to the standby at a time: one that is deployed, and one whose process starts. One alone
/// would leave a host idle, many would be in the way of callers who wait.
const AT_A_TIME: usize = 2;

/// A container that has been taken for a lease.
pub(super) struct Taken {
    pub(super) slot: Slot,
    pub(super) parked: Parked,
    /// Whether the container was parked already when the lease asked for one.
    pub(super) from_standby: bool,
}

/// A container that waits for its lease.
type Waiting = (Slot, Parked);

/// The containers and the names for further ones.
pub(super) struct Pool {
    function: SealedFunction,
    faas: Arc<FaasCli>,
    slots: Arc<Slots>,
    standby: usize,
    queue: Mutex<Queue<Waiting, RebuildError>>,
    /// Why the last one could not be parked; none once one could.
    trouble: Mutex<Option<String>>,
    /// Told of each container that has come, or does not come, and of each that is taken or waited for.
    changed: Notify,
    /// Held by whoever keeps the standby up.
    filling: tokio::sync::Mutex<()>,
    /// Held while one is deployed for the standby: of two that are deployed at once the first comes as late as the
    /// second, for whoever waits.
    deploying: tokio::sync::Mutex<()>,
}

/// What came of keeping containers parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standby {
    /// As many containers as wanted are parked.
    Parked,
    /// None is wanted.
    Off,
    /// One could not be parked; the next unlock deploys its own.
    Failed,
}

impl Pool {
    pub(super) fn new(
        function: SealedFunction,
        slots: Arc<Slots>,
        faas: Arc<FaasCli>,
        standby: usize,
    ) -> Self {
        Self {
            function,
            faas,
            slots,
            standby,
            queue: Mutex::new(Queue::new(standby)),
            trouble: Mutex::default(),
            changed: Notify::new(),
            filling: tokio::sync::Mutex::default(),
            deploying: tokio::sync::Mutex::default(),
        }
    }

    /// Takes a parked container, or the next that comes; as many are deployed as are waited for. Safe to
    /// give up: what is deployed by then is parked, as far as there is room.
    pub(super) async fn take(self: &Arc<Self>) -> Result<Taken, RebuildError> {
        while let Some((slot, parked)) = self.take_parked() {
            if !parked.is_ended() {
                return Ok(Taken {
                    slot,
                    parked,
                    from_standby: true,
                });
            }
            self.discard_ended(slot);
        }
        let (ticket, order) = self.queue().wait();
        match order {
            Some(order) => {
                let pool = Arc::clone(self);
                tokio::spawn(async move { pool.bring(order, For::Caller).await });
            }
            // It is one of those on their way, which the standby lacks then.
            None => self.changed.notify_waiters(),
        }
        let mut held = HeldTicket {
            pool: Arc::clone(self),
            ticket,
        };
        let come = (&mut held.ticket).await;
        let (slot, parked) = come.map_err(|_| RebuildError::BrokenOff)??;
        Ok(Taken {
            slot,
            parked,
            from_standby: false,
        })
    }

    /// Discards those that have ended while they were parked, and parks others in their place.
    pub(super) fn replace_ended(self: &Arc<Self>) {
        let ended = self.queue().take_all(|(_, parked)| parked.is_ended());
        if ended.is_empty() {
            return;
        }
        self.changed.notify_waiters();
        for (slot, _) in ended {
            self.discard_ended(slot);
        }
        self.refill();
    }

    fn discard_ended(self: &Arc<Self>, slot: Slot) {
        let name = &slot.name;
        tracing::warn!(container = name, "a parked container has died; removed");
        let pool = Arc::clone(self);
        tokio::spawn(async move { pool.discard(slot).await });
    }

    fn take_parked(&self) -> Option<Waiting> {
        let taken = self.queue().take()?;
        self.changed.notify_waiters();
        Some(taken)
    }

    /// Parks containers up to the standby.
    pub(super) async fn fill(self: &Arc<Self>) -> Standby {
        let _alone = self.filling.lock().await;
        self.fill_alone().await
    }

    /// Starts to do so, unless somebody does already.
    pub(super) fn refill(self: &Arc<Self>) {
        let pool = Arc::clone(self);
        tokio::spawn(async move {
            if let Ok(_alone) = pool.filling.try_lock() {
                pool.fill_alone().await;
            }
        });
    }

    async fn fill_alone(self: &Arc<Self>) -> Standby {
        if self.standby == 0 {
            return Standby::Off;
        }
        let outcomes = join_all((0..AT_A_TIME).map(|_| self.fill_one_by_one())).await;
        let last = outcomes.last().copied().unwrap_or(Standby::Off);
        // One may have failed where another has not.
        outcomes
            .into_iter()
            .find(|outcome| *outcome == Standby::Parked)
            .unwrap_or(last)
    }

    async fn fill_one_by_one(self: &Arc<Self>) -> Standby {
        let mut tries = 0;
        loop {
            // Before the look, so that no change in between is missed.
            let changed = self.changed.notified();
            let order = {
                let mut queue = self.queue();
                if queue.is_closed() {
                    return Standby::Off;
                }
                if queue.parked().len() >= self.standby {
                    return Standby::Parked;
                }
                queue.order(self.standby)
            };
            let Some(order) = order else {
                changed.await;
                continue;
            };
            if !self.bring(order, For::Standby).await {
                tries += 1;
                if tries == PARK_TRIES {
                    return Standby::Failed;
                }
                tokio::time::sleep(Duration::from_secs(1 << tries)).await;
            }
        }
    }

    /// Removes a container that has served.
    pub(super) async fn remove(&self, slot: Slot) -> Result<(), RebuildError> {
        Ok(self.faas.remove(&slot.name).await?)
    }

    /// Removes everything that is parked or comes still, and parks nothing more.
    pub(super) async fn clear(&self) {
        let parked = self.queue().close();
        // What waits for its turn comes to nothing at once.
        self.changed.notify_waiters();
        let parked = parked.into_iter();
        self.discard_all(parked.map(|(slot, parked)| (slot, parked.token())))
            .await;
        loop {
            let changed = self.changed.notified();
            if !self.queue().is_awaited() {
                return;
            }
            changed.await;
        }
    }

    pub(super) fn status(&self) -> Vec<ParkedStatus> {
        let queue = self.queue();
        queue
            .parked()
            .filter(|(_, parked)| !parked.is_ended())
            .map(|(slot, parked)| ParkedStatus::of(&slot.name, parked))
            .collect()
    }

    /// Why none can be parked at the moment.
    pub(super) fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.lock();
        trouble.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    fn queue(&self) -> MutexGuard<'_, Queue<Waiting, RebuildError>> {
        // Every change is one step, so that it is whole even if a holder of the lock panicked.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn discard(&self, slot: Slot) {
        if let Err(error) = self.faas.remove(&slot.name).await {
            tracing::warn!(container = slot.name, %error, "not removed");
        }
    }

    /// Removes parked containers, as many at a time as have a turn. Their processes are killed first: a watchdog that is
    /// asked to end takes its time.
    async fn discard_all(&self, parked: impl IntoIterator<Item = (Slot, Arc<ParkToken>)>) {
        let removals = parked.into_iter().map(async |(slot, token)| {
            let _turn = self.faas.turns().to_remove().await;
            match ContainerProcesses::kill_container(token).await {
                Ok(processes) => processes.removed_by(self.discard(slot)).await,
                Err(error) => {
                    let container = &slot.name;
                    tracing::warn!(container, %error, "its processes are left to its provider");
                    self.discard(slot).await;
                }
            }
        });
        join_all(removals).await;
    }
}

/// The ticket of somebody who waits. What comes after they have given up is parked, as far as there is room.
struct HeldTicket {
    pool: Arc<Pool>,
    ticket: queue::QueueTicket<Waiting, RebuildError>,
}

impl Drop for HeldTicket {
    fn drop(&mut self) {
        self.ticket.close();
        let Ok(Ok(container)) = self.ticket.try_recv() else {
            return;
        };
        if let Some((slot, _)) = self.pool.queue().put(container) {
            let pool = Arc::clone(&self.pool);
            tokio::spawn(async move { pool.discard(slot).await });
        }
    }
}

#[cfg(test)]
mod tests;
