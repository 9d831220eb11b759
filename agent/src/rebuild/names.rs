//! Names of unlocked containers: `NAME-SUFFIX-SLOT`. The suffix is random, made once per host, so
//! that nobody outside guesses them; slots are few and used again, so that the gateway's metrics
//! by function stay bounded.
use std::{collections::VecDeque, io, path::Path};

use super::RebuildError;
use crate::state::StateDir;

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
        std::fs::write(path, &suffix)?;
        Ok(Self { suffix })
    }

    /// How many slots a function has: those on standby, one that serves, and two whose removal the
    /// provider may not have finished.
    #[must_use]
    pub const fn slots(standby: usize) -> usize {
        standby + 3
    }

    /// The name of a function's container in a slot.
    #[must_use]
    pub fn of(&self, function: &str, slot: usize) -> String {
        format!("{function}-{}-{slot}", self.suffix)
    }
}

/// A container's place and its name.
pub(super) struct Slot {
    number: usize,
    pub(super) name: String,
}

/// The free slots of one function, the one that has been free for longest first: some providers finish
/// a removal after they have answered.
pub(super) struct Slots {
    names: UnlockedNames,
    function: String,
    free: VecDeque<usize>,
}

impl Slots {
    pub(super) fn new(names: UnlockedNames, function: &str, standby: usize) -> Self {
        Self {
            names,
            function: function.to_owned(),
            free: (0..UnlockedNames::slots(standby)).collect(),
        }
    }

    pub(super) fn take(&mut self) -> Result<Slot, RebuildError> {
        let number = self.free.pop_front().ok_or(RebuildError::NoSlot)?;
        let name = self.names.of(&self.function, number);
        Ok(Slot { number, name })
    }

    pub(super) fn give_back(&mut self, slot: Slot) {
        self.free.push_back(slot.number);
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

    #[test]
    fn slots_are_used_again_the_longest_free_one_first() {
        let folder = tempfile::tempdir().unwrap();
        let names = UnlockedNames::of_host(&StateDir::new(folder.path())).unwrap();
        let mut slots = Slots::new(names.clone(), "pydict", 0);
        let first = slots.take().unwrap();
        assert_eq!(first.name, names.of("pydict", 0));
        slots.give_back(first);
        for number in [1, 2, 0] {
            assert_eq!(slots.take().unwrap().name, names.of("pydict", number));
        }
        assert!(matches!(slots.take(), Err(RebuildError::NoSlot)));
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
