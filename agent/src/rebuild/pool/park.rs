//! From an order to a container that is parked, or given to whoever waits for one.
use std::{sync::Arc, time::Duration};

use tokio::sync::SemaphorePermit;

use super::{Pool, Waiting};
use crate::{
    chain,
    fault::{self, Point},
    rebuild::{RebuildError, behind_gate, mount::wait_parked, queue::Order},
    stack::Deployment,
};

/// How long a deployed container may take until its process waits for the handler: less than callers wait for
/// (`unlock_timeout`, unless that is set shorter), so that they are told why it does not come.
const PARK_TIMEOUT: Duration = Duration::from_secs(40);

/// Whom a container is deployed for.
#[derive(Clone, Copy)]
pub(super) enum For {
    /// A caller, who waits.
    Caller,
    /// The standby, one after the other.
    Standby,
}

impl Pool {
    /// Brings one container that was ordered, for whoever is next, and tries again for those who came
    /// meanwhile; `false` where none can be brought.
    pub(super) async fn bring(self: &Arc<Self>, order: Order, whom: For) -> bool {
        let mut next = Some(order);
        while let Some(order) = next {
            let pool = Arc::clone(self);
            // A task of its own: it must be counted as come or not, whatever happens.
            let result = tokio::spawn(async move { pool.park(whom).await })
                .await
                .unwrap_or(Err(RebuildError::BrokenOff));
            match result {
                // Nobody waits for it any more.
                Ok(None) => {
                    self.changed.notify_waiters();
                    return true;
                }
                Ok(Some(container)) => {
                    self.set_trouble(None);
                    let left = self.queue().came(container);
                    if let Some((slot, _)) = left {
                        self.discard(slot).await;
                        self.queue().gone();
                    }
                    self.changed.notify_waiters();
                    return true;
                }
                Err(error) => {
                    let (function, what) = (&self.function.name, chain::of(&error));
                    tracing::warn!(function, error = what, "no container could be parked");
                    self.set_trouble(Some(format!("no container could be parked: {what}")));
                    next = self.queue().failed(&order, error);
                    self.changed.notify_waiters();
                }
            }
        }
        false
    }

    /// Deploys and parks one, unless it is wanted no longer when its turn comes.
    async fn park(&self, whom: For) -> Result<Option<Waiting>, RebuildError> {
        let slot = self.slots.take().await?;
        let token = Arc::new(self.slots.token()?);
        let deployment = Deployment::of(&self.function, self.faas.gateway())
            .named(&slot.name)
            .unlocked(&self.function.base_image)
            .unprobed()
            .environment(rsfaas_shim::PARK_TOKEN, token.expose())
            .environment(
                rsfaas_shim::HANDLER_DIR,
                &self.function.handler_dir.to_string_lossy(),
            )
            .nothing_compiled();
        let deployment = behind_gate(&self.function, deployment);
        let turn = match whom {
            For::Caller => None,
            For::Standby => {
                let alone = self.deploying.lock().await;
                Some((alone, self.turn().await))
            }
        };
        if !self.queue().keep_if_wanted() {
            return Ok(None);
        }
        let deployed = self.faas.deploy(&deployment).await;
        drop(turn);
        let parked = match deployed {
            Ok(()) => {
                fault::pass(Point::ParkDeployed);
                wait_parked(token, PARK_TIMEOUT).await.map_err(Into::into)
            }
            // It may be there all the same: faas-cli fails too where it is given no answer.
            Err(error) => Err(error.into()),
        };
        match parked {
            Ok(parked) => Ok(Some((slot, parked))),
            Err(error) => {
                self.discard(slot).await;
                Err(error)
            }
        }
    }

    /// Waits for a turn among the standbys of all functions; none is needed once somebody waits for what comes.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        let mut turn = std::pin::pin!(self.faas.turns().to_deploy());
        loop {
            let changed = self.changed.notified();
            if self.queue().is_urgent() {
                return None;
            }
            tokio::select! {
                turn = &mut turn => return turn,
                () = changed => {}
            }
        }
    }
}
