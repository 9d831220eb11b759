//! What the agent tells of itself, and waiting for it.
use std::{fs, path::PathBuf, process::Command};

use rsfaas::control::{self, Reply};
use rsfaas_tests::status::function;
use serde_json::Value;

use super::Agent;
use crate::host::{Error, eventually, fail, run};

impl Agent {
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
        function(&status, name).ok_or_else(|| Error(format!("{name} is not served: {status}")))
    }

    /// How often a function was unlocked.
    pub(crate) fn unlocks(&self, name: &str) -> Result<u64, Error> {
        let function = self.function(name)?;
        function["unlocks"]
            .as_u64()
            .ok_or_else(|| Error(format!("no number of unlocks: {function}")))
    }

    /// One of its counters. Those of refusals are told once there was one.
    pub(crate) fn counter(&self, name: &str) -> Result<u64, Error> {
        let status = self.status()?;
        let counters = &status["counters"];
        match counters[name].as_u64() {
            Some(count) => Ok(count),
            None if counters.is_object() && name.starts_with("refused_") => Ok(0),
            None => fail(format!("no counter {name}: {counters}")),
        }
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
}

/// Whether a container waits, by what the agent says of a function.
fn has_parked(function: &Value) -> bool {
    function["parked"]
        .as_array()
        .is_some_and(|parked| !parked.is_empty())
}
