//! A container that was deployed with its handler in it: it is not gone before its provider has removed it, however
//! often that has to be asked, and its name is nobody else's until then.
use std::{sync::Arc, time::Duration};

use tokio::task::JoinHandle;

use super::{
    RebuildError,
    mount::{ContainerProcesses, ParkToken},
    names::Slot,
};
use crate::{
    openfaas::{FaasCli, FaasError},
    stack::Deployment,
};

/// First and longest pause between two tries to have it removed.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// A container, from the order to deploy it on.
pub(super) struct Deployed {
    slot: Slot,
    token: Arc<ParkToken>,
    /// The deployment, until it has been waited for.
    coming: Option<JoinHandle<Result<(), FaasError>>>,
}

impl Deployed {
    /// Starts to deploy. In a task of its own: a provider goes on with what nobody waits for any more, and only
    /// faas-cli tells when it has done.
    pub(super) fn begin(
        slot: Slot,
        token: Arc<ParkToken>,
        faas: &Arc<FaasCli>,
        deployment: Deployment,
    ) -> Self {
        let faas = Arc::clone(faas);
        Self {
            slot,
            token,
            coming: Some(tokio::spawn(async move { faas.deploy(&deployment).await })),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.slot.name
    }

    pub(super) fn token(&self) -> Arc<ParkToken> {
        Arc::clone(&self.token)
    }

    /// Waits until it is deployed. Safe to give up.
    pub(super) async fn come(&mut self) -> Result<(), RebuildError> {
        let Some(coming) = &mut self.coming else {
            return Ok(());
        };
        let come = coming.await;
        self.coming = None;
        Ok(come.map_err(|_| RebuildError::BrokenOff)??)
    }

    /// Removes it, and again once a deployment that is still under way is over; tries for as long as it takes.
    pub(super) async fn end(mut self, faas: Arc<FaasCli>) {
        if self
            .coming
            .as_ref()
            .is_some_and(|coming| !coming.is_finished())
        {
            self.try_end(&faas).await;
            let name = self.name();
            tracing::info!(
                container = name,
                "removed again when its deployment is over"
            );
            // What it comes to has been told to whoever has waited; there may be a container in any case.
            let _ = self.come().await;
        }
        let mut pause = PAUSE.0;
        while !self.try_end(&faas).await {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Kills its processes where this kernel runs them, and has the provider remove it; whether that has.
    async fn try_end(&self, faas: &FaasCli) -> bool {
        let name = self.name();
        let removal = faas.remove(name);
        let removed = match ContainerProcesses::kill_container(self.token()).await {
            Ok(processes) => processes.removed_by(removal).await,
            Err(error) => {
                tracing::warn!(container = name, %error, "its processes are left to its provider");
                removal.await
            }
        };
        if let Err(error) = &removed {
            tracing::error!(container = name, %error, "a container with the handler is not removed; once more");
        }
        removed.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        eventually::eventually,
        rebuild::{example, names::Slots},
    };

    async fn begin(slots: &Arc<Slots>, faas: &Arc<FaasCli>) -> Deployed {
        let (slot, token) = (slots.take().await.unwrap(), slots.token().unwrap());
        Deployed::begin(slot, Arc::new(token), faas, Deployment::example())
    }

    #[tokio::test]
    async fn a_container_that_is_not_removed_keeps_its_name_until_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (slots, faas) = example::host(
            folder.path(),
            1,
            "[ $1 = deploy ] || [ -e \"$0.up\" ] || { touch \"$0.failed\"; exit 1; }; touch \"$0.$1d\"",
        );
        let mut deployed = begin(&slots, &faas).await;
        deployed.come().await.unwrap();
        let end = tokio::spawn(deployed.end(faas));
        let failed = folder.path().join("faas-cli.failed");
        eventually("a failed removal", || failed.exists()).await;
        assert!(
            tokio::time::timeout(Duration::from_millis(100), slots.take())
                .await
                .is_err()
        );
        std::fs::write(folder.path().join("faas-cli.up"), "").unwrap();
        end.await.unwrap();
        assert!(folder.path().join("faas-cli.removed").exists());
        slots.take().await.unwrap();
    }

    #[tokio::test]
    async fn a_deployment_that_was_given_up_is_removed_once_it_has_come() {
        let folder = tempfile::tempdir().unwrap();
        let (slots, faas) = example::host(
            folder.path(),
            1,
            "[ $1 = remove ] || { touch \"$0.asked\"; sleep 0.3; }; echo $1 >> \"$0.done\"",
        );
        let mut deployed = begin(&slots, &faas).await;
        let come = tokio::time::timeout(Duration::from_millis(50), deployed.come()).await;
        assert!(come.is_err());
        deployed.end(faas).await;
        let done = std::fs::read_to_string(folder.path().join("faas-cli.done")).unwrap();
        let done: Vec<_> = done.lines().collect();
        assert_eq!(done[done.len() - 2..], ["deploy", "remove"], "{done:?}");
    }
}
