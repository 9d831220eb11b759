//! The agent under test, started as its users start it.
mod told;

use std::{
    ffi::OsString,
    fs,
    io::ErrorKind,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
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
        self.start_as(&[], &[])
    }

    /// The same with more in its environment.
    pub(crate) fn restart_in(&self, environment: &[(&str, OsString)]) -> Result<(), Error> {
        self.start_as(&[], environment)
    }

    /// The same by a program that is told what to start, and becomes that.
    pub(crate) fn restart_by(&self, words: &[String]) -> Result<(), Error> {
        self.start_as(words, &[])
    }

    fn start_as(&self, by: &[String], environment: &[(&str, OsString)]) -> Result<(), Error> {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())?;
        let mut words = by.iter().map(OsString::from).collect::<Vec<_>>();
        words.push(self.rsfaas.clone().into());
        let child = Command::new(&words[0])
            .args(&words[1..])
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

    /// `rsfaas forget`, which ends once the agent has let go of the function.
    pub(crate) fn forget(&self, function: &str) -> Result<(), Error> {
        let mut forget = Command::new(&self.rsfaas);
        forget.args(["forget", function, "--config"]);
        run(forget.arg(self.config())).map(drop)
    }

    /// Whether its process is there.
    pub(crate) fn runs(&self) -> Result<bool, Error> {
        Ok(match self.slot()?.as_mut() {
            Some(child) => child.try_wait()?.is_none(),
            None => false,
        })
    }

    /// It is killed nowhere any more.
    pub(crate) fn disarm(&self) -> Result<(), Error> {
        match fs::remove_file(self.fault()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
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
