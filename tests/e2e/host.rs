//! The host under test, as `cargo xtask test e2e` describes it in the environment.
use std::{env, fs, path::PathBuf, process::Command, thread, time::Duration};

pub(crate) use rsfaas_tests::{
    check,
    check::{Error, fail, run},
};

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
    /// Where the agent's programs are attached, if not where it chooses.
    pub(crate) attach: Option<String>,
    /// `cargo xtask`, where the OpenFaaS is its testbed.
    pub(crate) xtask: Option<PathBuf>,
    /// A process that works with the same OpenFaaS: before it has ended nothing of that may be killed.
    pub(crate) beside: Option<String>,
    /// The folder of the test functions.
    pub(crate) functions: PathBuf,
}

impl Host {
    pub(crate) fn from_environment() -> Result<Self, Error> {
        let gateway = variable("OPENFAAS_URL")?;
        let port = gateway
            .trim_end_matches('/')
            .strip_prefix("http://127.0.0.1:")
            .and_then(|port| port.parse().ok())
            .ok_or_else(|| {
                Error(format!(
                    "OPENFAAS_URL is {gateway:?}, but these tests call the gateway of the host they run on: it has \
                     to be http://127.0.0.1:PORT"
                ))
            })?;
        Ok(Self {
            rsfaas: variable("RSFAAS_BIN")?.into(),
            port,
            image_prefix: variable("RSFAAS_REGISTRY_PREFIX")? + "/",
            templates: variable("RSFAAS_TEMPLATES")?.into(),
            purge_command: env::var_os("RSFAAS_PURGE_COMMAND").map(PathBuf::from),
            attach: env::var("RSFAAS_ATTACH").ok(),
            xtask: env::var_os("RSFAAS_XTASK").map(PathBuf::from),
            beside: env::var("RSFAAS_BESIDE").ok(),
            functions: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("functions"),
        })
    }

    /// Waits until nothing else works with the same OpenFaaS.
    pub(crate) fn wait_until_alone(&self) -> Result<(), Error> {
        let Some(process) = &self.beside else {
            return Ok(());
        };
        let times = (Duration::from_secs(600), Duration::from_millis(100));
        check::eventually("what works with the same OpenFaaS to end", times, || {
            // One that has ended is there until somebody asks how.
            let stat = fs::read_to_string(format!("/proc/{process}/stat"));
            Ok(stat.map_or(true, |stat| stat.contains(") Z ")))
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

/// Waits until something holds.
pub(crate) fn eventually(
    what: &str,
    holds: impl FnMut() -> Result<bool, Error>,
) -> Result<(), Error> {
    check::eventually(
        what,
        (Duration::from_secs(120), Duration::from_millis(20)),
        holds,
    )
}

/// What a thread has come to.
pub(crate) fn joined<T>(result: thread::Result<Result<T, Error>>) -> Result<T, Error> {
    result.map_err(|_| Error("a thread broke off".into()))?
}
