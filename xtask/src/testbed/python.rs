//! The Python base: a minimal Debian with Python and pip, from the packages that this host may
//! install, made to reach the package index in the way that this host does.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use sha2::{Digest as _, Sha256};

use super::layout::Layout;
use crate::{
    debian,
    error::{At as _, Error},
    process,
};

const SUITE: &str = "bookworm";
pub(super) const PACKAGES: [&str; 3] = ["ca-certificates", "python3", "python3-pip"];
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The image's settings, as Dockerfile lines.
pub(super) const SETTINGS: [&str; 5] = [
    "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "ENV LANG=C.UTF-8",
    "ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt",
    "ENV PIP_ROOT_USER_ACTION=ignore",
    r#"CMD ["python3"]"#,
];

/// Where the base and what is built on it have the versions that are locked.
const PREFERENCES: &str = "/etc/apt/preferences.d/locked";
/// Run by mmdebstrap with the new root as `$1`. The base stands for the official Python image, in
/// which pip installs without a virtual environment and `python` is there.
const HOOKS: [&str; 3] = [
    r#"rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED"#,
    r#"ln -sf python3 "$1"/usr/bin/python && ln -sf pip3 "$1"/usr/bin/pip"#,
    r#"rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*"#,
];

/// Settings of apt that say how this host reaches its packages.
const APT_SETTINGS: [&str; 5] = [
    "Acquire::http::Proxy ",
    "Acquire::https::Proxy ",
    "Acquire::https::CaInfo ",
    "Acquire::Check-Valid-Until ",
    "Acquire::Check-Date ",
];

/// Everything that goes into the base.
pub(super) struct Recipe {
    /// `/etc/pip.conf` of the base.
    pip: String,
    /// Settings of apt.
    apt: Vec<String>,
    /// The host's list of package sources, where it is for the same suite.
    sources: Option<PathBuf>,
    /// The host's certificates.
    bundle: Vec<u8>,
}

impl Recipe {
    /// Reads what the host contributes; where it has nothing, the defaults do.
    pub(super) fn read() -> Self {
        let pip = process::output(Command::new("pip").args(["config", "list"])).unwrap_or_default();
        let apt = process::output(Command::new("apt-config").arg("dump")).unwrap_or_default();
        Self {
            pip: pip_config(&pip, |name| env::var(name).ok()),
            apt: apt_settings(&apt),
            sources: [
                "/etc/apt/sources.list.d/debian.sources",
                "/etc/apt/sources.list",
            ]
            .map(PathBuf::from)
            .into_iter()
            .find(|path| fs::read_to_string(path).is_ok_and(|text| text.contains(SUITE))),
            bundle: fs::read(BUNDLE).unwrap_or_default(),
        }
    }

    /// Stands for all of it.
    pub(super) fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for part in [SUITE, debian::text(), &self.pip]
            .iter()
            .chain(&PACKAGES)
            .chain(&HOOKS)
            .chain(&SETTINGS)
        {
            hash.update(part);
            hash.update([0]);
        }
        hash.update(&self.bundle);
        hash.finalize()
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// The base as an archive, made unless the cache has it.
    pub(super) fn archive(&self, layout: &Layout) -> Result<PathBuf, Error> {
        let folder = layout.cache();
        let archive = folder.join(format!("python-{}.tar", self.fingerprint()));
        if archive.is_file() {
            return Ok(archive);
        }
        println!("testbed: the Python base is put together from Debian packages (half a minute)");
        fs::create_dir_all(&folder).at(&folder)?;
        let pip = folder.join("pip.conf");
        fs::write(&pip, &self.pip).at(&pip)?;
        let unfinished = folder.join("unfinished.tar");
        let records = folder.join("packages");
        process::output(&mut self.mmdebstrap(&pip, &records, &unfinished)?)?;
        debian::tell_recorded(&fs::read_to_string(&records).at(&records)?)?;
        fs::rename(&unfinished, &archive).at(&archive)?;
        Ok(archive)
    }

    fn mmdebstrap(&self, pip: &Path, records: &Path, archive: &Path) -> Result<Command, Error> {
        let mut command = Command::new(process::installed("mmdebstrap")?);
        command.args([
            "--variant=minbase",
            "--quiet",
            &format!("--include={}", PACKAGES.join(",")),
        ]);
        command.arg("--dpkgopt=path-exclude=/usr/share/doc/*");
        let preferences = debian::preferences()?;
        command.arg(format!(
            "--setup-hook=upload '{}' {PREFERENCES}",
            preferences.display()
        ));
        // While apt knows its sources.
        command.arg(format!(
            "--customize-hook=APT_CONFIG=\"$MMDEBSTRAP_APT_CONFIG\" {}",
            debian::record(r#""$1"/var/lib/dpkg"#, &records.display().to_string())
        ));
        for setting in &self.apt {
            command.arg(format!("--aptopt={setting}"));
        }
        command.arg(format!(
            "--customize-hook=upload '{}' /etc/pip.conf",
            pip.display()
        ));
        if !self.bundle.is_empty() {
            command.arg(format!("--customize-hook=upload {BUNDLE} {BUNDLE}"));
        }
        for hook in HOOKS {
            command.arg(format!("--customize-hook={hook}"));
        }
        command.arg(SUITE).arg(archive);
        if let Some(sources) = &self.sources {
            command.arg(sources);
        }
        Ok(command)
    }
}

/// `/etc/pip.conf` for the base, from what `pip config list` prints on the host, and the environment
/// where there is no pip. Only what says how to reach the index: paths of the host mean nothing in a
/// container.
fn pip_config(list: &str, variable: impl Fn(&str) -> Option<String>) -> String {
    let mut config = String::from("[global]\n");
    for (name, environment) in [
        ("index-url", "PIP_INDEX_URL"),
        ("extra-index-url", "PIP_EXTRA_INDEX_URL"),
        ("trusted-host", "PIP_TRUSTED_HOST"),
        ("proxy", "PIP_PROXY"),
        ("timeout", "PIP_TIMEOUT"),
    ] {
        let listed = list.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.rsplit('.').next() == Some(name)).then(|| value.trim_matches('\'').to_owned())
        });
        if let Some(value) = variable(environment).or(listed) {
            config.push_str(&format!("{name} = {value}\n"));
        }
    }
    config
}

/// The lines of `apt-config dump` that say how packages are reached.
fn apt_settings(dump: &str) -> Vec<String> {
    dump.lines()
        .filter(|line| APT_SETTINGS.iter().any(|name| line.starts_with(name)))
        .filter(|line| !line.contains("\"\""))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_reaches_the_index_as_the_host_does() {
        let list = "global.cert='/etc/mine.crt'\nglobal.index-url='https://index.example/simple'\n\
            :env:.find-links='/opt/wheels'\n";
        assert_eq!(
            pip_config(list, |_| None),
            "[global]\nindex-url = https://index.example/simple\n"
        );
    }

    #[test]
    fn the_environment_counts_before_the_files() {
        let list = "global.index-url='https://file.example/'\n";
        let config = pip_config(list, |name| {
            (name == "PIP_INDEX_URL").then(|| "https://env.example/".into())
        });
        assert_eq!(config, "[global]\nindex-url = https://env.example/\n");
    }

    #[test]
    fn only_settings_about_reaching_packages_are_passed_on() {
        let dump = "Acquire::Check-Date \"false\";\nAcquire::http::Proxy \"\";\n\
            DPkg::Post-Invoke \"\";\nAcquire::https::Proxy \"http://proxy.example:3128\";\n";
        assert_eq!(
            apt_settings(dump),
            [
                "Acquire::Check-Date \"false\";",
                "Acquire::https::Proxy \"http://proxy.example:3128\";"
            ]
        );
    }
}
