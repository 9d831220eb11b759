//! The agent under test, started as its users start it.
use std::{
    ffi::OsString,
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rsfaas::control::{self, Reply};
use serde_json::Value;

use crate::host::{Error, Host, check, eventually, fail, run};

/// A running agent with a state folder of its own.
pub(crate) struct Agent {
    folder: tempfile::TempDir,
    rsfaas: PathBuf,
    process: Mutex<Option<Child>>,
}

impl Agent {
    /// Writes a configuration and starts the agent.
    pub(crate) fn start(host: &Host) -> Result<Self, Error> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut config = format!(
            "port = {}\nstate_dir = {:?}\ncontrol_socket = {:?}\n",
            host.port,
            path("state"),
            path("agent.sock"),
        );
        if let Some(program) = &host.purge_command {
            config += &format!("purge_command = {program:?}\n");
        }
        if let Some(hook) = &host.attach {
            config += &format!("attach = {hook:?}\n");
        }
        fs::write(folder.path().join("agent.toml"), config)?;
        let agent = Self {
            folder,
            rsfaas: host.rsfaas.clone(),
            process: Mutex::new(None),
        };
        agent.restart()?;
        Ok(agent)
    }

    /// Starts it again after it has ended.
    pub(crate) fn restart(&self) -> Result<(), Error> {
        self.restart_in(&[])
    }

    /// The same with more in its environment.
    pub(crate) fn restart_in(&self, environment: &[(&str, OsString)]) -> Result<(), Error> {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())?;
        let child = Command::new(&self.rsfaas)
            .args(["agent", "--config"])
            .arg(self.config())
            .env("RSFAAS_FAULT", self.fault())
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        *self.slot()? = Some(child);
        eventually("the agent's control socket", || {
            if let Some(child) = self.slot()?.as_mut()
                && let Some(status) = child.try_wait()?
            {
                return fail(format!(
                    "the agent ended with {status}:\n{}",
                    self.log_text()
                ));
            }
            Ok(self.status().is_ok())
        })
    }

    /// Ends it, and starts it with another setting.
    pub(crate) fn restart_with(&self, setting: &str) -> Result<(), Error> {
        let path = self.config();
        let config = fs::read_to_string(&path)?;
        self.stop()?;
        fs::write(&path, format!("{config}{setting}\n"))?;
        let restarted = self.restart();
        // Only this start has it.
        fs::write(&path, config)?;
        restarted
    }

    /// Has it killed at a point, once it passes that.
    pub(crate) fn arm(&self, point: &str) -> Result<(), Error> {
        Ok(fs::write(self.fault(), point)?)
    }

    /// Waits until it is killed at the point it was armed for, which it is not any more then.
    pub(crate) fn wait_until_killed(&self) -> Result<(), Error> {
        eventually("the agent to be killed", || {
            Ok(match self.slot()?.as_mut() {
                Some(child) => child.try_wait()?.is_some(),
                None => true,
            })
        })?;
        fs::remove_file(self.fault())?;
        let Some(mut child) = self.slot()?.take() else {
            return fail("no agent ran");
        };
        let status = child.wait()?;
        check!(
            status.signal() == Some(Signal::SIGKILL as i32),
            "the agent ended with {status}"
        );
        Ok(())
    }

    /// Its process.
    pub(crate) fn pid(&self) -> Result<u32, Error> {
        let slot = self.slot()?;
        let child = slot.as_ref().ok_or_else(|| Error("no agent runs".into()))?;
        Ok(child.id())
    }

    /// Its configuration.
    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("agent.toml")
    }

    /// Everything that it keeps is in here.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of records.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// What it answers to `rsfaas status`; asked for often, so without a process each time.
    pub(crate) fn status(&self) -> Result<Value, Error> {
        match control::ask(&self.control_socket(), &control::Command::Status)? {
            Reply::Status(status) => Ok(serde_json::to_value(status)?),
            other => fail(format!("the agent answers {other:?}")),
        }
    }

    /// What `rsfaas status` shows.
    pub(crate) fn shown_status(&self, options: &[&str]) -> Result<String, Error> {
        let mut status = Command::new(&self.rsfaas);
        status.arg("status").args(options).arg("--control-socket");
        run(status.arg(self.control_socket()))
    }

    fn control_socket(&self) -> PathBuf {
        self.folder.path().join("agent.sock")
    }

    /// What it says of one function.
    pub(crate) fn function(&self, name: &str) -> Result<Value, Error> {
        let status = self.status()?;
        status["functions"]
            .as_array()
            .and_then(|functions| functions.iter().find(|function| function["name"] == name))
            .cloned()
            .ok_or_else(|| Error(format!("{name} is not served: {status}")))
    }

    /// How often a function was unlocked.
    pub(crate) fn unlocks(&self, name: &str) -> Result<u64, Error> {
        Ok(self.function(name)?["unlocks"].as_u64().unwrap_or(0))
    }

    /// One of its counters.
    pub(crate) fn counter(&self, name: &str) -> Result<u64, Error> {
        Ok(self.status()?["counters"][name].as_u64().unwrap_or(0))
    }

    /// Waits until a function is locked and its next container parked.
    pub(crate) fn wait_until_locked(&self, name: &str) -> Result<(), Error> {
        eventually("the function to be locked and parked again", || {
            let function = self.function(name)?;
            Ok(function["phase"] == "locked" && has_parked(&function))
        })
    }

    /// Waits until a function's next container is parked, be it locked or not.
    pub(crate) fn wait_until_next_is_parked(&self, name: &str) -> Result<(), Error> {
        eventually("the next container to be parked", || {
            Ok(has_parked(&self.function(name)?))
        })
    }

    /// Waits until a function is locked, whether anything is parked or not.
    pub(crate) fn wait_until_ciphertext(&self, name: &str) -> Result<(), Error> {
        self.wait_until_phase(name, "locked")
    }

    /// Waits until a function is in a phase.
    pub(crate) fn wait_until_phase(&self, name: &str, phase: &str) -> Result<(), Error> {
        eventually(phase, || Ok(self.function(name)?["phase"] == phase))
    }

    /// Waits until no lease of a function is left: it is ciphertext, though a container may still be removed.
    pub(crate) fn wait_until_no_lease(&self, name: &str) -> Result<(), Error> {
        eventually("the last lease to end", || {
            Ok(self.function(name)?["leases"] == Value::Array(Vec::new()))
        })
    }

    /// Waits until every function of its records has a parked container.
    pub(crate) fn wait_until_parked(&self) -> Result<(), Error> {
        for entry in fs::read_dir(self.state_dir().join("functions"))? {
            let record = entry?.path();
            let function = record.file_stem().and_then(|name| name.to_str());
            // With a dot in front it is the note of a seal that has not ended.
            if let Some(function) = function.filter(|name| !name.starts_with('.')) {
                self.wait_until_locked(function)?;
            }
        }
        Ok(())
    }

    /// What it is told of a function.
    pub(crate) fn record(&self, function: &str) -> Result<Value, Error> {
        Ok(serde_json::from_slice(&fs::read(
            self.record_file(function),
        )?)?)
    }

    /// Where that is.
    pub(crate) fn record_file(&self, function: &str) -> PathBuf {
        let records = self.state_dir().join("functions");
        records.join(format!("{function}.json"))
    }

    /// Has it let go of a function, whose record is removed.
    pub(crate) fn forget(&self, function: &str) -> Result<(), Error> {
        fs::remove_file(self.record_file(function))?;
        eventually("the agent to let go of the function", || {
            Ok(self.function(function).is_err())
        })
    }

    /// Ends it as a service manager would; an error where it ends in another way than well.
    pub(crate) fn stop(&self) -> Result<(), Error> {
        let Some(mut child) = self.slot()?.take() else {
            return Ok(());
        };
        signal(&child, Signal::SIGTERM)?;
        let status = child.wait()?;
        check!(
            status.success(),
            "the agent ended with {status}:\n{}",
            self.log_text()
        );
        Ok(())
    }

    /// Ends it without a chance to clean up.
    pub(crate) fn kill(&self) -> Result<(), Error> {
        let Some(mut child) = self.slot()?.take() else {
            return fail("no agent runs");
        };
        signal(&child, Signal::SIGKILL)?;
        child.wait()?;
        Ok(())
    }

    /// Ends it in any case, whatever has gone wrong: by force where it takes too long.
    pub(crate) fn end(&self) {
        let mut slot = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut child) = slot.take() else {
            return;
        };
        // What went wrong before is what is told.
        let ended = signal(&child, Signal::SIGTERM)
            .and_then(|()| eventually("the agent to end", || Ok(child.try_wait()?.is_some())));
        if ended.is_err() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Removes its folder.
    pub(crate) fn remove_folder(&self) -> Result<(), Error> {
        Ok(fs::remove_dir_all(self.folder.path())?)
    }

    /// Its log so far.
    pub(crate) fn log_text(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// The end of its log, for whoever has to find out why a test failed.
    pub(crate) fn log_end(&self) -> String {
        let text = self.log_text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    fn fault(&self) -> PathBuf {
        self.folder.path().join("fault")
    }

    fn log(&self) -> PathBuf {
        Path::join(self.folder.path(), "agent.log")
    }

    fn slot(&self) -> Result<std::sync::MutexGuard<'_, Option<Child>>, Error> {
        self.process
            .lock()
            .map_err(|_| Error("a test broke off while it had the agent".into()))
    }
}

impl Drop for Agent {
    /// Where the preparation has failed: else it has been stopped.
    fn drop(&mut self) {
        self.end();
    }
}

fn signal(child: &Child, signal: Signal) -> Result<(), Error> {
    let pid = i32::try_from(child.id())?;
    Ok(kill(Pid::from_raw(pid), signal)?)
}

/// Whether a container waits, by what the agent says of a function.
fn has_parked(function: &Value) -> bool {
    function["parked"]
        .as_array()
        .is_some_and(|parked| !parked.is_empty())
}
