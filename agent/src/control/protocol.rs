//! What is said over the control socket: one JSON object a line, one answer a command.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    lease::FunctionStatus,
    memory_protection::Swap,
    spot::{Hook, Spotter},
    timeline::Timeline,
};

/// What a client may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase", deny_unknown_fields)]
pub enum Command {
    /// Everything that `rsfaas status` shows.
    Status,
    /// Ends leases now; answered when nothing of them is left.
    Lock {
        /// The function; without one, every function.
        function: Option<String>,
    },
}

/// What the agent answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// To [`Command::Status`].
    Status(Box<Status>),
    /// To [`Command::Lock`].
    Locked,
    /// To the same, where something of it failed: each with its function's name. All the rest was done.
    NotLocked(Vec<String>),
    /// To the same: no sealed function of this name is served.
    NotServed(String),
    /// To anything, where the agent ends.
    Stopping,
    /// The command could not be carried out.
    Error(String),
}

/// The agent's state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The agent's version.
    pub version: String,
    /// The agent's process.
    pub pid: u32,
    /// The gateway's TCP port.
    pub port: u16,
    /// Interfaces to which the spotter is attached.
    pub interfaces: Vec<InterfaceStatus>,
    /// Where the host swaps to.
    #[serde(default)]
    pub swap: Swap,
    /// Sealed functions, by name.
    pub functions: Vec<FunctionStatus>,
    /// Names of further ones, which did not answer in time.
    #[serde(default)]
    pub busy: Vec<String>,
    /// The spotter's and the agent's counters, by name.
    pub counters: BTreeMap<String, u64>,
    /// The latest leases, oldest first.
    pub timelines: Vec<Timeline>,
}

/// An interface at which requests are spotted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// The hook at which the spotter is attached.
    pub attached: Hook,
}

impl InterfaceStatus {
    /// Those of the spotter, by name.
    #[must_use]
    pub fn all(spotter: &Spotter) -> Vec<Self> {
        let mut all: Vec<Self> = spotter
            .interfaces()
            .map(|(name, attached)| Self {
                name: name.to_owned(),
                attached,
            })
            .collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }
}
