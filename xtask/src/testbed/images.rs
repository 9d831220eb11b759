//! The images that functions are built from: a base for each language, made of Debian packages since
//! none can be pulled everywhere, and one that holds the watchdog alone.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    http,
    language::{GOLANG, NODE},
    layout::{Layout, PREFIX, REGISTRY},
    python,
};
use crate::{
    error::{At as _, Error},
    process,
    setup::docker,
};

const LABEL: &str = "com.rsfaas.testbed.sources";

/// An image of the testbed.
struct Image {
    /// Repository below the testbed's prefix, and tag.
    name: &'static str,
    tag: &'static str,
    /// Stands for everything that it is made of.
    fingerprint: String,
    /// Whether it has to be in the registry too.
    pushed: bool,
}

/// Makes sure that all are in the engine, and in the registry where providers pull them.
pub(super) fn ensure(layout: &Layout) -> Result<(), Error> {
    let recipe = python::Recipe::read();
    let python = Image {
        name: "python",
        tag: "3",
        fingerprint: recipe.fingerprint(),
        pushed: true,
    };
    python.ensure(|| python.import(&recipe.archive(layout)?, &python::SETTINGS))?;

    for language in [&NODE, &GOLANG] {
        let image = Image {
            name: language.name,
            tag: language.tag,
            fingerprint: language.fingerprint(&recipe),
            pushed: language.runs,
        };
        let label = (LABEL, image.fingerprint.as_str());
        image.ensure(|| language.make(layout, &python.reference(), &image.reference(), label))?;
    }

    let watchdog = layout.bin().join("fwatchdog");
    let image = Image {
        name: "watchdog",
        tag: "1",
        fingerprint: super::tools::fingerprint_of(&watchdog)?,
        pushed: true,
    };
    image.ensure(|| {
        image.import(
            &archive_of(layout, &watchdog)?,
            &[r#"ENTRYPOINT ["/fwatchdog"]"#],
        )
    })
}

impl Image {
    fn reference(&self) -> String {
        format!("{PREFIX}/{}:{}", self.name, self.tag)
    }

    /// Makes it where it is missing or old.
    fn ensure(&self, make: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        let reference = self.reference();
        let fresh = self.is_imported();
        if !fresh {
            println!("testbed: image {reference} is made");
            make()?;
        }
        if fresh && (!self.pushed || self.is_pushed()) {
            println!("testbed: image {reference} is there");
        } else if self.pushed {
            process::output(docker().args(["push", "--quiet", &reference]))?;
        }
        Ok(())
    }

    /// Makes it of an archive and settings, as Dockerfile lines.
    fn import(&self, archive: &Path, settings: &[&str]) -> Result<(), Error> {
        let mut command = docker();
        command.args([
            "import",
            "--change",
            &format!("LABEL {LABEL}={}", self.fingerprint),
        ]);
        for setting in settings {
            command.args(["--change", setting]);
        }
        process::output(command.arg(archive).arg(self.reference())).map(drop)
    }

    fn is_imported(&self) -> bool {
        let format = format!("{{{{index .Config.Labels \"{LABEL}\"}}}}");
        process::output(docker().args(["image", "inspect", "--format", &format, &self.reference()]))
            .is_ok_and(|label| label.trim() == self.fingerprint)
    }

    fn is_pushed(&self) -> bool {
        let repository = PREFIX.strip_prefix(REGISTRY).unwrap_or(PREFIX);
        let path = format!("/v2{repository}/{}/manifests/{}", self.name, self.tag);
        http::status_accepting(
            REGISTRY,
            &path,
            "application/vnd.docker.distribution.manifest.v2+json",
        )
        .is_ok_and(|status| status == 200)
    }
}

/// An archive with one program in it.
fn archive_of(layout: &Layout, file: &Path) -> Result<PathBuf, Error> {
    let folder = layout.cache();
    fs::create_dir_all(&folder).at(&folder)?;
    let archive = folder.join("watchdog.tar");
    let (Some(parent), Some(name)) = (file.parent(), file.file_name()) else {
        return Err(Error::Needs(format!("{} is no file", file.display())));
    };
    process::output(
        Command::new(process::installed("tar")?)
            .arg("--create")
            .arg("--file")
            .arg(&archive)
            .arg("--directory")
            .arg(parent)
            .args(["--owner=0", "--group=0", "--mode=0755"])
            .arg(name),
    )?;
    Ok(archive)
}
