//! The two images that functions are built from: a Python base, made of Debian packages since none
//! can be pulled everywhere, and one that holds the watchdog alone.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    engine::program,
    http,
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
    /// Settings, as Dockerfile lines.
    changes: Vec<String>,
}

/// Makes sure that both are in the engine and in the registry.
pub(super) fn ensure(layout: &Layout) -> Result<(), Error> {
    let recipe = python::Recipe::read();
    let python = Image {
        name: "python",
        tag: "3",
        fingerprint: recipe.fingerprint(),
        changes: python::SETTINGS.map(str::to_owned).to_vec(),
    };
    python.ensure(|| recipe.archive(layout))?;

    let watchdog = layout.bin().join("fwatchdog");
    let fingerprint = super::tools::fingerprint_of(&watchdog)?;
    let image = Image {
        name: "watchdog",
        tag: "1",
        fingerprint,
        changes: vec![r#"ENTRYPOINT ["/fwatchdog"]"#.to_owned()],
    };
    image.ensure(|| archive_of(layout, &watchdog))
}

impl Image {
    fn reference(&self) -> String {
        format!("{PREFIX}/{}:{}", self.name, self.tag)
    }

    /// Makes it where it is missing or old.
    fn ensure(&self, archive: impl FnOnce() -> Result<PathBuf, Error>) -> Result<(), Error> {
        let reference = self.reference();
        let fresh = self.is_imported();
        if !fresh {
            let archive = archive()?;
            println!("testbed: image {reference} is made");
            let mut command = docker();
            command.args([
                "import",
                "--change",
                &format!("LABEL {LABEL}={}", self.fingerprint),
            ]);
            for change in &self.changes {
                command.args(["--change", change]);
            }
            process::output(command.arg(archive).arg(&reference))?;
        }
        if fresh && self.is_pushed() {
            println!("testbed: image {reference} is there");
            return Ok(());
        }
        process::output(docker().args(["push", "--quiet", &reference])).map(drop)
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
        Command::new(program("tar")?)
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
