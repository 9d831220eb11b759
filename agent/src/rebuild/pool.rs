//! Parked containers of one function: deployed ahead of time, each for one lease.
use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, oneshot};

use super::{
    RebuildError,
    mount::{ParkToken, Parked, wait_parked},
    names::{Slot, Slots},
};
use crate::{openfaas::FaasCli, stack::Deployment, state::SealedFunction};

/// How long a deployed container may take until its process waits for the handler.
const PARK_TIMEOUT: Duration = Duration::from_secs(60);
/// Times that a container is tried to be parked before it is left for the next unlock.
const PARK_TRIES: u32 = 3;

/// A container that has been taken for a lease.
pub(super) struct Taken {
    pub(super) slot: Slot,
    pub(super) parked: Parked,
    /// Whether it was there already.
    pub(super) from_standby: bool,
}

/// A parked container, as `rsfaas status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedStatus {
    /// The container's OpenFaaS name.
    pub name: String,
    /// Its waiting process.
    pub pid: i32,
    /// Memory that the process alone has, in KiB, where the kernel tells.
    pub memory_kib: Option<u64>,
    /// Whether the container's memory is kept out of swap.
    #[serde(default)]
    pub unswapped: bool,
}

/// The containers and the names for further ones.
pub(super) struct Pool {
    function: SealedFunction,
    faas: Arc<FaasCli>,
    standby: usize,
    inner: Mutex<Inner>,
}

struct Inner {
    parked: Vec<(Slot, Parked)>,
    slots: Slots,
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
        slots: Slots,
        faas: Arc<FaasCli>,
        standby: usize,
    ) -> Self {
        let parked = Vec::new();
        let inner = Mutex::new(Inner {
            parked,
            slots,
            closed: false,
        });
        Self {
            function,
            faas,
            standby,
            inner,
        }
    }

    /// Takes a parked container, or deploys one. Safe to give up: what is deployed by then stays
    /// parked.
    pub(super) async fn take(self: &Arc<Self>) -> Result<Taken, RebuildError> {
        let (sender, receiver) = oneshot::channel();
        let pool = Arc::clone(self);
        tokio::spawn(async move {
            let taken = pool.take_one().await;
            if let Err(Ok(taken)) = sender.send(taken) {
                let mut inner = pool.inner.lock().await;
                if inner.closed {
                    pool.discard(&mut inner, taken.slot).await;
                } else {
                    inner.parked.push((taken.slot, taken.parked));
                }
            }
        });
        receiver.await.map_err(|_| RebuildError::BrokenOff)?
    }

    async fn take_one(&self) -> Result<Taken, RebuildError> {
        let mut inner = self.inner.lock().await;
        while let Some((slot, parked)) = inner.parked.pop() {
            if !parked.is_ended() {
                return Ok(Taken {
                    slot,
                    parked,
                    from_standby: true,
                });
            }
            let name = &slot.name;
            tracing::warn!(container = name, "a parked container has died; removed");
            self.discard(&mut inner, slot).await;
        }
        let (slot, parked) = self.park(&mut inner).await?;
        Ok(Taken {
            slot,
            parked,
            from_standby: false,
        })
    }

    /// Parks containers up to the standby.
    pub(super) async fn fill(&self) -> Standby {
        if self.standby == 0 {
            return Standby::Off;
        }
        let mut tries = 0;
        loop {
            let mut inner = self.inner.lock().await;
            if inner.closed {
                return Standby::Off;
            }
            if inner.parked.len() >= self.standby {
                return Standby::Parked;
            }
            match self.park(&mut inner).await {
                Ok(parked) => inner.parked.push(parked),
                Err(error) => {
                    drop(inner);
                    tries += 1;
                    let function = &self.function.name;
                    tracing::warn!(function, %error, "no container could be parked");
                    if tries == PARK_TRIES {
                        return Standby::Failed;
                    }
                    tokio::time::sleep(Duration::from_secs(1 << tries)).await;
                }
            }
        }
    }

    /// Removes a container that has served.
    pub(super) async fn remove(&self, slot: Slot) -> Result<(), RebuildError> {
        let mut inner = self.inner.lock().await;
        let result = self.faas.remove(&slot.name).await;
        inner.slots.give_back(slot);
        Ok(result?)
    }

    /// Removes everything that is parked, and parks nothing more.
    pub(super) async fn clear(&self) {
        let mut inner = self.inner.lock().await;
        inner.closed = true;
        while let Some((slot, _)) = inner.parked.pop() {
            self.discard(&mut inner, slot).await;
        }
    }

    pub(super) async fn status(&self) -> Vec<ParkedStatus> {
        // A container being parked is not there yet, and nobody should wait for it here.
        let Ok(inner) = self.inner.try_lock() else {
            return Vec::new();
        };
        inner
            .parked
            .iter()
            .map(|(slot, parked)| ParkedStatus {
                name: slot.name.clone(),
                pid: parked.pid(),
                memory_kib: memory_kib(parked.pid()),
                unswapped: parked.is_unswapped(),
            })
            .collect()
    }

    async fn discard(&self, inner: &mut Inner, slot: Slot) {
        if let Err(error) = self.faas.remove(&slot.name).await {
            tracing::warn!(container = slot.name, %error, "not removed");
        }
        inner.slots.give_back(slot);
    }

    async fn park(&self, inner: &mut Inner) -> Result<(Slot, Parked), RebuildError> {
        let slot = inner.slots.take()?;
        match self.deploy(&slot.name).await {
            Ok(parked) => Ok((slot, parked)),
            Err(error) => {
                inner.slots.give_back(slot);
                Err(error)
            }
        }
    }

    async fn deploy(&self, name: &str) -> Result<Parked, RebuildError> {
        let token = Arc::new(ParkToken::generate()?);
        let deployment = Deployment::of(&self.function, self.faas.gateway())
            .named(name)
            .image(&self.function.base_image, "unlocked")
            .environment(rsfaas_shim::PARK_TOKEN, token.expose())
            .environment(
                rsfaas_shim::HANDLER_DIR,
                &self.function.handler_dir.to_string_lossy(),
            );
        let deployment = self.function.behind_gate(deployment);
        self.faas.deploy(&deployment).await?;
        match wait_parked(token, PARK_TIMEOUT).await {
            Ok(parked) => Ok(parked),
            Err(error) => {
                if let Err(removal) = self.faas.remove(name).await {
                    tracing::warn!(container = name, error = %removal, "not removed");
                }
                Err(error.into())
            }
        }
    }
}

/// Memory that a process alone has (proc(5), `smaps_rollup`), where the kernel tells.
fn memory_kib(pid: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let of = |field: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(field))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    };
    Some(of("Private_Clean:")? + of("Private_Dirty:")?)
}
