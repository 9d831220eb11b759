//! Debian packages as `xtask/debian.lock` pins them: whoever installs some gets the locked versions as far as apt's
//! sources still have them, and says where they have not.

mod lock;

use std::{fs, path::PathBuf, process::Command};

pub(crate) use lock::{difference, locked, text};

use crate::{
    error::{At as _, Error},
    process, workspace,
};

/// Counts more than what is newer, and less than what is installed (`apt_preferences(5)`).
const PRIORITY: u32 = 900;
/// Of all hosts, one where nothing is installed or preferred.
const NO_HOST: [&str; 3] = [
    "-oDir::State::status=/dev/null",
    "-oDir::Etc::preferences=/dev/null",
    "-oDir::Etc::preferencesparts=/dev/null",
];
/// What every Debian has.
const MINIMAL: [&str; 3] = ["?essential", "?priority(required)", "apt"];

/// Shell that writes to `file` what dpkg's folder `admin` says is installed, as [`tell_recorded`] reads it, from where apt
/// knows its sources.
pub(crate) fn record(admin: &str, file: &str) -> String {
    format!(
        "apt-cache show $(dpkg-query --admindir={admin} --show --showformat='${{Package}}=${{Version}} ') > '{file}'"
    )
}

/// Says how what was recorded differs from what is locked, if it does.
///
/// # Errors
/// As [`difference`].
pub(crate) fn tell_recorded(recorded: &str) -> Result<(), Error> {
    if let Some(difference) = difference(&records(recorded))? {
        println!("testbed: {difference}");
    }
    Ok(())
}

/// A package, as an archive has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) sha256: String,
}

/// A file with the lock as preferences of apt's.
pub(crate) fn preferences() -> Result<PathBuf, Error> {
    let stanzas = locked().into_iter().map(|Package { name, version, .. }| {
        format!("\n\nPackage: {name}\nPin: version {version}\nPin-Priority: {PRIORITY}\n")
    });
    // The host's own come first, and count, since this file takes the place of theirs.
    let own = fs::read_to_string("/etc/apt/preferences").unwrap_or_default();
    let folder = workspace::root().join("target");
    let file = folder.join("debian.preferences");
    fs::create_dir_all(&folder).at(&folder)?;
    fs::write(&file, own + &stanzas.collect::<String>()).at(&file)?;
    Ok(file)
}

/// What apt, with these options, would install for these packages.
pub(crate) fn planned(options: &[&str], packages: &[&str]) -> Result<Vec<Package>, Error> {
    let simulated = process::output(
        Command::new("apt-get")
            .args([
                "install",
                "--simulate",
                "--no-install-recommends",
                "--no-remove",
            ])
            .args(options)
            .args(packages),
    )?;
    let mut chosen = chosen(&simulated).peekable();
    if chosen.peek().is_none() {
        return Ok(Vec::new());
    }
    let mut show = Command::new("apt-cache");
    process::output(show.arg("show").args(options).args(chosen)).map(|shown| records(&shown))
}

/// `NAME=VERSION` of what `apt-get --simulate` would install.
fn chosen(simulated: &str) -> impl Iterator<Item = String> {
    simulated.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("Inst ")?.split_once(' ')?;
        // Of a further architecture, which has files of its own.
        if name.contains(':') {
            return None;
        }
        let (version, _) = rest.split_once('(')?.1.split_once(' ')?;
        Some(format!("{name}={version}"))
    })
}

/// The packages that `apt-cache show` tells.
fn records(shown: &str) -> Vec<Package> {
    let record = |text: &str| {
        let field = |name: &str| {
            let mut values = text.lines().filter_map(|line| line.strip_prefix(name));
            values.next().map(str::to_owned)
        };
        Some(Package {
            name: field("Package: ")?,
            version: field("Version: ")?,
            sha256: field("SHA256: ")?,
        })
    };
    shown.split("\n\n").filter_map(record).collect()
}

/// Writes the lock anew, by what apt's sources have now of these packages and all that they need.
pub(crate) fn renew(packages: &[&str]) -> Result<(), Error> {
    process::run(Command::new("apt-get").args(["update", "-qq"]))?;
    let found = planned(&NO_HOST, &[&MINIMAL, packages].concat())?;
    let file = workspace::root().join("xtask/debian.lock");
    fs::write(&file, lock::write(&found)).at(&file)?;
    println!("{} packages in {}", found.len(), file.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_and_upgraded_packages_are_chosen() {
        let simulated = "Inst gcc-12-base (12.2.0-14 Debian:12.15/oldstable [amd64])\n\
             Inst curl [7.88.1-1] (7.88.1-2 Debian:12.15/oldstable [amd64]) []\n\
             Inst libc6:i386 (2.36-9 Debian:12.15/oldstable [i386])\n\
             Conf curl (7.88.1-2 Debian:12.15/oldstable [amd64])\n";
        let chosen: Vec<_> = chosen(simulated).collect();
        assert_eq!(chosen, ["gcc-12-base=12.2.0-14", "curl=7.88.1-2"]);
    }

    #[test]
    fn records_without_a_file_are_left_out() {
        let shown =
            "Package: a\nVersion: 1\nDescription: x\n y\nSHA256: 00\n\nPackage: b\nVersion: 2\n\n";
        let records = records(shown);
        assert_eq!((records.len(), records[0].name.as_str()), (1, "a"));
    }

    #[test]
    fn a_preference_is_written_for_each_locked_package() {
        let text = fs::read_to_string(preferences().unwrap()).unwrap();
        for Package { name, version, .. } in locked() {
            let stanza =
                format!("\n\nPackage: {name}\nPin: version {version}\nPin-Priority: 900\n");
            assert!(text.contains(&stanza), "{name}");
        }
    }
}
