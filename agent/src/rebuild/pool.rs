//! Parked containers of one function: deployed ahead of time, each for one lease.
use std::{collections::VecDeque, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::{
    RebuildError,
    mount::{ParkToken, Parked, wait_parked},
    names::UnlockedNames,
};
use crate::{
    image::GATE_PATH,
    openfaas::FaasCli,
    stack::Deployment,
    state::{Park, SealedFunction},
};

/// How long a deployed container may take until its process waits for the handler.
const PARK_TIMEOUT: Duration = Duration::from_secs(60);
/// Times that a container is tried to be parked before it is left for the next unlock.
const PARK_TRIES: u32 = 3;

/// A container of ours, by its name.
pub(super) struct Container {
    slot: usize,
    pub(super) name: String,
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
}

/// The containers and the names for further ones.
pub(super) struct Pool {
    function: SealedFunction,
    names: UnlockedNames,
    faas: Arc<FaasCli>,
    standby: usize,
    inner: Mutex<Inner>,
}

struct Inner {
    parked: Vec<(Container, Parked)>,
    /// Free slots, the one that has been free for longest first: some providers finish a removal
    /// after they have answered.
    free: VecDeque<usize>,
}

impl Pool {
    pub(super) fn new(
        function: SealedFunction,
        names: UnlockedNames,
        faas: Arc<FaasCli>,
        standby: usize,
    ) -> Self {
        let free = (0..UnlockedNames::slots(standby)).collect();
        let inner = Mutex::new(Inner {
            parked: Vec::new(),
            free,
        });
        Self {
            function,
            names,
            faas,
            standby,
            inner,
        }
    }

    /// Takes a parked container, or deploys one; `true` where it was ready.
    pub(super) async fn take(&self) -> Result<(Container, Parked, bool), RebuildError> {
        let mut inner = self.inner.lock().await;
        while let Some((container, parked)) = inner.parked.pop() {
            if !parked.is_ended() {
                return Ok((container, parked, true));
            }
            tracing::warn!(
                container = container.name,
                "a parked container has died; removed"
            );
            self.discard(&mut inner, container).await;
        }
        self.park(&mut inner)
            .await
            .map(|(container, parked)| (container, parked, false))
    }

    /// Parks containers up to the standby; `false` where one could not be parked.
    pub(super) async fn fill(&self) -> bool {
        let mut tries = 0;
        loop {
            let mut inner = self.inner.lock().await;
            if inner.parked.len() >= self.standby {
                return true;
            }
            match self.park(&mut inner).await {
                Ok(parked) => inner.parked.push(parked),
                Err(error) => {
                    drop(inner);
                    tries += 1;
                    let function = &self.function.name;
                    tracing::warn!(function, %error, "no container could be parked");
                    if tries == PARK_TRIES {
                        return false;
                    }
                    tokio::time::sleep(Duration::from_secs(1 << tries)).await;
                }
            }
        }
    }

    /// Removes a container that has served.
    pub(super) async fn remove(&self, container: Container) -> Result<(), RebuildError> {
        let mut inner = self.inner.lock().await;
        let result = self.faas.remove(&container.name).await;
        inner.free.push_back(container.slot);
        Ok(result?)
    }

    /// Removes everything that is parked.
    pub(super) async fn clear(&self) {
        let mut inner = self.inner.lock().await;
        while let Some((container, _)) = inner.parked.pop() {
            self.discard(&mut inner, container).await;
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
            .map(|(container, parked)| ParkedStatus {
                name: container.name.clone(),
                pid: parked.pid(),
                memory_kib: memory_kib(parked.pid()),
            })
            .collect()
    }

    async fn discard(&self, inner: &mut Inner, container: Container) {
        if let Err(error) = self.faas.remove(&container.name).await {
            tracing::warn!(container = container.name, %error, "not removed");
        }
        inner.free.push_back(container.slot);
    }

    async fn park(&self, inner: &mut Inner) -> Result<(Container, Parked), RebuildError> {
        let slot = inner.free.pop_front().ok_or(RebuildError::NoSlot)?;
        let name = self.names.of(&self.function.name, slot);
        match self.deploy(&name).await {
            Ok(parked) => Ok((Container { slot, name }, parked)),
            Err(error) => {
                inner.free.push_back(slot);
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
        let deployment = match self.function.park {
            Park::Python => deployment,
            Park::Gate => deployment.behind(GATE_PATH),
        };
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
