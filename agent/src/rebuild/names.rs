//! Names of unlocked containers: `NAME-SUFFIX-SLOT`. The suffix is made of a secret of the host's, for each function
//! another one: nobody outside guesses them, and who was told the name of one, by a provider's error say, knows none of
//! another function's. Slots are few and used again, so that the gateway's metrics by function stay bounded.
use std::{
    collections::VecDeque,
    fmt, io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

use super::{RebuildError, mount::ParkToken};
use crate::{not_found::ignore_not_found, replace, state::StateDir};

/// Letters and digits of a suffix: with the longest function name and a slot they make a DNS label.
const SUFFIX_LEN: usize = 9;
/// File of the state folder with the host's ID.
const HOST_ID: &str = "host-id";
/// Letters and digits of the secret that suffixes are made of, 259 bits.
const SECRET_LEN: usize = 52;
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// So many of these are letters; they come first.
const LETTERS: usize = 24;

/// The names of this host's unlocked containers.
#[derive(Clone, PartialEq, Eq)]
pub struct UnlockedNames {
    host: String,
    secret: Zeroizing<String>,
}

impl fmt::Debug for UnlockedNames {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("UnlockedNames")
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

impl UnlockedNames {
    /// Those of the state folder, made where there are none.
    ///
    /// # Errors
    /// When the folder cannot be read or written.
    pub fn of_host(state: &StateDir) -> io::Result<Self> {
        Ok(Self {
            host: kept::<SUFFIX_LEN>(&state.root().join(HOST_ID))?,
            secret: Zeroizing::new(kept::<SECRET_LEN>(&state.root().join("names"))?),
        })
    }

    /// What tells a host's containers and images from another's, where it is known by a state folder already.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn host_id_of(state: &StateDir) -> io::Result<Option<String>> {
        let file = state.root().join(HOST_ID);
        let is_there = ignore_not_found(std::fs::metadata(&file))?.is_some();
        is_there.then(|| kept::<SUFFIX_LEN>(&file)).transpose()
    }

    /// How many slots a function has: those on standby, those that serve, and two whose removal the
    /// provider may not have finished.
    #[must_use]
    pub const fn slots(standby: usize, serving: usize) -> usize {
        standby + serving + 2
    }

    /// What tells this host's containers and images from another's. No secret.
    #[must_use]
    pub fn host_id(&self) -> &str {
        &self.host
    }

    /// The name of a function's container in a slot.
    #[must_use]
    pub fn of(&self, function: &str, slot: usize) -> String {
        format!("{function}-{}-{slot}", self.suffix(function))
    }

    /// Whether a container's name is of this host.
    #[must_use]
    pub fn is_own(&self, name: &str) -> bool {
        parts(name).is_some_and(|(function, suffix, _)| suffix == self.suffix(function))
    }

    /// A hash that begins with a secret could be continued by who knows it; so much of it is not told.
    fn suffix(&self, function: &str) -> String {
        let hash = Sha256::new()
            .chain_update(self.secret.as_bytes())
            .chain_update(function)
            .finalize();
        text(hash.into_iter().take(SUFFIX_LEN))
    }
}

/// Function, suffix and slot of a container's name.
pub(super) fn parts(name: &str) -> Option<(&str, &str, usize)> {
    let (rest, slot) = name.rsplit_once('-')?;
    let (function, suffix) = rest.rsplit_once('-')?;
    Some((function, suffix, slot.parse().ok()?))
}

/// Random letters and digits that are kept in a file, and made where there is none.
fn kept<const N: usize>(path: &Path) -> io::Result<String> {
    match std::fs::read_to_string(path) {
        Ok(text) if is_text(text.trim(), N) => Ok(text.trim().to_owned()),
        Ok(_) => Err(io::Error::other(format!(
            "{} does not hold {N} lower-case letters and digits; remove it",
            path.display()
        ))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut bytes = [0; N];
            getrandom::fill(&mut bytes).map_err(io::Error::other)?;
            let made = text(bytes);
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            // Half of it would keep the agent from starting again.
            replace::replace(path, made.as_bytes())?;
            Ok(made)
        }
        Err(error) => Err(error),
    }
}

/// A container's place and its name; free again when dropped.
pub(super) struct Slot {
    number: usize,
    pub(super) name: String,
    slots: Arc<Slots>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Slot {
    fn drop(&mut self) {
        // The permit, which lets the next one in, goes after this.
        self.slots.free().push_back(self.number);
    }
}

/// The free slots of one function, the one that has been free for longest first: some providers finish
/// a removal after they have answered.
pub(super) struct Slots {
    names: UnlockedNames,
    function: String,
    count: usize,
    free: Mutex<VecDeque<usize>>,
    permits: Arc<Semaphore>,
}

impl Slots {
    pub(super) fn new(names: UnlockedNames, function: &str, count: usize) -> Arc<Self> {
        Arc::new(Self {
            names,
            function: function.to_owned(),
            count,
            free: Mutex::new((0..count).collect()),
            permits: Arc::new(Semaphore::new(count)),
        })
    }

    /// What tells the host's containers and images from another's.
    pub(super) fn host_id(&self) -> &str {
        self.names.host_id()
    }

    /// How many there are, free or not.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// A token for a container of the function's.
    pub(super) fn token(&self) -> Result<ParkToken, getrandom::Error> {
        ParkToken::generate(self.names.host_id())
    }

    /// Waits for a free slot, in turn.
    pub(super) async fn take(self: &Arc<Self>) -> Result<Slot, RebuildError> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| RebuildError::BrokenOff)?;
        let number = self.free().pop_front().ok_or(RebuildError::BrokenOff)?;
        Ok(self.slot(number, permit))
    }

    /// Takes the slot of that number if it is free.
    pub(super) fn take_free(self: &Arc<Self>, number: usize) -> Option<Slot> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        let mut free = self.free();
        let place = free.iter().position(|other| *other == number)?;
        free.remove(place);
        drop(free);
        Some(self.slot(number, permit))
    }

    fn slot(self: &Arc<Self>, number: usize, permit: OwnedSemaphorePermit) -> Slot {
        Slot {
            number,
            name: self.names.of(&self.function, number),
            slots: Arc::clone(self),
            _permit: permit,
        }
    }

    fn free(&self) -> std::sync::MutexGuard<'_, VecDeque<usize>> {
        // Numbers are whole even if a holder of the lock panicked.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Letters and digits that begin with a letter: faasd finds a container's address by the beginning `NAME-PID` of
/// what it noted, and must not take `pydict-47abcd-0-815` for the locked function's process 47.
fn text(bytes: impl IntoIterator<Item = u8>) -> String {
    let among = |letters: &[u8], byte: u8| char::from(letters[usize::from(byte) % letters.len()]);
    let mut bytes = bytes.into_iter();
    let first = bytes.next().map(|byte| among(&ALPHABET[..LETTERS], byte));
    let rest = bytes.map(|byte| among(ALPHABET, byte));
    first.into_iter().chain(rest).collect()
}

fn is_text(text: &str, length: usize) -> bool {
    text.len() == length
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_keeps_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        assert_eq!(UnlockedNames::host_id_of(&state).unwrap(), None);
        let names = UnlockedNames::of_host(&state).unwrap();
        assert_eq!(UnlockedNames::of_host(&state).unwrap(), names);
        let known = UnlockedNames::host_id_of(&state).unwrap();
        assert_eq!(known.as_deref(), Some(names.host_id()));
        assert!(names.of("pydict", 2).starts_with("pydict-"));
        assert!(names.of("pydict", 2).ends_with("-2"));
        assert!(names.is_own(&names.of("pydict", 2)));
        let secret = std::fs::read_to_string(folder.path().join("names")).unwrap();
        assert!(!format!("{names:?}").contains(&secret));
    }

    #[test]
    fn a_functions_name_tells_nothing_of_anothers() {
        let folder = tempfile::tempdir().unwrap();
        let names = UnlockedNames::of_host(&StateDir::new(folder.path())).unwrap();
        let suffix = |function| names.of(function, 0).replace(function, "");
        assert_ne!(suffix("pydict"), suffix("goods"));
        assert!(!names.is_own(&format!("goods{}", suffix("pydict"))));
        assert!(!suffix("pydict").contains(names.host_id()));
    }

    fn slots(count: usize) -> Arc<Slots> {
        let folder = tempfile::tempdir().unwrap();
        let names = UnlockedNames::of_host(&StateDir::new(folder.path())).unwrap();
        Slots::new(names, "pydict", count)
    }

    #[tokio::test]
    async fn slots_are_used_again_the_longest_free_one_first() {
        let slots = slots(3);
        drop(slots.take().await.unwrap());
        let mut taken = Vec::new();
        for number in [1, 2, 0] {
            let slot = slots.take().await.unwrap();
            assert_eq!(slot.name, slots.names.of("pydict", number));
            taken.push(slot);
        }
    }

    #[tokio::test]
    async fn a_slot_that_is_free_can_be_taken_by_its_number_and_any_other_costs_nothing() {
        let slots = slots(2);
        let first = slots.take().await.unwrap();
        assert!(slots.take_free(0).is_none() && slots.take_free(2).is_none());
        let second = slots.take_free(1).unwrap();
        assert_eq!(second.name, slots.names.of("pydict", 1));
        assert!(slots.take_free(0).is_none());
        drop((first, second));
        let _both = (slots.take().await.unwrap(), slots.take().await.unwrap());
    }

    #[tokio::test]
    async fn whoever_finds_no_slot_gets_the_next_that_is_free() {
        let slots = slots(1);
        let first = slots.take().await.unwrap();
        let mut next = std::pin::pin!(slots.take());
        tokio::select! {
            biased;
            _ = &mut next => panic!("two have the only slot"),
            () = std::future::ready(()) => drop(first),
        }
        assert_eq!(next.await.unwrap().number, 0);
    }

    #[test]
    fn a_suffix_never_begins_like_the_number_of_a_process() {
        for byte in 0..=u8::MAX {
            let suffix = text([byte; SUFFIX_LEN]);
            assert!(is_text(&suffix, SUFFIX_LEN), "{suffix}");
            assert!(
                suffix.starts_with(|first: char| first.is_ascii_lowercase()),
                "{suffix}"
            );
        }
    }

    #[test]
    fn what_is_damaged_is_an_error_that_names_the_file() {
        for file in ["host-id", "names"] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(file), "../../x").unwrap();
            let error = UnlockedNames::of_host(&StateDir::new(folder.path())).unwrap_err();
            assert!(error.to_string().contains(file), "{error}");
        }
    }
}
