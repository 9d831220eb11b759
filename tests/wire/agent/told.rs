//! What the agent tells of itself, and waiting for it.
use rsfaas::control::{self, Reply};
use rsfaas_tests::status::function;
use serde_json::Value;

use super::Agent;
use crate::{
    check::{Error, Outcome, eventually, fail},
    functions::ALL,
};

impl Agent {
    /// What it answers to `rsfaas status`; asked for often, so without a process each time.
    pub(crate) fn status(&self) -> Outcome<Value> {
        match control::ask(&self.socket(), &control::Command::Status)? {
            Reply::Status(status) => Ok(serde_json::to_value(status)?),
            other => fail(format!("the agent answers {other:?}")),
        }
    }

    /// One of its counters.
    pub(crate) fn counter(&self, name: &str) -> Outcome<u64> {
        let status = self.status()?;
        status["counters"][name]
            .as_u64()
            .ok_or_else(|| Error(format!("no counter {name}: {status}")))
    }

    /// Does something, and waits until a counter has risen since.
    pub(crate) fn until_counted(&self, name: &str, work: impl FnOnce() -> Outcome) -> Outcome {
        let before = self.counter(name)?;
        work()?;
        eventually(name, || Ok(self.counter(name)? > before))
    }

    /// The hook of an interface at which its programs are.
    pub(crate) fn hook(&self, interface: &str) -> Outcome<String> {
        let status = self.status()?;
        status["interfaces"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|one| one["name"] == interface)
            .and_then(|one| one["attached"].as_str())
            .map(str::to_owned)
            .ok_or_else(|| Error(format!("{interface} is not covered: {status}")))
    }

    /// Whether its programs are attached to an interface.
    pub(crate) fn covers(&self, interface: &str) -> Outcome<bool> {
        let status = self.status()?;
        Ok(status["interfaces"]
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one["name"] == interface)))
    }

    /// Waits until they are.
    pub(crate) fn wait_until_covered(&self, interface: &str) -> Outcome {
        eventually("the agent to cover the interface", || {
            self.covers(interface)
        })
        .map_err(|error| self.with_log(Error(format!("{interface}: {error}"))))
    }

    /// What it says of one function.
    pub(crate) fn function(&self, name: &str) -> Outcome<Value> {
        let status = self.status()?;
        function(&status, name).ok_or_else(|| Error(format!("{name} is not served: {status}")))
    }

    /// Where that stands.
    pub(crate) fn phase(&self, name: &str) -> Outcome<String> {
        let function = self.function(name)?;
        Ok(function["phase"].as_str().unwrap_or_default().to_owned())
    }
}

/// Whether every function is locked, and has a container parked.
pub(super) fn all_parked(status: &Value) -> bool {
    status["functions"].as_array().is_some_and(|functions| {
        functions.len() == ALL.len()
            && functions.iter().all(|function| {
                function["phase"] == "locked"
                    && function["parked"]
                        .as_array()
                        .is_some_and(|parked| !parked.is_empty())
            })
    })
}
