//! Go, which builds the testbed's programs and which no command of ours installs.

use std::{path::PathBuf, process::Command};

use crate::{
    error::Error,
    process::{self, find},
};

/// The oldest that will do, as in the `go.mod` files below `tests/openfaas`.
const OLDEST: (u32, u32) = (1, 22);

/// Finds it.
///
/// # Errors
/// When there is none, or one that is too old.
pub(crate) fn find_go() -> Result<PathBuf, Error> {
    let Some(go) = find("go") else {
        return Err(needs("there is none"));
    };
    let version = process::output(Command::new(&go).arg("version"))?;
    check(&version)?;
    Ok(go)
}

/// Whether what `go version` prints is new enough. What has no number is not a release, and taken for new.
fn check(version: &str) -> Result<(), Error> {
    let number = version.split_whitespace().find_map(|word| {
        let mut parts = word
            .strip_prefix("go")?
            .split(|c: char| !c.is_ascii_digit());
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    });
    match number {
        Some(number) if number < OLDEST => {
            Err(needs(&format!("there is {}.{}", number.0, number.1)))
        }
        _ => Ok(()),
    }
}

fn needs(found: &str) -> Error {
    let (major, minor) = OLDEST;
    Error::Needs(format!(
        "the testbed needs Go {major}.{minor} or later on the search path or in /usr/local/go, and {found}; \
         `cargo xtask setup` leaves it to you: https://go.dev/doc/install, or golang-go of Debian's \
         bookworm-backports"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_go_that_is_too_old_is_refused_with_what_is_needed_and_where_it_is_had() {
        let error = check("go version go1.19.8 linux/amd64\n").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("needs Go 1.22 or later"), "{text}");
        assert!(text.contains("there is 1.19"), "{text}");
        assert!(text.contains("https://go.dev/doc/install"), "{text}");
    }

    #[test]
    fn a_go_that_is_new_enough_will_do_whatever_its_version_looks_like() {
        for version in [
            "go version go1.22 linux/amd64",
            "go version go1.26.8 linux/amd64",
            "go version go1.23rc1 linux/amd64",
            "go version devel go1.27-0123abc Mon linux/amd64",
            "go version devel +0123abc Mon linux/amd64",
        ] {
            check(version).unwrap();
        }
    }
}
