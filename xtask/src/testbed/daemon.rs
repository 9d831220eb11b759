//! Processes that outlive this command: started in a session of their own, remembered by their
//! process ID and start time, and ended only while both still fit.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{layout::Layout, record::Record};
use crate::{
    error::{At as _, Error},
    files,
};
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How long a daemon may take to end before it is killed.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);

/// A daemon of the testbed, running or not.
#[derive(Debug)]
pub(super) struct Daemon {
    /// Its name in messages and file names.
    pub(super) name: &'static str,
    record: PathBuf,
    log: PathBuf,
}

impl Daemon {
    /// The daemon of that name.
    pub(super) fn new(layout: &Layout, name: &'static str) -> Self {
        Self {
            name,
            record: layout.run().join(format!("{name}.json")),
            log: layout.logs().join(format!("{name}.log")),
        }
    }

    /// Its process ID, where we started it and it still runs.
    pub(super) fn running(&self) -> Option<i32> {
        self.living().map(|record| record.pid)
    }

    /// Whether it runs and was started as `version`.
    pub(super) fn runs_as(&self, version: &str) -> bool {
        self.living()
            .is_some_and(|record| record.version == version)
    }

    fn living(&self) -> Option<Record> {
        Record::read(&self.record).filter(Record::runs)
    }

    /// Starts it detached, its output going to its log. `version` stands for everything it was
    /// started with, so that a later start can tell whether it still fits.
    pub(super) fn start(&self, command: &Command, version: &str) -> Result<Child, Error> {
        for file in [&self.record, &self.log] {
            if let Some(folder) = file.parent() {
                fs::create_dir_all(folder).at(folder)?;
            }
        }
        let mut log = fs::OpenOptions::new();
        log.create(true).write(true);
        // The last words of one that was killed stay.
        let log = match self.record.exists() {
            true => log.append(true),
            false => log.truncate(true),
        };
        let log = log.open(&self.log).at(&self.log)?;
        // Not forking where it need not, setsid(1) leaves the process its number.
        let mut detached = Command::new("setsid");
        detached
            .arg(command.get_program())
            .args(command.get_args())
            .current_dir("/");
        for (variable, value) in command.get_envs() {
            match value {
                Some(value) => detached.env(variable, value),
                None => detached.env_remove(variable),
            };
        }
        let child = detached
            .stdin(Stdio::null())
            .stdout(log.try_clone().at(&self.log)?)
            .stderr(log)
            .spawn()
            .map_err(|source| Error::Start {
                program: command.get_program().to_string_lossy().into_owned(),
                source,
            })?;
        let pid = child.id().cast_signed();
        Record::new(pid, version)
            .write(&self.record)
            .at(&self.record)?;
        Ok(child)
    }

    /// Waits until `healthy`, the end of the process, or the time limit.
    pub(super) fn wait(
        &self,
        mut child: Option<Child>,
        limit: Duration,
        healthy: impl Fn() -> bool,
    ) -> Result<(), Error> {
        let start = Instant::now();
        loop {
            // First, since another process may be the one that answers in its place.
            if let Some(Ok(Some(status))) = child.as_mut().map(Child::try_wait) {
                return Err(self.problem(format!("ended at once ({status})")));
            }
            if healthy() {
                return Ok(());
            }
            if start.elapsed() > limit {
                return Err(self.problem(format!("not healthy within {} s", limit.as_secs())));
            }
            thread::sleep(POLL);
        }
    }

    /// An error that shows the end of its log.
    fn problem(&self, problem: String) -> Error {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(6)..].join("\n  ");
        let log = self.log.display();
        Error::Part {
            part: self.name,
            problem: format!("{problem}; the end of {log}:\n  {end}"),
        }
    }

    /// Ends it, where we started it and it still runs; says whether that was so.
    pub(super) fn stop(&self) -> Result<bool, Error> {
        let Some(record) = self.living() else {
            self.forget()?;
            return Ok(false);
        };
        self.signal(record.pid, Signal::SIGTERM)?;
        let start = Instant::now();
        let mut is_killed = false;
        while record.runs() {
            if !is_killed && start.elapsed() > PATIENCE {
                println!("testbed: {} does not end; killing it", self.name);
                self.signal(record.pid, Signal::SIGKILL)?;
                is_killed = true;
            }
            thread::sleep(POLL);
        }
        self.forget()?;
        Ok(true)
    }

    /// Kills it. Its record stays, as after any death.
    pub(super) fn kill(&self) -> Result<(), Error> {
        let Some(record) = self.living() else {
            return Err(Error::Part {
                part: self.name,
                problem: "it does not run, or something else has started it".into(),
            });
        };
        self.signal(record.pid, Signal::SIGKILL)?;
        while record.runs() {
            thread::sleep(POLL);
        }
        Ok(())
    }

    fn signal(&self, pid: i32, signal: Signal) -> Result<(), Error> {
        match kill(Pid::from_raw(pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(Error::Part {
                part: self.name,
                problem: format!("process {pid} cannot be ended: {error}"),
            }),
        }
    }

    fn forget(&self) -> Result<(), Error> {
        files::remove_file(&self.record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daemon() -> (Daemon, tempfile::TempDir) {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        (Daemon::new(&layout, "sleeper"), root)
    }

    fn sleeper() -> Command {
        let mut command = Command::new("sleep");
        command.arg("60");
        command
    }

    #[test]
    fn a_started_daemon_is_known_by_another_command_until_it_is_stopped() {
        let (daemon, root) = daemon();
        let mut child = daemon.start(&sleeper(), "one").unwrap();
        let again = Daemon::new(&Layout::new(root.path()), "sleeper");
        assert_eq!(again.running(), Some(child.id().cast_signed()));
        assert!(again.runs_as("one") && !again.runs_as("two"));
        assert!(again.stop().unwrap());
        assert_eq!(again.running(), None);
        child.wait().unwrap();
    }

    #[test]
    fn the_log_of_a_daemon_that_was_killed_goes_on_where_it_ended() {
        let (daemon, _root) = daemon();
        for word in ["first", "second"] {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("echo {word}; exec sleep 60")]);
            let mut child = daemon.start(&command, "one").unwrap();
            let said = || fs::read_to_string(&daemon.log).unwrap().contains(word);
            daemon.wait(None, PATIENCE, said).unwrap();
            daemon.kill().unwrap();
            assert_eq!(daemon.running(), None);
            child.wait().unwrap();
        }
        assert_eq!(fs::read_to_string(&daemon.log).unwrap(), "first\nsecond\n");
        assert!(daemon.kill().is_err());
    }

    #[test]
    fn a_process_that_got_the_number_later_is_left_alone() {
        let (daemon, _root) = daemon();
        let mut child = daemon.start(&sleeper(), "one").unwrap();
        let mut record = Record::read(&daemon.record).unwrap();
        record.started -= 1;
        record.write(&daemon.record).unwrap();
        assert!(!daemon.stop().unwrap());
        assert!(child.try_wait().unwrap().is_none(), "it was ended");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_daemon_that_ends_at_once_is_reported_with_its_last_words() {
        let (daemon, _root) = daemon();
        let mut command = Command::new("sh");
        command.args(["-c", "echo cannot bind; exit 3"]);
        let child = daemon.start(&command, "one").unwrap();
        let error = daemon
            .wait(Some(child), Duration::from_secs(20), || false)
            .unwrap_err();
        let text = error.to_string();
        assert!(text.contains("ended at once (exit status: 3)"), "{text}");
        assert!(text.contains("cannot bind"), "{text}");
    }
}
