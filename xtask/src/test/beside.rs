//! What runs while others wait: this program again, whose output is shown once it is done.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::report::Report;
use crate::{
    error::{At as _, Error},
    process::{self, Background},
    workspace,
};

/// How far they give way (nice(1)): what goes on meanwhile is longer, and ends sooner where it has the processors
/// first.
const YIELDS: &str = "10";

/// Checks under way.
pub(super) struct Checks {
    process: Background,
    summary: PathBuf,
}

impl Checks {
    /// Starts `cargo xtask test PART...`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(parts: &[&str]) -> Result<Self, Error> {
        let summary = folder()?.join("beside.json");
        // One of an earlier run must not be taken for this one's.
        fs::write(&summary, "").at(&summary)?;
        let arguments = [&["test"], parts, &["--summary"]].concat();
        let mut command = Command::new("nice");
        command.args(["-n", YIELDS]).arg(process::own()?);
        let process = start(command, &arguments, Some(&summary), "beside.log")?;
        Ok(Self { process, summary })
    }

    /// Waits for them, shows what they printed, and adds their steps to a report.
    ///
    /// # Errors
    /// When they ended without a summary.
    pub(super) fn finish(self, report: &mut Report) -> Result<(), Error> {
        self.process.finish()?;
        report.append(&self.summary)
    }
}

/// Starts `cargo xtask testbed up`.
///
/// # Errors
/// When it cannot be started.
pub(super) fn testbed() -> Result<Background, Error> {
    let command = Command::new(process::own()?);
    start(command, &["testbed", "up"], None, "testbed.log")
}

fn start(
    mut command: Command,
    arguments: &[&str],
    file: Option<&Path>,
    log: &str,
) -> Result<Background, Error> {
    let output = folder()?.join(log);
    println!(
        "`cargo xtask {}` runs from here on, beside the rest; what it prints comes at its end, and until then \
         is in {}",
        arguments[..2].join(" "),
        output.display()
    );
    command.args(arguments).args(file);
    Background::start(command, &output)
}

/// Where is written what they print.
pub(super) fn folder() -> Result<PathBuf, Error> {
    let folder = workspace::root().join("target/test");
    fs::create_dir_all(&folder).at(&folder)?;
    Ok(folder)
}
