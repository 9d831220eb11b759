//! The agent under test, as a process in the host's namespace.
mod told;

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};

use told::all_parked;

use crate::{
    check::{Error, Outcome, PATIENCE, check, eventually, eventually_within, fail, run},
    containers::Containers,
    scene::{PORT, Scene},
};

/// A lease outlasts its last connection, so that not every call of a test needs an unlock of its own.
pub(crate) const LINGERING: &str = "linger = 5\n";
/// As most tests need it: nothing is given up because a machine is slow.
const AS_USUAL: &str = "linger = 5\nhead_timeout = 60\n";

/// The agent, and how it is started.
pub(crate) struct Agent {
    program: PathBuf,
    folder: PathBuf,
    faas_cli: PathBuf,
    /// Where it attaches its programs: `attach` in its configuration.
    attach: String,
    process: Mutex<Option<Child>>,
    /// Whether it was started as most tests need it.
    as_usual: AtomicBool,
}

impl Agent {
    pub(crate) fn new(folder: PathBuf, containers: &Containers) -> Outcome<Self> {
        let program = std::env::var_os("RSFAAS_BIN")
            .ok_or_else(|| Error("RSFAAS_BIN is not set; run `cargo xtask test bpf`".into()))?;
        Ok(Self {
            program: program.into(),
            folder,
            faas_cli: containers.faas_cli(),
            attach: std::env::var("RSFAAS_ATTACH").unwrap_or_else(|_| "tc".into()),
            process: Mutex::new(None),
            as_usual: AtomicBool::new(false),
        })
    }

    /// The folder of records.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// Starts it as most tests need it.
    pub(crate) fn start(&self, scene: &Scene) -> Outcome {
        self.start_with(scene, AS_USUAL)
    }

    /// Starts it with these lines in its configuration; returns once every function is parked.
    pub(crate) fn start_with(&self, scene: &Scene, lines: &str) -> Outcome {
        self.start_at(scene, PORT, lines)
    }

    /// Starts it by a program that is told what to start, and becomes that.
    pub(crate) fn start_by(&self, scene: &Scene, words: &[String]) -> Outcome {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.start_as(scene, &words, PORT, AS_USUAL)
    }

    /// Starts it where it is to spot requests to another port.
    pub(crate) fn start_at(&self, scene: &Scene, port: u16, lines: &str) -> Outcome {
        self.start_as(scene, &[], port, lines)
    }

    fn start_as(&self, scene: &Scene, by: &[&str], port: u16, lines: &str) -> Outcome {
        let as_usual = by.is_empty() && port == PORT && lines == AS_USUAL;
        self.as_usual.store(as_usual, Relaxed);
        let config = self.folder.join("agent.toml");
        let text = format!(
            "port = {port}\nstate_dir = {:?}\ncontrol_socket = {:?}\nfaas_cli = {:?}\nattach = {:?}\n{lines}",
            self.state_dir(),
            self.socket(),
            self.faas_cli,
            self.attach,
        );
        fs::write(&config, text)?;
        let log = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.log())?;
        let child = scene.host.enter(|| {
            // Whoever runs the tests may ignore these, and with it all that they start.
            let words = [&["env", "--default-signal=HUP,INT"], by].concat();
            Ok(Command::new(words[0])
                .args(&words[1..])
                .arg(&self.program)
                .arg("agent")
                .arg("--config")
                .arg(&config)
                // No login of the user's is to be found.
                .env("OPENFAAS_CONFIG", &self.folder)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()?)
        })?;
        *self.slot() = Some(child);
        eventually("the agent to have parked every function", || {
            if let Some(child) = self.slot().as_mut()
                && let Some(status) = child.try_wait()?
            {
                return fail(format!(
                    "the agent ended with {status}:\n{}",
                    self.log_end()
                ));
            }
            // No answer: not yet started.
            Ok(self.status().is_ok_and(|status| all_parked(&status)))
        })
    }

    /// The hook that it was asked to take.
    pub(crate) fn attach(&self) -> &str {
        &self.attach
    }

    /// Ends the leases and waits until everything is ciphertext and parked again.
    pub(crate) fn lock_all(&self) -> Outcome {
        run(Command::new(&self.program)
            .args(["lock", "--all", "--control-socket"])
            .arg(self.socket()))?;
        eventually("everything to be locked and parked", || {
            Ok(all_parked(&self.status()?))
        })
        .map_err(|error| self.with_log(error))
    }

    /// What `rsfaas lock` says of one function.
    pub(crate) fn lock(&self, function: &str) -> Outcome<Output> {
        Ok(Command::new(&self.program)
            .args(["lock", function, "--control-socket"])
            .arg(self.socket())
            .output()?)
    }

    /// What `rsfaas sweep` says, where no agent runs.
    pub(crate) fn sweep(&self, scene: &Scene) -> Outcome<String> {
        scene.host.enter(|| {
            let mut sweep = Command::new(&self.program);
            sweep
                .arg("sweep")
                .arg("--config")
                .arg(self.folder.join("agent.toml"));
            run(sweep.env("OPENFAAS_CONFIG", &self.folder))
        })
    }

    /// What comes of a command that an agent is in the way of: one with the same state folder and another socket.
    pub(crate) fn beside(&self, command: &str) -> Outcome<Output> {
        let config = self.folder.join("beside.toml");
        let socket = self.folder.join("beside.sock");
        let text = format!(
            "state_dir = {:?}\ncontrol_socket = {socket:?}\nfaas_cli = {:?}\n",
            self.state_dir(),
            self.faas_cli,
        );
        fs::write(&config, text)?;
        Ok(Command::new(&self.program)
            .args([command, "--config"])
            .arg(&config)
            .env("OPENFAAS_CONFIG", &self.folder)
            .output()?)
    }

    /// Whether its last start was one that most tests need.
    pub(crate) fn is_as_usual(&self) -> bool {
        self.as_usual.load(Relaxed)
    }

    /// Whether its process is there still.
    pub(crate) fn runs(&self) -> Outcome<bool> {
        match self.slot().as_mut() {
            Some(child) => Ok(child.try_wait()?.is_none()),
            None => Ok(false),
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Outcome {
        match self.slot().as_ref() {
            Some(child) => Ok(signal::kill(
                Pid::from_raw(i32::try_from(child.id())?),
                signal,
            )?),
            None => fail("no agent runs"),
        }
    }

    /// Ends it as a service manager would; an error where it ends in another way than well.
    pub(crate) fn stop(&self) -> Outcome {
        self.stop_by(Signal::SIGTERM)
    }

    /// The same by another signal.
    pub(crate) fn stop_by(&self, signal: Signal) -> Outcome {
        self.signal(signal)?;
        let status = self.reap()?;
        check!(
            status.success(),
            "the agent ended with {status}:\n{}",
            self.log_end()
        );
        Ok(())
    }

    /// Ends it without a chance to clean up.
    pub(crate) fn kill(&self) -> Outcome {
        self.signal(Signal::SIGKILL)?;
        self.reap().map(drop)
    }

    fn with_log(&self, error: Error) -> Error {
        Error(format!("{error}\n{}", self.log_end()))
    }

    /// The end of its log.
    pub(crate) fn log_end(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Waits until it has ended.
    pub(crate) fn reap(&self) -> Outcome<std::process::ExitStatus> {
        let Some(mut child) = self.slot().take() else {
            return fail("no agent runs");
        };
        let ended = eventually_within(4 * PATIENCE, "the agent to end", || {
            Ok(child.try_wait()?.is_some())
        });
        if ended.is_err() {
            child.kill()?;
        }
        let status = child.wait()?;
        ended.map_err(|error| self.with_log(error))?;
        Ok(status)
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("agent.sock")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("agent.log")
    }

    fn slot(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Only where a test broke off: else it has been stopped.
        let _ = self.kill();
    }
}
