//! The container of one lease: unlocked, locked again, removed.
use std::{
    io,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::unix::AsyncFd,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};

use super::{
    RebuildError, SealedHandler, Way, by_image::Built, by_mount::Mounted, mount::Delivered,
};
use crate::{
    chain,
    fault::{self, Point},
    seal::key::Key,
    timeline::{Step, Timeline},
};

/// A container that serves one lease, and nobody afterwards.
pub struct Container {
    sealed: Arc<SealedHandler>,
    turns: Arc<Semaphore>,
    /// Its own, from the unlock on until nothing of the handler is left.
    turn: Mutex<Option<OwnedSemaphorePermit>>,
    /// Whether the handler has been opened for it.
    is_opened: AtomicBool,
    place: Place,
}

enum Place {
    Mount(Mounted),
    Image(Built),
}

/// What may end by itself while it serves.
pub trait Serving {
    /// Whether the container has ended.
    fn has_ended(&self) -> bool;

    /// Whether the container has ended, or is about to; that takes longer to find out.
    fn is_ending(&self) -> bool;
}

/// What opens a handler, and what it is encrypted under when it is locked.
#[derive(Clone)]
pub struct Keys {
    /// The key that opens it.
    pub present: Arc<Key>,
    /// The one that is to open it from the lock on, where that is another. Another lease that has it may lock earlier.
    pub next: Option<Arc<Key>>,
}

impl Container {
    pub(super) fn new(sealed: &Arc<SealedHandler>, turns: &Arc<Semaphore>, way: &Way) -> Self {
        Self {
            sealed: Arc::clone(sealed),
            turns: Arc::clone(turns),
            turn: Mutex::default(),
            is_opened: AtomicBool::new(false),
            place: match way {
                Way::Mount(way) => Place::Mount(Mounted::new(way)),
                Way::Image(way) => Place::Image(Built::new(way)),
            },
        }
    }

    /// Waits for its turn, opens the handler with the keys of that moment and makes the container serve it; gives the
    /// container's name. Safe to give up: [`Self::lock`] and [`Self::remove`] clean up what was begun.
    ///
    /// # Errors
    /// When the handler cannot be opened or the container not be brought to serve.
    pub async fn unlock(
        &self,
        keys: &watch::Receiver<Keys>,
        timeline: &mut Timeline,
    ) -> Result<String, RebuildError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        self.set_turn(Some(turn.map_err(|_| RebuildError::BrokenOff)?));
        let handler = {
            let (sealed, keys) = (Arc::clone(&self.sealed), keys.borrow().clone());
            tokio::task::spawn_blocking(move || sealed.open(&keys.present, keys.next.as_deref()))
                .await
                .map_err(|_| RebuildError::BrokenOff)??
        };
        self.is_opened.store(true, Ordering::Relaxed);
        timeline.note(Step::Opened);
        fault::pass(Point::UnlockOpened);
        match &self.place {
            Place::Mount(place) => place.unlock(handler, timeline).await,
            Place::Image(place) => place.unlock(handler, timeline).await,
        }
    }

    /// Wipes the plaintext, and encrypts the handler afresh where keys are given, and it has been opened or is to have
    /// another key: everything is ciphertext again then.
    ///
    /// # Errors
    /// When something could not be done; everything else is done all the same.
    pub async fn lock(
        &self,
        keys: Option<Keys>,
        timeline: &mut Timeline,
    ) -> Result<(), RebuildError> {
        timeline.note(Step::Closed);
        let wiped = match &self.place {
            Place::Mount(place) => place.wipe().await,
            Place::Image(place) => place.wipe().await,
        };
        self.set_turn(None);
        timeline.note(Step::Wiped);
        fault::pass(Point::LockWiped);
        let resealed = match keys {
            Some(keys) if self.is_opened.load(Ordering::Relaxed) || keys.next.is_some() => {
                self.sealed.reseal(keys).await
            }
            _ => Ok(()),
        };
        timeline.note(Step::Reencrypted);
        fault::pass(Point::LockReencrypted);
        chain::first(&self.sealed.name(), [wiped, resealed])
    }

    fn set_turn(&self, turn: Option<OwnedSemaphorePermit>) {
        // It is there or not, even if a holder of the lock panicked.
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner) = turn;
    }

    /// What becomes readable when the function has ended, as far as this kernel knows: all of it.
    pub fn ends(&self) -> Option<io::Result<Vec<AsyncFd<OwnedFd>>>> {
        self.place.delivered(Delivered::ends)
    }

    /// Removes what is left of the container, which holds no plaintext any more.
    ///
    /// # Errors
    /// When the provider does not remove it.
    pub async fn remove(&self, timeline: &mut Timeline) -> Result<(), RebuildError> {
        let removed = match &self.place {
            Place::Mount(place) => place.remove().await,
            // It went with its image.
            Place::Image(_) => Ok(()),
        };
        timeline.note(Step::Removed);
        fault::pass(Point::LockRemoved);
        removed
    }
}

/// Waits for all [ends](Container::ends).
pub async fn ended(ends: Option<io::Result<Vec<AsyncFd<OwnedFd>>>>) {
    let Some(ends) = ends else {
        return;
    };
    let waited = async {
        for end in ends? {
            drop(end.readable().await?);
        }
        io::Result::Ok(())
    };
    if let Err(error) = waited.await {
        tracing::warn!(%error, "whether the function crashes is seen only by its callers");
    }
}

/// Tells it as far as this kernel knows.
impl Serving for Container {
    fn has_ended(&self) -> bool {
        self.place.delivered(Delivered::is_ended).unwrap_or(false)
    }

    fn is_ending(&self) -> bool {
        self.place.delivered(Delivered::is_ending).unwrap_or(false)
    }
}

impl Place {
    /// Asks the delivery, where one serves.
    fn delivered<T>(&self, ask: impl FnOnce(&Delivered) -> T) -> Option<T> {
        match self {
            Self::Mount(place) => place.delivered(ask),
            Self::Image(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use super::*;
    use crate::{
        openfaas::{FaasCli, Gateway},
        rebuild::{Host, Rebuilder, ServedSlots, UnlockedNames, example},
        seal::{FILE_NAME, folder::seal_folder},
        state::StateDir,
    };

    /// Without a faas-cli. Where there is no handler, an unlock fails as soon as it has its turn.
    fn rebuilder(folder: &Path, isolated: usize) -> Rebuilder {
        let host = Host {
            faas: Arc::new(FaasCli::new(Path::new("/no/faas-cli"), "http://g", None).unwrap()),
            gateway: Arc::new(Gateway::new("http://g", None).unwrap()),
            names: UnlockedNames::of_host(&StateDir::new(folder)).unwrap(),
            served: ServedSlots::default(),
            standby: 1,
            isolated,
            purge_command: None,
        };
        Rebuilder::new(example::function(folder), host)
    }

    fn keys() -> Keys {
        Keys {
            present: Arc::new(Key::generate().unwrap()),
            next: None,
        }
    }

    fn at_hand(keys: &Keys) -> watch::Receiver<Keys> {
        watch::channel(keys.clone()).1
    }

    fn seal(folder: &Path, key: &Key) {
        std::fs::write(folder.join("handler.py"), "").unwrap();
        seal_folder(folder, "pydict", key, 1).unwrap();
    }

    /// An unlock that waits for its turn.
    async fn waits(unlock: impl Future<Output = Result<String, RebuildError>>) {
        let early = tokio::time::timeout(Duration::from_millis(50), unlock).await;
        assert!(early.is_err(), "it is not its turn");
    }

    #[tokio::test]
    async fn no_more_containers_serve_at_a_time_than_isolated_says() {
        let folder = tempfile::tempdir().unwrap();
        let rebuilder = rebuilder(folder.path(), 2);
        let keys = at_hand(&keys());
        let mut timeline = Timeline::start("pydict", 0);
        let serving = [rebuilder.container(), rebuilder.container()];
        for container in &serving {
            let outcome = container.unlock(&keys, &mut timeline).await;
            assert!(matches!(outcome, Err(RebuildError::Seal(_))));
        }
        let next = rebuilder.container();
        let mut wait = Timeline::start("pydict", 0);
        let mut unlock = std::pin::pin!(next.unlock(&keys, &mut wait));
        waits(&mut unlock).await;
        serving[0].lock(None, &mut timeline).await.unwrap();
        assert!(matches!(unlock.await, Err(RebuildError::Seal(_))));
    }

    #[tokio::test]
    async fn the_keys_count_that_a_lease_has_when_it_is_its_containers_turn() {
        let folder = tempfile::tempdir().unwrap();
        let rebuilder = rebuilder(folder.path(), 1);
        let [first, last] = [keys(), keys()];
        seal(folder.path(), &first.present);
        let [serving, waiting] = [rebuilder.container(), rebuilder.container()];
        let mut timeline = Timeline::start("pydict", 0);
        let outcome = serving.unlock(&at_hand(&first), &mut timeline).await;
        assert!(matches!(outcome, Err(RebuildError::Faas(_))));
        let (lease, keys) = watch::channel(first.clone());
        let mut wait = Timeline::start("pydict", 0);
        let mut unlock = std::pin::pin!(waiting.unlock(&keys, &mut wait));
        waits(&mut unlock).await;
        let changed = Keys {
            next: Some(Arc::clone(&last.present)),
            ..first
        };
        serving.lock(Some(changed), &mut timeline).await.unwrap();
        lease.send_replace(last);
        let outcome = unlock.await;
        assert!(matches!(outcome, Err(RebuildError::Faas(_))), "not opened");
    }

    #[tokio::test]
    async fn only_a_handler_that_was_opened_is_encrypted_afresh() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys();
        seal(folder.path(), &keys.present);
        let read = || std::fs::read(folder.path().join(FILE_NAME)).unwrap();
        let before = read();
        let rebuilder = rebuilder(folder.path(), 1);
        let mut timeline = Timeline::start("pydict", 0);
        let [opened, waiting] = [rebuilder.container(), rebuilder.container()];
        let outcome = opened.unlock(&at_hand(&keys), &mut timeline).await;
        assert!(matches!(outcome, Err(RebuildError::Faas(_))));
        waits(waiting.unlock(&at_hand(&keys), &mut timeline)).await;
        let locked = waiting.lock(Some(keys.clone()), &mut timeline).await;
        assert!(locked.is_ok() && read() == before);
        let locked = opened.lock(Some(keys), &mut timeline).await;
        assert!(locked.is_ok() && read() != before);
    }
}
