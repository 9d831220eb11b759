//! Checks that run while others wait: a process of their own, whose output is shown once they are done.

use std::{
    env,
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use super::report::Report;
use crate::{
    error::{At as _, Error},
    workspace,
};

/// The checks under way; ended when this is dropped.
pub(super) struct Beside {
    child: Child,
    output: PathBuf,
    summary: PathBuf,
}

impl Beside {
    /// Starts `cargo xtask test PART...` in the background.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(parts: &[&str]) -> Result<Self, Error> {
        let folder = workspace::root().join("target/test");
        fs::create_dir_all(&folder).at(&folder)?;
        let (output, summary) = (folder.join("beside.log"), folder.join("beside.json"));
        let log = File::create(&output).at(&output)?;
        // One of an earlier run must not be taken for this one's.
        fs::write(&summary, "").at(&summary)?;
        let program = env::current_exe().at("this program")?;
        let child = Command::new(&program)
            .arg("test")
            .args(parts)
            .arg("--summary")
            .arg(&summary)
            .stdin(Stdio::null())
            .stdout(log.try_clone().at(&output)?)
            .stderr(log)
            .spawn()
            .at(&program)?;
        println!(
            "{} run from here on, beside the rest; what they print comes at its end, and until then is in {}",
            parts.join(" and "),
            output.display()
        );
        Ok(Self {
            child,
            output,
            summary,
        })
    }

    /// Waits for them, shows what they printed, and adds their steps to a report.
    ///
    /// # Errors
    /// When they ended without a summary.
    pub(super) fn finish(mut self, report: &mut Report) -> Result<(), Error> {
        self.child.wait().at(&self.output)?;
        let printed = fs::read(&self.output).at(&self.output)?;
        print!("{}", String::from_utf8_lossy(&printed));
        report.append(&self.summary)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // It has ended unless something went wrong here, which is told already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
