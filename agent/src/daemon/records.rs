//! What a look into the state folder finds.
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use crate::state::{SealedFunction, StateDir, StateError};

/// The records of one look.
pub(super) struct Records {
    found: BTreeMap<String, SealedFunction>,
    /// Functions whose record is there and could not be read this time: nothing is known of them.
    unread: BTreeSet<String>,
    /// Functions whose record was read, and tells nothing.
    damaged: BTreeSet<String>,
}

impl Records {
    /// Reads them all. Tells of those that cannot be read, unless that `told` of the last look says so already.
    ///
    /// # Errors
    /// When the folder cannot be read to its end: nothing is known of what is not found then.
    pub(super) fn read(state: &StateDir, told: &mut BTreeSet<String>) -> Result<Self, StateError> {
        let mut records = Self {
            found: BTreeMap::new(),
            unread: BTreeSet::new(),
            damaged: BTreeSet::new(),
        };
        let mut failures = BTreeSet::new();
        for record in state.all()? {
            let error = match record {
                Ok(record) => {
                    records.found.insert(record.name.clone(), record);
                    continue;
                }
                Err(error) => error,
            };
            let failure = error.to_string();
            let is_new = !told.contains(&failure);
            match &error {
                StateError::Io { path, .. } => {
                    records.unread.insert(function(path));
                    if is_new {
                        tracing::error!(%error, "a function stays as it is until its record can be read");
                    }
                }
                StateError::Record { path, .. } | StateError::Claimed { path, .. } => {
                    records.damaged.insert(function(path));
                    if is_new {
                        tracing::error!(%error, "a function is not served; its callers are told so");
                    }
                }
            }
            failures.insert(failure);
        }
        *told = failures;
        Ok(records)
    }

    /// Whether a function that is served by this record is still to be.
    pub(super) fn keep(&self, record: &SealedFunction) -> bool {
        self.unread.contains(&record.name) || self.found.get(&record.name) == Some(record)
    }

    /// Whether there is a record of a function, of which nothing is known.
    pub(super) fn is_unknown(&self, name: &str) -> bool {
        self.unread.contains(name) || self.damaged.contains(name)
    }

    /// Functions that there are records of, of which nothing is known.
    pub(super) fn unknown(&self) -> impl Iterator<Item = &str> {
        let unknown = self.unread.union(&self.damaged);
        unknown.map(String::as_str)
    }

    /// Whether every record could be read, or never will be.
    pub(super) fn are_all(&self) -> bool {
        self.unread.is_empty()
    }

    /// Those that were read.
    pub(super) fn found(&self) -> impl Iterator<Item = &SealedFunction> {
        self.found.values()
    }
}

/// Whose record a file is, by its name.
fn function(path: &Path) -> String {
    let name = path.file_stem().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(name: &str) -> SealedFunction {
        let record = serde_json::json!({
            "name": name, "sealed": "/srv/h.sealed", "base_image": "r/p:base", "locked_image": "r/p:locked",
            "handler_dir": "/home/app/function", "park": "python", "upstream_port": 5000, "stack": {},
        });
        serde_json::from_value(record).unwrap()
    }

    #[test]
    fn a_function_whose_record_cannot_be_read_this_time_stays_and_a_damaged_one_goes() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        for name in ["goods", "pydict"] {
            state.register(&function(name)).unwrap();
        }
        std::fs::write(state.functions().join("damaged.json"), "{").unwrap();
        // No file, so that to read it is an error.
        std::fs::create_dir(state.functions().join("unread.json")).unwrap();
        let mut told = BTreeSet::new();
        let records = Records::read(&state, &mut told).unwrap();
        assert!(records.keep(&function("pydict")) && records.keep(&function("unread")));
        assert!(!records.keep(&function("damaged")) && !records.keep(&function("gone")));
        let unknown: Vec<_> = records.unknown().collect();
        assert_eq!(unknown, ["damaged", "unread"]);
        assert!(records.is_unknown("damaged") && !records.is_unknown("gone"));
        assert!(!records.are_all(), "it is to be tried again");
        assert_eq!(told.len(), 2);
        let found: Vec<String> = records.found().map(|it| it.name.clone()).collect();
        assert_eq!(found, ["goods", "pydict"]);
    }

    #[test]
    fn a_damaged_record_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        state.register(&function("pydict")).unwrap();
        std::fs::write(state.functions().join("damaged.json"), "{").unwrap();
        let records = Records::read(&state, &mut BTreeSet::new()).unwrap();
        assert!(records.are_all());
        let changed = SealedFunction {
            upstream_port: 80,
            ..function("pydict")
        };
        assert!(!records.keep(&changed));
    }

    #[test]
    fn a_copy_of_a_record_does_not_take_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        state.register(&function("pydict")).unwrap();
        let copy = state.functions().join("pydict-old.json");
        std::fs::copy(state.functions().join("pydict.json"), copy).unwrap();
        let changed = SealedFunction {
            upstream_port: 80,
            ..function("pydict")
        };
        state.register(&changed).unwrap();
        let mut told = BTreeSet::new();
        let records = Records::read(&state, &mut told).unwrap();
        let found: Vec<_> = records.found().collect();
        assert_eq!(found, [&changed]);
        let told = told.first().unwrap();
        assert!(
            told.contains("pydict-old.json") && told.contains("the name inside is \"pydict\""),
            "{told}"
        );
    }

    #[test]
    fn what_was_told_is_forgotten_once_it_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        let unread = state.functions().join("pydict.json");
        std::fs::create_dir_all(&unread).unwrap();
        let mut told = BTreeSet::new();
        Records::read(&state, &mut told).unwrap();
        assert_eq!(told.len(), 1);
        std::fs::remove_dir(&unread).unwrap();
        assert!(Records::read(&state, &mut told).unwrap().are_all());
        assert!(told.is_empty());
    }
}
