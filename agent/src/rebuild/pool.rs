//! Parked containers of one function: deployed ahead of time, each for one lease.
//!
//! Nothing is awaited while the pool is locked: whoever wants a container gets one that is parked, or the
//! first that comes, while others are deployed and removed.
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::sync::{Notify, oneshot};

use super::{
    RebuildError,
    mount::{ParkToken, Parked, wait_parked},
    names::{Slot, Slots},
    parked::ParkedStatus,
};
use crate::{openfaas::FaasCli, stack::Deployment, state::SealedFunction};

/// How long a deployed container may take until its process waits for the handler.
const PARK_TIMEOUT: Duration = Duration::from_secs(60);
/// Times that a container is tried to be parked before it is left for the next unlock.
const PARK_TRIES: u32 = 3;
/// Containers that are deployed for the standby at a time. One alone would leave a host idle that waits for a
/// provider, many would be in the way of callers who wait.
const AT_A_TIME: usize = 2;

/// A container that has been taken for a lease.
pub(super) struct Taken {
    pub(super) slot: Slot,
    pub(super) parked: Parked,
    /// Whether it was there already.
    pub(super) from_standby: bool,
}

/// The containers and the names for further ones.
pub(super) struct Pool {
    function: SealedFunction,
    faas: Arc<FaasCli>,
    slots: Arc<Slots>,
    standby: usize,
    inner: Mutex<Inner>,
    /// Told of each container that comes, goes or does not come.
    changed: Notify,
    /// Held by whoever keeps the standby up.
    filling: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Inner {
    parked: VecDeque<(Slot, Parked)>,
    /// Who waits for a container, in turn.
    waiting: VecDeque<oneshot::Sender<Result<Taken, RebuildError>>>,
    /// Containers that are being deployed.
    coming: usize,
    /// Nothing is parked any more: the agent stops, or the function is no longer sealed.
    closed: bool,
}

/// What came of keeping containers parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standby {
    /// As many as wanted are parked.
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
            inner: Mutex::default(),
            changed: Notify::new(),
            filling: tokio::sync::Mutex::default(),
        }
    }

    /// Takes a parked container, or the next that comes; as many are deployed as are waited for. Safe to
    /// give up: what is deployed by then stays parked.
    pub(super) async fn take(self: &Arc<Self>) -> Result<Taken, RebuildError> {
        let mut wait = {
            let mut inner = self.lock();
            while let Some((slot, parked)) = inner.parked.pop_front() {
                if !parked.is_ended() {
                    return Ok(Taken {
                        slot,
                        parked,
                        from_standby: true,
                    });
                }
                tracing::warn!(
                    container = slot.name,
                    "a parked container has died; removed"
                );
                let pool = Arc::clone(self);
                tokio::spawn(async move { pool.discard(slot).await });
            }
            let (sender, receiver) = oneshot::channel();
            inner.waiting.push_back(sender);
            if inner.coming < inner.waiting.len() {
                inner.coming += 1;
                let pool = Arc::clone(self);
                tokio::spawn(async move { pool.bring().await });
            }
            Wait {
                pool: Arc::clone(self),
                receiver,
            }
        };
        (&mut wait.receiver)
            .await
            .map_err(|_| RebuildError::BrokenOff)?
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
            let short = {
                let mut inner = self.lock();
                if inner.closed {
                    return Standby::Off;
                }
                if inner.parked.len() >= self.standby {
                    return Standby::Parked;
                }
                let short = inner.parked.len() + inner.coming < self.standby + inner.waiting.len();
                inner.coming += usize::from(short);
                short
            };
            if !short {
                changed.await;
            } else if !self.bring().await {
                tries += 1;
                if tries == PARK_TRIES {
                    return Standby::Failed;
                }
                tokio::time::sleep(Duration::from_secs(1 << tries)).await;
            }
        }
    }

    /// Brings one container, for whoever is next; `false` where it does not come.
    async fn bring(self: &Arc<Self>) -> bool {
        let pool = Arc::clone(self);
        // A task of its own: it must be counted as come or not, whatever happens.
        let result = tokio::spawn(async move { pool.park().await })
            .await
            .unwrap_or(Err(RebuildError::BrokenOff));
        let came = result.is_ok();
        let left = match result {
            Ok((slot, parked)) => self.hand_out(Taken {
                slot,
                parked,
                from_standby: false,
            }),
            Err(error) => {
                let function = &self.function.name;
                tracing::warn!(function, %error, "no container could be parked");
                let mut inner = self.lock();
                inner.waiting.retain(|waiting| !waiting.is_closed());
                // For each of the others one is on its way.
                if inner.coming <= inner.waiting.len()
                    && let Some(waiting) = inner.waiting.pop_front()
                {
                    // It may have given up just now.
                    let _ = waiting.send(Err(error));
                }
                None
            }
        };
        if let Some(slot) = left {
            self.discard(slot).await;
        }
        self.lock().coming -= 1;
        self.changed.notify_waiters();
        came
    }

    /// Gives a container to whoever waits for it, or parks it; the slot comes back where nobody wants it.
    fn hand_out(&self, taken: Taken) -> Option<Slot> {
        let mut inner = self.lock();
        let mut taken = taken;
        while let Some(waiting) = inner.waiting.pop_front() {
            match waiting.send(Ok(taken)) {
                Ok(()) => return None,
                Err(Ok(back)) => taken = back,
                Err(Err(_)) => return None,
            }
        }
        if inner.closed {
            return Some(taken.slot);
        }
        inner.parked.push_back((taken.slot, taken.parked));
        None
    }

    /// Removes a container that has served.
    pub(super) async fn remove(&self, slot: Slot) -> Result<(), RebuildError> {
        Ok(self.faas.remove(&slot.name).await?)
    }

    /// Removes everything that is parked or comes still, and parks nothing more.
    pub(super) async fn clear(&self) {
        loop {
            let changed = self.changed.notified();
            let (parked, coming) = {
                let mut inner = self.lock();
                inner.closed = true;
                inner.waiting.clear();
                (std::mem::take(&mut inner.parked), inner.coming)
            };
            for (slot, _) in parked {
                self.discard(slot).await;
            }
            if coming == 0 {
                return;
            }
            changed.await;
        }
    }

    pub(super) fn status(&self) -> Vec<ParkedStatus> {
        let inner = self.lock();
        let parked = inner.parked.iter();
        parked
            .map(|(slot, parked)| ParkedStatus::of(&slot.name, parked))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is one step, so that it is whole even if a holder of the lock panicked.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn discard(&self, slot: Slot) {
        if let Err(error) = self.faas.remove(&slot.name).await {
            tracing::warn!(container = slot.name, %error, "not removed");
        }
    }

    async fn park(&self) -> Result<(Slot, Parked), RebuildError> {
        let slot = self.slots.take().await?;
        let token = Arc::new(ParkToken::generate()?);
        let deployment = Deployment::of(&self.function, self.faas.gateway())
            .named(&slot.name)
            .image(&self.function.base_image, "unlocked")
            .environment(rsfaas_shim::PARK_TOKEN, token.expose())
            .environment(
                rsfaas_shim::HANDLER_DIR,
                &self.function.handler_dir.to_string_lossy(),
            );
        let deployment = self.function.behind_gate(deployment);
        self.faas.deploy(&deployment).await?;
        match wait_parked(token, PARK_TIMEOUT).await {
            Ok(parked) => Ok((slot, parked)),
            Err(error) => {
                self.discard(slot).await;
                Err(error.into())
            }
        }
    }
}

/// Somebody's place among those who wait. What comes after they have given up is parked.
struct Wait {
    pool: Arc<Pool>,
    receiver: oneshot::Receiver<Result<Taken, RebuildError>>,
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.receiver.close();
        if let Ok(Ok(taken)) = self.receiver.try_recv()
            && let Some(slot) = self.pool.hand_out(taken)
        {
            let pool = Arc::clone(&self.pool);
            tokio::spawn(async move { pool.discard(slot).await });
        }
    }
}
