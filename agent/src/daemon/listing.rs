//! The names by which the programs hold requests, and whose they are.
use std::collections::{BTreeSet, HashMap};

use agent_ebpf::NameKind;

use crate::spot::{Names, SpotError};

/// Where the programs look names up.
pub(super) trait Table {
    fn insert(&mut self, name: &str, kind: NameKind) -> Result<(), SpotError>;
    fn remove(&mut self, name: &str) -> Result<(), SpotError>;
}

impl Table for Names {
    fn insert(&mut self, name: &str, kind: NameKind) -> Result<(), SpotError> {
        Self::insert(self, name, kind)
    }

    fn remove(&mut self, name: &str) -> Result<(), SpotError> {
        Self::remove(self, name)
    }
}

/// The names of sealed functions and of their unlocked containers.
pub(super) struct Listing<T = Names> {
    table: T,
    /// Names of unlocked containers, each with its function.
    unlocked: HashMap<String, String>,
    /// Functions whose driver has ended, or that never had one, and of which it is not known yet whether they get one.
    /// They are in the table: a request that came meanwhile would pass, and its key with it.
    left: BTreeSet<String>,
}

impl<T: Table> Listing<T> {
    pub(super) fn new(table: T) -> Self {
        Self {
            table,
            unlocked: HashMap::new(),
            left: BTreeSet::new(),
        }
    }

    /// Whether a name is an unlocked container's.
    pub(super) fn is_unlocked(&self, name: &str) -> bool {
        self.unlocked.contains_key(name)
    }

    /// Whether a function has no driver, and may get one.
    pub(super) fn is_left(&self, name: &str) -> bool {
        self.left.contains(name)
    }

    /// Lists a function with the names of its containers, in place of those it had before.
    ///
    /// # Errors
    /// When a name does not fit, or the table is full: none of the function's names is in it then, but that of one that
    /// has been [held](Self::hold), which stays so.
    pub(super) fn list(&mut self, function: &str, containers: &[String]) -> Result<(), SpotError> {
        let listed = self.try_list(function, containers);
        match listed {
            Ok(()) => {
                self.remove_containers(function, containers);
                self.left.remove(function);
            }
            Err(_) if self.is_left(function) => self.remove_containers(function, &[]),
            Err(_) => self.strike(function),
        }
        listed
    }

    fn try_list(&mut self, function: &str, containers: &[String]) -> Result<(), SpotError> {
        for container in containers {
            self.table.insert(container, NameKind::Unlocked)?;
            self.unlocked.insert(container.clone(), function.to_owned());
        }
        self.table.insert(function, NameKind::Sealed)
    }

    /// A function's driver has ended.
    pub(super) fn leave(&mut self, function: &str) {
        self.left.insert(function.to_owned());
    }

    /// Lists a function that has no driver, and may get one; where it is listed already it stays as it is.
    ///
    /// # Errors
    /// When the kernel's table does not take the name.
    pub(super) fn hold(&mut self, function: &str) -> Result<(), SpotError> {
        if !self.is_left(function) {
            self.list(function, &[])?;
            self.leave(function);
        }
        Ok(())
    }

    /// Strikes those off that have no driver and get none; gives their names. Of some it may not be known yet.
    pub(super) fn settle(&mut self, is_unknown: impl Fn(&str) -> bool) -> BTreeSet<String> {
        let (unknown, gone) = std::mem::take(&mut self.left)
            .into_iter()
            .partition(|function| is_unknown(function));
        self.left = unknown;
        for function in &gone {
            self.strike(function);
        }
        gone
    }

    fn strike(&mut self, function: &str) {
        self.remove_containers(function, &[]);
        self.remove(function);
    }

    /// Removes a function's containers, but for some.
    fn remove_containers(&mut self, function: &str, kept: &[String]) {
        let gone: Vec<String> = self
            .unlocked
            .iter()
            .filter(|(container, owner)| *owner == function && !kept.contains(container))
            .map(|(container, _)| container.clone())
            .collect();
        for container in &gone {
            self.unlocked.remove(container);
            self.remove(container);
        }
    }

    fn remove(&mut self, name: &str) {
        if let Err(error) = self.table.remove(name) {
            tracing::warn!(name, %error, "the table of names");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table with room for so many names.
    struct Few(usize, BTreeSet<String>);

    impl Table for Few {
        fn insert(&mut self, name: &str, _: NameKind) -> Result<(), SpotError> {
            if self.1.len() == self.0 {
                return Err(SpotError::Missing("room"));
            }
            self.1.insert(name.to_owned());
            Ok(())
        }

        fn remove(&mut self, name: &str) -> Result<(), SpotError> {
            self.1.remove(name);
            Ok(())
        }
    }

    fn listing(room: usize) -> Listing<Few> {
        Listing::new(Few(room, BTreeSet::new()))
    }

    fn names(of: &str, count: usize) -> Vec<String> {
        (0..count).map(|slot| format!("{of}-{slot}")).collect()
    }

    fn listed(listing: &Listing<Few>) -> Vec<&str> {
        listing.table.1.iter().map(String::as_str).collect()
    }

    #[test]
    fn a_function_that_is_started_again_is_in_the_table_all_the_while() {
        let mut listing = listing(9);
        listing.list("pydict", &names("pydict", 3)).unwrap();
        listing.leave("pydict");
        assert!(listing.is_left("pydict") && listing.is_unlocked("pydict-2"));
        assert_eq!(listed(&listing).len(), 4);
        listing.list("pydict", &names("pydict", 1)).unwrap();
        assert!(listing.settle(|_| false).is_empty());
        assert_eq!(listed(&listing), ["pydict", "pydict-0"]);
        assert!(listing.is_unlocked("pydict-0") && !listing.is_unlocked("pydict-2"));
    }

    #[test]
    fn a_function_without_record_leaves_the_table() {
        let mut listing = listing(9);
        for function in ["goods", "pydict"] {
            listing.list(function, &names(function, 1)).unwrap();
        }
        listing.leave("pydict");
        assert!(listing.settle(|_| true).is_empty());
        assert!(listing.is_left("pydict"));
        assert_eq!(listing.settle(|_| false), ["pydict".to_owned()].into());
        assert_eq!(listed(&listing), ["goods", "goods-0"]);
        assert!(!listing.is_left("pydict") && !listing.is_unlocked("pydict-0"));
    }

    #[test]
    fn a_function_of_which_nothing_is_known_is_in_the_table_until_something_is() {
        let mut listing = listing(9);
        for _ in 0..2 {
            listing.hold("pydict").unwrap();
            assert!(listing.settle(|_| true).is_empty());
            assert!(listing.is_left("pydict"));
        }
        listing.list("pydict", &names("pydict", 1)).unwrap();
        assert!(!listing.is_left("pydict"));
        listing.leave("pydict");
        listing.hold("pydict").unwrap();
        assert_eq!(listed(&listing), ["pydict", "pydict-0"]);
        assert_eq!(listing.settle(|_| false), ["pydict".to_owned()].into());
        assert!(listed(&listing).is_empty());
    }

    #[test]
    fn of_a_function_for_which_the_table_has_no_room_nothing_stays_in_it() {
        let mut listing = listing(3);
        listing.list("goods", &names("goods", 1)).unwrap();
        assert!(listing.list("pydict", &names("pydict", 2)).is_err());
        assert_eq!(listed(&listing), ["goods", "goods-0"]);
        assert!(!listing.is_unlocked("pydict-0"));
        listing.list("shop", &[]).unwrap();
    }

    #[test]
    fn a_function_that_is_held_stays_so_while_its_containers_find_no_room() {
        let mut listing = listing(2);
        listing.hold("pydict").unwrap();
        for _ in 0..2 {
            assert!(listing.list("pydict", &names("pydict", 2)).is_err());
            assert_eq!(listed(&listing), ["pydict"]);
            assert!(listing.is_left("pydict") && !listing.is_unlocked("pydict-0"));
        }
    }
}
