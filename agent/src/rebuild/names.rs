//! Names of unlocked containers: `NAME-SUFFIX-SLOT`. The suffix is random, made once per host, so
//! that nobody outside guesses them; slots are few and used again, so that the gateway's metrics
//! by function stay bounded.
use std::{
    collections::VecDeque,
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{RebuildError, mount::ParkToken};
use crate::{replace, state::StateDir};

/// Letters and digits of a suffix: with the longest function name and a slot they make a DNS label.
const SUFFIX_LEN: usize = 9;
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// So many of these are letters; they come first.
const LETTERS: usize = 24;

/// The names of this host's unlocked containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnlockedNames {
    suffix: String,
}

impl UnlockedNames {
    /// The suffix of the state folder, made where there is none.
    ///
    /// # Errors
    /// When the folder cannot be read or written.
    pub fn of_host(state: &StateDir) -> io::Result<Self> {
        let path = state.root().join("suffix");
        match std::fs::read_to_string(&path) {
            Ok(text) if is_suffix(text.trim()) => Ok(Self {
                suffix: text.trim().to_owned(),
            }),
            Ok(_) => Err(io::Error::other(format!(
                "{} does not hold {SUFFIX_LEN} lower-case letters and digits; remove it",
                path.display()
            ))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::make(&path),
            Err(error) => Err(error),
        }
    }

    fn make(path: &Path) -> io::Result<Self> {
        let mut bytes = [0; SUFFIX_LEN];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let suffix = suffix(bytes);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        // Half a suffix would keep the agent from starting again.
        replace::replace(path, suffix.as_bytes())?;
        Ok(Self { suffix })
    }

    /// How many slots a function has: those on standby, those that serve, and two whose removal the
    /// provider may not have finished.
    #[must_use]
    pub const fn slots(standby: usize, serving: usize) -> usize {
        standby + serving + 2
    }

    /// What all of them have in common.
    #[must_use]
    pub fn suffix(&self) -> &str {
        &self.suffix
    }

    /// The name of a function's container in a slot.
    #[must_use]
    pub fn of(&self, function: &str, slot: usize) -> String {
        format!("{function}-{}-{slot}", self.suffix)
    }

    /// Whether a container's name is of this host.
    pub(super) fn is_own(&self, name: &str) -> bool {
        name.rsplit_once('-')
            .filter(|(_, slot)| slot.parse::<usize>().is_ok())
            .and_then(|(rest, _)| rest.strip_suffix(self.suffix.as_str()))
            .is_some_and(|function| function.ends_with('-'))
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
    free: Mutex<VecDeque<usize>>,
    permits: Arc<Semaphore>,
}

impl Slots {
    pub(super) fn new(names: UnlockedNames, function: &str, count: usize) -> Arc<Self> {
        Arc::new(Self {
            names,
            function: function.to_owned(),
            free: Mutex::new((0..count).collect()),
            permits: Arc::new(Semaphore::new(count)),
        })
    }

    /// The suffix of the host's names.
    pub(super) fn suffix(&self) -> &str {
        self.names.suffix()
    }

    /// A token for a container of the function's.
    pub(super) fn token(&self) -> Result<ParkToken, getrandom::Error> {
        ParkToken::generate(self.names.suffix())
    }

    /// Waits for a free slot, in turn.
    pub(super) async fn take(self: &Arc<Self>) -> Result<Slot, RebuildError> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| RebuildError::BrokenOff)?;
        let number = self.free().pop_front().ok_or(RebuildError::BrokenOff)?;
        Ok(Slot {
            number,
            name: self.names.of(&self.function, number),
            slots: Arc::clone(self),
            _permit: permit,
        })
    }

    fn free(&self) -> std::sync::MutexGuard<'_, VecDeque<usize>> {
        // Numbers are whole even if a holder of the lock panicked.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A suffix that begins with a letter: faasd finds a container's address by the beginning `NAME-PID` of
/// what it noted, and must not take `pydict-47abcd-0-815` for the locked function's process 47.
fn suffix(bytes: [u8; SUFFIX_LEN]) -> String {
    let among = |letters: &[u8], byte: u8| char::from(letters[usize::from(byte) % letters.len()]);
    let [first, rest @ ..] = bytes;
    std::iter::once(among(&ALPHABET[..LETTERS], first))
        .chain(rest.map(|byte| among(ALPHABET, byte)))
        .collect()
}

fn is_suffix(text: &str) -> bool {
    text.len() == SUFFIX_LEN
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_keeps_its_suffix() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        let names = UnlockedNames::of_host(&state).unwrap();
        assert_eq!(UnlockedNames::of_host(&state).unwrap(), names);
        assert!(names.of("pydict", 2).starts_with("pydict-"));
        assert!(names.of("pydict", 2).ends_with("-2"));
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
            let suffix = suffix([byte; SUFFIX_LEN]);
            assert!(is_suffix(&suffix), "{suffix}");
            assert!(
                suffix.starts_with(|first: char| first.is_ascii_lowercase()),
                "{suffix}"
            );
        }
    }

    #[test]
    fn a_damaged_suffix_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("suffix"), "../../x").unwrap();
        let error = UnlockedNames::of_host(&StateDir::new(folder.path())).unwrap_err();
        assert!(error.to_string().contains("suffix"));
    }
}
