//! A core dump of the agent, taken by force: there must be none.
//!
//! Cores are handed to a program meanwhile: for that the kernel asks for no limit (core(5)), so that one that
//! somebody has raised would make no difference.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::sys::signal::Signal;

use crate::{
    error::{At as _, Error},
    scene::Agent,
    workspace,
};

const PATTERN: &str = "/proc/sys/kernel/core_pattern";

/// Aborts the agent; what is wrong, where a core came of it.
pub(super) fn force(agent: Agent, folder: &Path) -> Result<Vec<String>, Error> {
    let _pattern = Pattern::set(folder)?;
    let mut problems = Vec::new();
    // Another process shows that cores are taken.
    let control = Command::new("sh")
        .args(["-c", "kill -ABRT $$"])
        .stdin(Stdio::null())
        .status()
        .at("sh")?;
    if !control.core_dumped() {
        problems.push(format!(
            "core dump: no process leaves one here ({control}), so nothing is shown"
        ));
    }
    let status = agent.kill(Signal::SIGABRT)?;
    if status.signal() != Some(Signal::SIGABRT as i32) {
        problems.push(format!("core dump: the agent was not aborted: {status}"));
    }
    if status.core_dumped() {
        problems.push("core dump: the agent left one".into());
    }
    Ok(problems)
}

/// Cores go to a program that takes them while this lives.
struct Pattern {
    before: String,
    /// Where that is kept, for the next one, should this be killed.
    kept: PathBuf,
}

impl Pattern {
    fn set(folder: &Path) -> Result<Self, Error> {
        let taker = folder.join("take-core");
        fs::write(&taker, "#!/bin/sh\nexec cat >/dev/null\n").at(&taker)?;
        fs::set_permissions(&taker, fs::Permissions::from_mode(0o755)).at(&taker)?;
        let own = format!("|{}", taker.display());
        let kept = workspace::root().join("target/core_pattern");
        let mut before = fs::read_to_string(PATTERN).at(PATTERN)?;
        if before.trim_end() == own {
            before = fs::read_to_string(&kept).at(&kept)?;
        } else {
            fs::write(&kept, &before).at(&kept)?;
        }
        fs::write(PATTERN, own).at(PATTERN)?;
        Ok(Self { before, kept })
    }
}

impl Drop for Pattern {
    fn drop(&mut self) {
        if let Err(error) = fs::write(PATTERN, &self.before) {
            eprintln!("warning: {PATTERN} is not as it was: {error}");
            return;
        }
        // Nobody needs it any more, and the next one does not read it.
        let _ = fs::remove_file(&self.kept);
    }
}
