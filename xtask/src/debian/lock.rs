//! The lock file, and how what apt offers differs from it.

use std::collections::BTreeMap;

use super::Package;
use crate::error::Error;

/// A package a line, behind comments.
const LOCK: &str = include_str!("../../debian.lock");
const HEADER: &str = "\
# Packages of Debian 12 that set-up, testbed and tests install, and all that these need: name, version, SHA-256.
# Written by `cargo xtask lock-packages`.
";
/// How many packages are named that differ.
const NAMED: usize = 5;

/// What is locked.
pub(crate) fn locked() -> Vec<Package> {
    parse(LOCK)
}

/// Stands for all of it.
pub(crate) const fn text() -> &'static str {
    LOCK
}

pub(super) fn write(packages: &[Package]) -> String {
    let mut sorted = packages.to_vec();
    sorted.sort();
    sorted.dedup();
    let lines = sorted.iter().map(|package| {
        let Package {
            name,
            version,
            sha256,
        } = package;
        format!("{name} {version} {sha256}\n")
    });
    HEADER.to_owned() + &lines.collect::<String>()
}

fn parse(text: &str) -> Vec<Package> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let packages = lines.filter_map(|line| {
        let mut words = line.split(' ').map(str::to_owned);
        Some(Package {
            name: words.next()?,
            version: words.next()?,
            sha256: words.next()?,
        })
    });
    packages.collect()
}

/// How these packages differ from what is locked, for people.
///
/// # Errors
/// When one of them is another file than the locked one, by the same version.
pub(crate) fn difference(packages: &[Package]) -> Result<Option<String>, Error> {
    between(&locked(), packages)
}

fn between(locked: &[Package], packages: &[Package]) -> Result<Option<String>, Error> {
    let locked: BTreeMap<_, _> = locked.iter().map(|it| (it.name.as_str(), it)).collect();
    let mut others = Vec::new();
    for Package {
        name,
        version,
        sha256,
    } in packages
    {
        match locked.get(name.as_str()) {
            Some(known) if known.version == *version => {
                if known.sha256 != *sha256 {
                    return Err(Error::Needs(format!(
                        "apt's sources have another file as {name} {version} than xtask/debian.lock: its SHA-256 \
                         would be {sha256}, not {}; it is not installed",
                        known.sha256
                    )));
                }
            }
            Some(known) => others.push(format!("{name} {version} ({})", known.version)),
            None => others.push(format!("{name} {version} (none)")),
        }
    }
    if others.is_empty() {
        return Ok(None);
    }
    let more = match others.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    Ok(Some(format!(
        "{} of {} packages are not those of xtask/debian.lock, but what apt's sources have and sign: {}{more}",
        others.len(),
        packages.len(),
        others[..others.len().min(NAMED)].join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, sha256: &str) -> Package {
        Package {
            name: name.into(),
            version: version.into(),
            sha256: sha256.into(),
        }
    }

    #[test]
    fn a_lock_file_is_read_as_it_was_written() {
        let packages = [package("a", "1:2~3+b1", "00"), package("b", "1", "ff")];
        assert_eq!(parse(&write(&packages)), packages);
        assert_eq!(write(&locked()), LOCK);
    }

    #[test]
    fn what_the_archive_no_longer_has_is_told_and_another_file_refused() {
        let locked = [package("a", "1", "00"), package("b", "1", "ff")];
        assert_eq!(between(&locked, &locked[..1]).unwrap(), None);
        let newer = [
            locked[0].clone(),
            package("b", "2", "aa"),
            package("c", "3", "cc"),
        ];
        let told = between(&locked, &newer).unwrap().unwrap();
        assert!(told.starts_with("2 of 3 packages"), "{told}");
        assert!(told.ends_with(": b 2 (1), c 3 (none)"), "{told}");
        let error = between(&locked, &[package("b", "1", "00")]).unwrap_err();
        assert!(error.to_string().contains("another file as b 1"), "{error}");
    }

    #[test]
    fn of_many_that_differ_some_are_named() {
        let many: Vec<_> = (0..7)
            .map(|it| package(&format!("p{it}"), "1", "00"))
            .collect();
        let told = between(&[], &many).unwrap().unwrap();
        assert!(told.ends_with("p4 1 (none), and 2 more"), "{told}");
    }
}
