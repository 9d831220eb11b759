//! Keeps services of new packages from starting with the host: the testbed starts its own, with its own settings,
//! and needs their ports.

use std::process::Command;

use crate::process::{self, find};

/// What Debian would start at every boot, by the package that brings it.
const ENABLED: [(&str, &[&str]); 5] = [
    ("containerd", &["containerd.service"]),
    ("docker-registry", &["docker-registry.service"]),
    ("docker.io", &["docker.service", "docker.socket"]),
    ("nginx-common", &["nginx.service"]),
    ("prometheus", &["prometheus.service"]),
];

/// Packages with services that are not there yet: theirs are nobody's but ours once they are.
pub(super) struct Absent(Vec<(&'static str, &'static [&'static str])>);

impl Absent {
    /// Looks.
    pub(super) fn look(installed: impl Fn(&str) -> bool) -> Self {
        let absent = ENABLED.into_iter();
        Self(absent.filter(|(package, _)| !installed(package)).collect())
    }

    /// The services of those that have been installed since.
    fn brought(&self, installed: impl Fn(&str) -> bool) -> Vec<&'static str> {
        let new = self.0.iter().filter(|(package, _)| installed(package));
        new.flat_map(|(_, units)| *units).copied().collect()
    }

    /// Keeps these from being started at the next boot, and says so; where that fails, what is installed will do all the
    /// same.
    pub(super) fn disable(&self, installed: impl Fn(&str) -> bool) {
        let units = self.brought(installed);
        if units.is_empty() {
            return;
        }
        let names = units.join(" ");
        if find("systemctl").is_none() {
            println!("set-up: no systemctl: nothing is done about the start of {names} at boot");
            return;
        }
        match process::output(Command::new("systemctl").arg("disable").args(&units)) {
            Ok(_) => println!(
                "set-up: new here and not started at boot, since the testbed starts its own: {names}; \
                 `systemctl enable` changes that"
            ),
            Err(error) => println!("set-up: {names} will start at boot: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_services_of_packages_that_are_new_are_kept_from_starting_at_boot() {
        let before = Absent::look(|package| package == "nginx-common");
        let after = |package: &str| ["nginx-common", "docker.io"].contains(&package);
        assert_eq!(before.brought(after), ["docker.service", "docker.socket"]);
    }
}
