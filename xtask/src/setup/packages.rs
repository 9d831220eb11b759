//! Debian packages: which are missing, and installing them.

use std::{fs, process::Command};

use nix::unistd::Uid;

use super::{boot::Absent, services::NotStarted};
use crate::{
    debian,
    error::Error,
    process::{self, find},
};

/// Those of the packages that are not installed. Where there is no dpkg, all of them.
pub(super) fn missing(lists: &[&[&'static str]]) -> Vec<&'static str> {
    lists
        .concat()
        .into_iter()
        .filter(|package| !installed(package))
        .collect()
}

fn installed(package: &str) -> bool {
    process::output(Command::new("dpkg-query").args(["-W", "-f=${db:Status-Status}", package]))
        .is_ok_and(|status| status == "installed")
}

/// Refuses where packages cannot be installed.
pub(super) fn check_rights() -> Result<(), Error> {
    if find("apt-get").is_none() {
        return Err(Error::Needs(
            "there is no apt-get: this command knows Debian alone; `cargo xtask setup --dry-run` \
             lists what to install by the means of this system"
                .into(),
        ));
    }
    if !Uid::effective().is_root() {
        return Err(Error::Needs(
            "packages can only be installed by root: run `cargo xtask setup` as root, or see \
             `cargo xtask setup --dry-run` for what to install"
                .into(),
        ));
    }
    Ok(())
}

/// Installs packages, and removes none for them. The services among them are started neither now nor with the host.
pub(super) fn install(packages: &[&str]) -> Result<(), Error> {
    let _not_started = NotStarted::new()?;
    process::run(apt().args(["update", "-qq"]))?;
    let preferences = format!(
        "-oDir::Etc::preferences={}",
        debian::preferences()?.display()
    );
    let locked = [preferences.as_str()];
    let (options, planned): (&[&str], _) = match debian::planned(&locked, packages) {
        Ok(planned) => (&locked, planned),
        Err(error) => {
            let planned =
                debian::planned(&[], packages).map_err(|error| not_possible(packages, error))?;
            println!("set-up: what is installed does not go with xtask/debian.lock: {error}");
            (&[], planned)
        }
    };
    if let Some(difference) = debian::difference(&planned)? {
        println!("set-up: {difference}");
    }
    let absent = Absent::look(installed);
    let done = process::run(
        apt()
            .args([
                "install",
                "-qq",
                "-y",
                "--no-remove",
                "--no-install-recommends",
            ])
            .args(options)
            .args(packages),
    )
    .map_err(|error| not_possible(packages, error));
    // Where it has failed some are there all the same.
    absent.disable(installed);
    done
}

fn not_possible(packages: &[&str], error: Error) -> Error {
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    Error::Needs(format!(
        "{error}; {}. Where packages would have to be removed for these, none is: `apt-get install --dry-run {}` \
         shows which",
        advice(&system),
        packages.join(" ")
    ))
}

/// What to do about packages that apt cannot install, by the text of `os-release(5)`. Another release with Debian 12's
/// archive among its sources would be a mixture of both.
fn advice(system: &str) -> &'static str {
    let says = |line: &str| system.lines().any(|it| it.replace('"', "") == line);
    if says("ID=debian") && says("VERSION_CODENAME=bookworm") {
        "a package that apt cannot locate is in Debian 12's security archive, which its own installer puts among apt's \
         sources: deb http://security.debian.org/debian-security bookworm-security main"
    } else {
        "this is not Debian 12, whose packages these are: build there (`cargo xtask build --release`), and copy the binary \
         target/release/rsfaas"
    }
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["-o", "Dpkg::Use-Pty=0"]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_system_than_debian_12_is_not_given_its_archive() {
        for debian_12 in [
            "ID=debian\nVERSION_CODENAME=bookworm\n",
            "VERSION_CODENAME=\"bookworm\"\nID=\"debian\"\n",
        ] {
            assert!(advice(debian_12).contains("bookworm-security"));
        }
        for other in [
            "ID=debian\nVERSION_CODENAME=trixie\n",
            "ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n",
            "ID=raspbian\nVERSION_CODENAME=bookworm\n",
            "",
        ] {
            let advice = advice(other);
            assert!(advice.contains("not Debian 12") && advice.contains("copy the binary"));
            assert!(!advice.contains("bookworm"), "{advice}");
        }
    }
}
