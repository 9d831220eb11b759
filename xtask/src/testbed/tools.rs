//! The Go programs of the testbed: the real gateway and faas-cli, pinned by modules of ours that say
//! version and checksum, and our own provider and watchdog.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::layout::Layout;
use crate::{
    error::{At as _, Error},
    fingerprint::of_folder,
    process,
};

/// A Go program.
struct Tool {
    /// Its name in the testbed's `bin`.
    name: &'static str,
    /// The module that pins or holds it, below `tests/openfaas`.
    folder: &'static str,
    /// What is built in there.
    package: &'static str,
}

const TOOLS: [Tool; 5] = [
    Tool {
        name: "faas-cli",
        folder: "tools/faas-cli",
        package: "github.com/openfaas/faas-cli",
    },
    Tool {
        name: "gateway",
        folder: "tools/gateway",
        package: "github.com/openfaas/faas/gateway",
    },
    Tool {
        name: "provider",
        folder: "provider",
        package: ".",
    },
    Tool {
        name: "fwatchdog",
        folder: "watchdog",
        package: ".",
    },
    Tool {
        name: "routing",
        folder: "routing",
        package: ".",
    },
];

/// Makes sure that all are built by this compiler from the sources as they are now.
pub(super) fn ensure(layout: &Layout, go: &Path) -> Result<(), Error> {
    let bin = layout.bin();
    fs::create_dir_all(&bin).at(&bin)?;
    let compiler = process::output(Command::new(go).arg("version"))?;
    for tool in &TOOLS {
        tool.ensure(layout, go, compiler.trim())?;
    }
    // Debian's docker comes with BuildKit; another one that is first on the path may not.
    let docker = bin.join("docker");
    if !docker.exists() {
        std::os::unix::fs::symlink("/usr/bin/docker", &docker).at(&docker)?;
    }
    Ok(())
}

impl Tool {
    fn ensure(&self, layout: &Layout, go: &Path, compiler: &str) -> Result<(), Error> {
        let folder = layout.sources().join(self.folder);
        let binary = layout.bin().join(self.name);
        let record = record(&binary);
        let wanted = format!("{} {compiler}", of_folder(&folder).at(&folder)?);
        if binary.is_file() && fs::read_to_string(&record).is_ok_and(|built| built == wanted) {
            return Ok(());
        }
        println!("testbed: {} is built", self.name);
        process::run(
            Command::new(go)
                .current_dir(&folder)
                // Static, since the watchdog runs in images of any kind.
                .env("CGO_ENABLED", "0")
                .args(["build", "-trimpath", "-o"])
                .arg(&binary)
                .arg(self.package),
        )?;
        fs::write(&record, wanted).at(record)
    }
}

/// Stands for what a program in `bin` was built from: 32 hexadecimal digits.
pub(super) fn fingerprint_of(binary: &Path) -> Result<String, Error> {
    let record = record(binary);
    let text = fs::read_to_string(&record).at(&record)?;
    Ok(text.chars().take(32).collect())
}

fn record(binary: &Path) -> PathBuf {
    binary.with_extension("sources")
}
