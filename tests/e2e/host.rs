//! The host under test, as `cargo xtask test e2e` describes it in the environment.
use std::{
    env, fmt,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// What a test says when something does not hold.
#[derive(Debug)]
pub(crate) struct Error(pub(crate) String);

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Fails the test with a text.
pub(crate) fn fail<T>(what: impl Into<String>) -> Result<T, Error> {
    Err(Error(what.into()))
}

/// Fails the test unless a condition holds.
macro_rules! check {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return $crate::host::fail(format!($($text)+));
        }
    };
}
pub(crate) use check;

/// Where the parts are.
pub(crate) struct Host {
    /// The program under test.
    pub(crate) rsfaas: PathBuf,
    /// The gateway's port on this host.
    pub(crate) port: u16,
    /// What image names start with, slash included.
    pub(crate) image_prefix: String,
    /// The folder that holds `template/`.
    pub(crate) templates: PathBuf,
    /// The agent's `purge_command`, where there is one.
    pub(crate) purge_command: Option<PathBuf>,
    /// `cargo xtask`, where the OpenFaaS is its testbed.
    pub(crate) xtask: Option<PathBuf>,
    /// The folder of the test functions.
    pub(crate) functions: PathBuf,
}

impl Host {
    pub(crate) fn from_environment() -> Result<Self, Error> {
        let gateway = variable("OPENFAAS_URL")?;
        let port = gateway
            .trim_end_matches('/')
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok())
            .ok_or_else(|| Error(format!("OPENFAAS_URL {gateway:?} has no port")))?;
        Ok(Self {
            rsfaas: variable("RSFAAS_BIN")?.into(),
            port,
            image_prefix: variable("RSFAAS_REGISTRY_PREFIX")? + "/",
            templates: variable("RSFAAS_TEMPLATES")?.into(),
            purge_command: env::var_os("RSFAAS_PURGE_COMMAND").map(PathBuf::from),
            xtask: env::var_os("RSFAAS_XTASK").map(PathBuf::from),
            functions: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("functions"),
        })
    }

    /// A call of the program under test.
    pub(crate) fn rsfaas(&self) -> Command {
        Command::new(&self.rsfaas)
    }
}

/// How often each fault is to strike; `None` where the agent has no fault points.
pub(crate) fn fault_times() -> Option<u32> {
    env::var("RSFAAS_FAULT_TIMES").ok()?.parse().ok()
}

fn variable(name: &str) -> Result<String, Error> {
    env::var(name).map_err(|_| Error(format!("{name} is not set; run `cargo xtask test e2e`")))
}

/// Runs a command to its end; its standard output, or what it said when it failed.
pub(crate) fn run(command: &mut Command) -> Result<String, Error> {
    let output = command
        .output()
        .map_err(|error| Error(format!("{}: {error}", command.get_program().display())))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    fail(format!(
        "{:?} ended with {}:\n{}{}",
        command,
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// Waits until something holds; the deadline is for hangs only and says nothing about speed.
pub(crate) fn eventually(
    what: &str,
    mut holds: impl FnMut() -> Result<bool, Error>,
) -> Result<(), Error> {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !holds()? {
        if Instant::now() > deadline {
            return fail(format!("in vain waited for: {what}"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// What a thread has come to.
pub(crate) fn joined<T>(result: thread::Result<Result<T, Error>>) -> Result<T, Error> {
    result.map_err(|_| Error("a thread broke off".into()))?
}
