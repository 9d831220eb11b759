//! The images that functions are built from: a base for each language, made of Debian packages since
//! none can be pulled everywhere, and one that holds the watchdog alone.

use std::{
    fs,
    panic::resume_unwind,
    path::{Path, PathBuf},
    process::Command,
    thread,
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

/// Makes sure that all are in the engine, and in the registry where providers pull them. While one is compressed for the
/// registry the next is made.
pub(super) fn ensure(layout: &Layout) -> Result<(), Error> {
    thread::scope(|scope| {
        let mut pushes = Vec::new();
        ensure_each(layout, |image| {
            pushes.push(scope.spawn(move || image.push()));
        })?;
        for push in pushes {
            push.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        }
        Ok(())
    })
}

/// Makes each that is missing or old; `push` is given those that are not in the registry.
fn ensure_each(layout: &Layout, mut push: impl FnMut(Image)) -> Result<(), Error> {
    let recipe = python::Recipe::read();
    let python = Image {
        name: "python",
        tag: "3",
        fingerprint: recipe.fingerprint(),
        pushed: true,
    };
    let base = python.reference();
    let make = || python.import(&recipe.archive(layout)?, &python::SETTINGS);
    if python.ensure(make)? {
        push(python);
    }

    for language in [&NODE, &GOLANG] {
        let image = Image {
            name: language.name,
            tag: language.tag,
            fingerprint: language.fingerprint(&recipe),
            pushed: language.runs,
        };
        let label = (LABEL, image.fingerprint.as_str());
        let make = || language.make(layout, &base, &image.reference(), label);
        if image.ensure(make)? {
            push(image);
        }
    }

    let watchdog = layout.bin().join("fwatchdog");
    let image = Image {
        name: "watchdog",
        tag: "1",
        fingerprint: super::tools::fingerprint_of(&watchdog)?,
        pushed: true,
    };
    let settings = [r#"ENTRYPOINT ["/fwatchdog"]"#];
    if image.ensure(|| image.import(&archive_of(layout, &watchdog)?, &settings))? {
        push(image);
    }
    Ok(())
}

impl Image {
    fn reference(&self) -> String {
        format!("{PREFIX}/{}:{}", self.name, self.tag)
    }

    /// Makes it where it is missing or old; whether it is yet to be pushed.
    fn ensure(&self, make: impl FnOnce() -> Result<(), Error>) -> Result<bool, Error> {
        let reference = self.reference();
        let fresh = self.is_imported();
        if !fresh {
            println!("testbed: image {reference} is made");
            make()?;
        }
        let is_complete = fresh && (!self.pushed || self.is_pushed());
        if is_complete {
            println!("testbed: image {reference} is there");
        }
        Ok(self.pushed && !is_complete)
    }

    fn push(&self) -> Result<(), Error> {
        process::output(docker().args(["push", "--quiet", &self.reference()])).map(drop)
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
