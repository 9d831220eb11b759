//! Rebuild by image, for hosts where the agent does not run beside the containers: at each unlock an image
//! with the handler is built, pushed and deployed, at the close all of it is purged. Plaintext touches
//! the engine's and the registry's disks meanwhile, which is why it must be asked for.
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Mutex, task::JoinHandle};

use super::{READY_TIMEOUT, RebuildError, behind_gate, deployed::Deployed, mount, names::Slots};
use crate::{
    chain,
    fault::{self, Point},
    image::{Engine, ImageError, PurgeCommand, Reference, Unlocked},
    openfaas::{FaasCli, Gateway},
    seal::archive::Archive,
    stack::Deployment,
    state::SealedFunction,
    timeline::{Step, Timeline},
};

/// How long a close waits for its container to be removed before it is told to have failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks whether everything is removed.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a container's first process may take to show its token: a runtime says that it has started when it is about
/// to, and on a busy host that takes a while.
const SHOWS_WITHIN: Duration = Duration::from_millis(500);

/// Builds, deploys and purges one function's images.
pub(super) struct ByImage {
    function: SealedFunction,
    faas: Arc<FaasCli>,
    gateway: Arc<Gateway>,
    slots: Arc<Slots>,
    purge: Option<PurgeCommand>,
    /// Whether the last container has run on another kernel: the next one is not waited for on this.
    runs_elsewhere: AtomicBool,
    /// Held by each removal that goes on after the close that has waited for it.
    late: Arc<()>,
}

impl ByImage {
    pub(super) fn new(
        function: SealedFunction,
        slots: Arc<Slots>,
        faas: Arc<FaasCli>,
        gateway: Arc<Gateway>,
        purge: Option<PathBuf>,
    ) -> Self {
        Self {
            function,
            faas,
            gateway,
            slots,
            purge: purge.map(PurgeCommand::new),
            runs_elsewhere: AtomicBool::new(false),
            late: Arc::default(),
        }
    }

    /// Whether containers or images of leases that are over are being removed still.
    pub(super) fn still_removes(&self) -> bool {
        Arc::strong_count(&self.late) > 1
    }

    /// Waits until they are not.
    pub(super) async fn removed(&self) {
        while self.still_removes() {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Purges images that an earlier agent has left, killed or kept from it.
    pub(super) async fn sweep(&self) {
        let function = &self.function.name;
        let engine = match Engine::connect().await {
            Ok(engine) => engine,
            Err(error) => {
                tracing::error!(function, %error, "images with plaintext may be left; start the agent again");
                return;
            }
        };
        let base = Reference::parse(&self.function.base_image);
        let left = Unlocked::left(&engine, &base, self.slots.host_id()).await;
        for error in left.unseen {
            tracing::warn!(function, %error, "images with plaintext that are left are not found there");
        }
        for image in left.others {
            tracing::warn!(function, %image, "plaintext of another agent, or of a state folder that is gone; if no \
                agent has it any more, remove it");
        }
        for image in left.own {
            match self.purge(&engine, &image).await {
                Ok(()) => tracing::info!(%image, "left behind by an earlier agent; purged"),
                Err(error) => tracing::error!(function, %error, "left behind by an earlier agent"),
            }
        }
    }

    async fn purge_any(&self, image: Option<&Reference>) -> Result<(), RebuildError> {
        match image {
            Some(image) => Ok(self.purge(&Engine::connect().await?, image).await?),
            None => Ok(()),
        }
    }

    async fn purge(&self, engine: &Engine, image: &Reference) -> Result<(), ImageError> {
        if let Some(left) = Unlocked::purge(engine, image, self.purge.as_ref()).await? {
            tracing::warn!(what = left.what, how = left.how, "plaintext is left");
        }
        Ok(())
    }
}

/// One lease's container and image.
pub(super) struct Built {
    way: Arc<ByImage>,
    serving: Mutex<Serving>,
}

/// What an unlock has begun, in the order in which it has.
#[derive(Default)]
struct Serving {
    image: Option<Reference>,
    /// Its build, then its push, until that has been waited for.
    making: Option<JoinHandle<Result<(), ImageError>>>,
    deployed: Option<Deployed>,
}

impl Serving {
    /// Waits for a step of the image. Safe to give up: it goes on in a task of its own, since the engine may come to an
    /// image that nobody waits for any more.
    async fn make(
        &mut self,
        step: impl Future<Output = Result<(), ImageError>> + Send + 'static,
    ) -> Result<(), RebuildError> {
        let made = self.making.insert(tokio::spawn(step)).await;
        self.making = None;
        Ok(made.map_err(|_| RebuildError::BrokenOff)??)
    }
}

impl Built {
    pub(super) fn new(way: &Arc<ByImage>) -> Self {
        Self {
            way: Arc::clone(way),
            serving: Mutex::default(),
        }
    }

    /// Builds and deploys; gives the container's name. Safe to give up: [`Self::wipe`] cleans up.
    pub(super) async fn unlock(
        &self,
        handler: Archive,
        timeline: &mut Timeline,
    ) -> Result<String, RebuildError> {
        let ByImage { function, faas, .. } = &*self.way;
        let mut serving = self.serving.lock().await;
        let engine = Arc::new(Engine::connect().await?);
        let base = Reference::parse(&function.base_image);
        let tag = Unlocked::tag(self.way.slots.host_id())?;
        let image = base.tagged(&tag);
        serving.image = Some(image.clone());
        let build = {
            let (way, engine, image) = (Arc::clone(&self.way), Arc::clone(&engine), image.clone());
            async move {
                let unlocked = Unlocked {
                    base: &base,
                    handler_dir: &way.function.handler_dir,
                    user: &way.function.user,
                };
                unlocked.build(&engine, &image, handler).await
            }
        };
        serving.make(build).await?;
        timeline.note(Step::Built);
        fault::pass(Point::UnlockBuilt);
        let push = {
            let image = image.clone();
            async move { engine.push(&image).await }
        };
        serving.make(push).await?;
        timeline.note(Step::Pushed);
        fault::pass(Point::UnlockPushed);
        let image = image.to_string();
        let slot = self.way.slots.take().await?;
        let token = Arc::new(self.way.slots.token()?);
        let deployment = Deployment::of(function, faas.gateway())
            .named(&slot.name)
            .unlocked(&image)
            .environment(rsfaas_shim::PARK_TOKEN, token.expose());
        let deployed = Deployed::begin(slot, token, faas, behind_gate(function, deployment));
        let deployed = serving.deployed.insert(deployed);
        deployed.come().await?;
        timeline.note(Step::Deployed);
        fault::pass(Point::UnlockDeployed);
        let name = deployed.name();
        self.way.gateway.wait_available(name, READY_TIMEOUT).await?;
        // A watchdog says that it is well before the function listens. Where the container runs on
        // this kernel the function's own socket can be waited for.
        let shows_within = match self.way.runs_elsewhere.load(Ordering::Relaxed) {
            true => Duration::ZERO,
            false => SHOWS_WITHIN,
        };
        let port = function.upstream_port;
        let is_here =
            mount::wait_listening(deployed.token(), port, shows_within, READY_TIMEOUT).await?;
        self.way.runs_elsewhere.store(!is_here, Ordering::Relaxed);
        if !is_here {
            tracing::debug!(
                function = function.name,
                "the container runs elsewhere; the provider's word counts"
            );
        }
        timeline.note(Step::Ready);
        fault::pass(Point::UnlockReady);
        Ok(deployed.name().to_owned())
    }

    /// Removes the container, then its image from engine and registry. What is not removed in time goes on being
    /// removed, and is an error here.
    pub(super) async fn wipe(&self) -> Result<(), RebuildError> {
        self.wipe_within(PATIENCE).await
    }

    async fn wipe_within(&self, patience: Duration) -> Result<(), RebuildError> {
        let Serving {
            image,
            making,
            deployed,
        } = std::mem::take(&mut *self.serving.lock().await);
        if let Some(mut making) = making
            && tokio::time::timeout(patience, &mut making).await.is_err()
        {
            return Err(self.purge_late(image, making));
        }
        let (name, mut end) = match deployed {
            Some(deployed) => (
                deployed.name().to_owned(),
                tokio::spawn(deployed.end(Arc::clone(&self.way.faas))),
            ),
            None => return self.way.purge_any(image.as_ref()).await,
        };
        let ended = tokio::time::timeout(patience, &mut end).await;
        fault::pass(Point::LockEnded);
        let purged = self.way.purge_any(image.as_ref()).await;
        let function = &self.way.function.name;
        if let Ok(ended) = ended {
            let ended = ended.map_err(|_| RebuildError::BrokenOff);
            return chain::first(function, [ended, purged]);
        }
        if let Err(error) = &purged {
            tracing::warn!(function, %error, "tried again when the container is removed");
        }
        let (way, late) = (Arc::clone(&self.way), Arc::clone(&self.way.late));
        tokio::spawn(async move {
            let _late = late;
            let ended = end.await;
            // While it ran it may have kept the engine from removing its image.
            let purged = match (ended, purged) {
                (Ok(()), Err(_)) => way.purge_any(image.as_ref()).await,
                (_, purged) => purged,
            };
            if let Err(error) = purged {
                let function = &way.function.name;
                tracing::error!(function, %error, "the image of a container that was late to be removed");
            }
        });
        Err(RebuildError::NotRemoved { name })
    }

    /// Purges an image once the engine is done with it; gives what is told until then.
    fn purge_late(
        &self,
        image: Option<Reference>,
        making: JoinHandle<Result<(), ImageError>>,
    ) -> RebuildError {
        let error = ImageError::Unpurged {
            image: image.as_ref().map(Reference::to_string).unwrap_or_default(),
            said: "the engine is still building or pushing it; it is purged when that ends (or by the agent's next \
                   start)"
                .to_owned(),
        };
        let (way, late) = (Arc::clone(&self.way), Arc::clone(&self.way.late));
        tokio::spawn(async move {
            let _late = late;
            // What it comes to matters to nobody any more; there may be an image in any case.
            let _ = making.await;
            let function = &way.function.name;
            match way.purge_any(image.as_ref()).await {
                Ok(()) => tracing::info!(function, "an image that came late is purged"),
                Err(error) => tracing::error!(function, %error, "an image that came late"),
            }
        });
        error.into()
    }
}

#[cfg(test)]
mod tests;
