//! Whose turn it is: each faas-cli takes memory, and a provider that has many orders at once is late with all of them.
use tokio::sync::{Semaphore, SemaphorePermit};

/// Deployments at a time, and removals, that nobody waits for.
const AT_A_TIME: usize = 4;

/// Turns of what nobody waits for, of all functions. What somebody waits for needs none.
pub struct Turns {
    deployments: Semaphore,
    /// Apart from deployments, which may hang for longer.
    removals: Semaphore,
}

impl Turns {
    pub(super) const fn new() -> Self {
        Self {
            deployments: Semaphore::const_new(AT_A_TIME),
            removals: Semaphore::const_new(AT_A_TIME),
        }
    }

    /// Waits until something may be deployed; the permit is to be kept until it is. Safe to give up.
    pub async fn to_deploy(&self) -> Option<SemaphorePermit<'_>> {
        self.deployments.acquire().await.ok()
    }

    /// Waits until something may be removed; the permit is to be kept until it is. Safe to give up.
    pub async fn to_remove(&self) -> Option<SemaphorePermit<'_>> {
        self.removals.acquire().await.ok()
    }
}
