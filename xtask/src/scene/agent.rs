//! The agent that is shown, with a state folder of its own.

use std::{
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::{
        signal::{Signal, kill},
        socket::{getsockopt, sockopt::PeerCredentials},
    },
    unistd::Pid,
};
use rsfaas_tests::status::function;
use serde_json::Value;

use super::{PATIENCE, parse};
use crate::{
    error::{At as _, Error},
    process::output,
    testbed::Testbed,
};

/// Its folder in the project's.
const FOLDER: &str = "agent";
const CONFIG: &str = "agent.toml";
const SOCKET: &str = "agent.sock";

pub(crate) struct Agent {
    folder: PathBuf,
    program: PathBuf,
    process: Child,
}

impl Agent {
    /// Refuses to go on where the agent of an earlier run, which was kept, still answers: its folder is its state.
    pub(super) fn none_runs_in(project: &Path) -> Result<(), Error> {
        let socket = project.join(FOLDER).join(SOCKET);
        let Ok(stream) = UnixStream::connect(&socket) else {
            return Ok(());
        };
        let agent = getsockopt(&stream, PeerCredentials).map_or_else(
            |_| "PID".to_owned(),
            |credentials| credentials.pid().to_string(),
        );
        Err(Error::Needs(format!(
            "the agent of an earlier run still answers on {}; end it: kill {agent}",
            socket.display()
        )))
    }

    /// Starts it with so many parked containers a function, and waits until it answers.
    pub(super) fn start(
        testbed: &Testbed,
        project: &Path,
        program: &Path,
        standby: usize,
    ) -> Result<Self, Error> {
        let folder = project.join(FOLDER);
        fs::create_dir_all(&folder).at(&folder)?;
        let config = folder.join(CONFIG);
        let mut text = format!(
            "standby = {standby}\nport = {}\nstate_dir = {:?}\ncontrol_socket = {:?}\nfaas_cli = {:?}\n",
            testbed.port()?,
            folder.join("state"),
            folder.join(SOCKET),
            testbed.faas_cli,
        );
        if !testbed.gateway.starts_with("http://127.0.0.1") {
            text += &format!("gateway = {:?}\n", testbed.gateway);
        }
        if let Some(program) = &testbed.purge_command {
            text += &format!("purge_command = {program:?}\n");
        }
        fs::write(&config, text).at(&config)?;
        let log_path = folder.join("agent.log");
        let log = fs::File::create(&log_path).at(&log_path)?;
        let mut command = Command::new(program);
        testbed.lend(&mut command);
        command.arg("agent").arg("--config").arg(&config);
        let process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .at(program)?;
        let mut agent = Self {
            folder,
            program: program.to_owned(),
            process,
        };
        let deadline = Instant::now() + PATIENCE;
        while agent.status().is_err() {
            let ended = agent.process.try_wait().at(&agent.program)?;
            if ended.is_some() || Instant::now() > deadline {
                let text = fs::read_to_string(agent.log()).unwrap_or_default();
                return Err(Error::NotSeen(format!(
                    "a running agent; its log says:\n{text}"
                )));
            }
            thread::sleep(Duration::from_millis(20));
        }
        println!(
            "the agent runs as process {}, its log is {}",
            agent.pid(),
            agent.log().display()
        );
        Ok(agent)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("agent.log")
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// The command that shows its status.
    pub(crate) fn status_command(&self) -> String {
        format!(
            "{} status --control-socket {}",
            self.program.display(),
            self.socket().display()
        )
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.join(CONFIG)
    }

    fn socket(&self) -> PathBuf {
        self.folder.join(SOCKET)
    }

    fn status(&self) -> Result<Value, Error> {
        let mut command = Command::new(&self.program);
        command
            .args(["status", "--json", "--control-socket"])
            .arg(self.socket());
        parse(&output(&mut command)?)
    }

    /// What it says of a function.
    pub(crate) fn function(&self, name: &str) -> Result<Value, Error> {
        let status = self.status()?;
        function(&status, name)
            .ok_or_else(|| Error::NotSeen(format!("{name} among the agent's functions")))
    }

    /// The latest lease of a function, step by step.
    pub(crate) fn timeline(&self, name: &str) -> Result<Value, Error> {
        let status = self.status()?;
        status["timelines"]
            .as_array()
            .and_then(|all| all.iter().rfind(|timeline| timeline["function"] == name))
            .cloned()
            .ok_or_else(|| Error::NotSeen(format!("a timeline of {name}")))
    }

    /// Waits until a function is locked and a container parked for the next call.
    pub(crate) fn wait_until_parked(&self, name: &str) -> Result<(), Error> {
        self.wait_until_locked(name, 1)
    }

    /// Waits until a function is locked and so many containers are parked for the next call.
    pub(crate) fn wait_until_locked(&self, name: &str, parked: usize) -> Result<(), Error> {
        let log = self.log();
        let what = format!("{name} locked, a container parked; see {}", log.display());
        wait_for(&what, || {
            Ok(self.function(name).is_ok_and(|function| {
                function["phase"] == "locked"
                    && function["parked"]
                        .as_array()
                        .is_some_and(|all| all.len() == parked)
            }))
        })
    }

    /// Waits until nothing that was held is left in the kernel's ring buffer.
    pub(crate) fn wait_until_wiped(&self) -> Result<(), Error> {
        wait_for("a wiped ring buffer", || {
            Ok(self.status()?["counters"]["frames_unwiped"] == 0)
        })
    }

    /// Waits until the agent knows a function as one of this isolation.
    pub(crate) fn wait_until_isolated(&self, name: &str, isolation: &str) -> Result<(), Error> {
        wait_for(&format!("{name} with isolation {isolation}"), || {
            let function = self.function(name);
            Ok(function.is_ok_and(|function| function["isolation"] == isolation))
        })
    }

    /// Ends it as a service manager would.
    pub(crate) fn stop(mut self) -> Result<(), Error> {
        self.signal(Signal::SIGTERM);
        let status = self.process.wait().at(&self.program)?;
        super::verify(
            status.success(),
            "the agent has ended, and everything is sealed",
        )
    }

    /// Ends it by a signal that it does not handle; how it ended.
    pub(crate) fn kill(mut self, signal: Signal) -> Result<ExitStatus, Error> {
        self.signal(signal);
        self.process.wait().at(&self.program)
    }

    /// Leaves it running.
    pub(crate) fn leave(self) {
        std::mem::forget(self);
    }

    fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.pid()) {
            // It may have ended by itself, which its exit status tells.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

impl Drop for Agent {
    /// Where something went wrong meanwhile: no agent stays behind, and nothing that it has deployed.
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            self.signal(Signal::SIGTERM);
            // What went wrong before is what is told.
            let _ = self.process.wait();
        }
    }
}

fn wait_for(what: &str, holds: impl Fn() -> Result<bool, Error>) -> Result<(), Error> {
    let deadline = Instant::now() + PATIENCE;
    while !holds()? {
        if Instant::now() > deadline {
            return Err(Error::NotSeen(what.to_owned()));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn the_folder_of_an_agent_that_still_answers_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path();
        fs::create_dir_all(project.join(FOLDER)).unwrap();
        let socket = project.join(FOLDER).join(SOCKET);
        let listener = UnixListener::bind(&socket).unwrap();
        let refused = Agent::none_runs_in(project).unwrap_err().to_string();
        assert!(
            refused.ends_with(&format!("kill {}", std::process::id())),
            "{refused}"
        );
        drop(listener);
        // A program that another test is just starting has the socket for a moment longer.
        let start = Instant::now();
        while let Err(error) = Agent::none_runs_in(project) {
            assert!(start.elapsed() < PATIENCE, "nobody answers: {error}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}
