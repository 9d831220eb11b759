//! What a lease's driver is told, and what it tells.
use agent_ebpf::FlowKey;
use rsfaas_shim::Refusal;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::Phase;
use crate::{head::RequestId, rebuild::ParkedStatus, seal::key::Key};

/// A request with a well-formed key, to be judged.
pub struct Request {
    /// The connection on which it came.
    pub flow: FlowKey,
    /// The request on that connection.
    pub id: RequestId,
    /// The key that it carries.
    pub key: Key,
    /// When it was held: monotonic clock, nanoseconds.
    pub held: u64,
}

/// What is to become of a request.
pub struct Verdict {
    /// The connection.
    pub flow: FlowKey,
    /// The request.
    pub id: RequestId,
    /// To which container it goes, or why to none.
    pub outcome: Result<String, Refusal>,
}

/// What the driver is told.
pub enum Message {
    /// A request came.
    Request(Request),
    /// A connection that had requests for this function has ended.
    Closed(FlowKey),
    /// The answer to a connection's request has begun, at this time.
    Answered(FlowKey, u64),
    /// A request was released, at this time.
    Released(FlowKey, u64),
    /// The lease is to end now; told when everything is ciphertext.
    Lock(oneshot::Sender<()>),
    /// Somebody wants to know.
    Status(oneshot::Sender<FunctionStatus>),
    /// The agent stops, or the function is no longer sealed: lock, remove what is parked, end.
    Stop,
}

/// A function's state, as `rsfaas status` shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FunctionStatus {
    /// The function.
    pub name: String,
    /// Where it stands.
    pub phase: Phase,
    /// How the unlocked container comes to its handler.
    pub rebuild: crate::state::Rebuild,
    /// The key's public name.
    pub key_id: Option<String>,
    /// Connections that hold the lease or wait for it.
    pub connections: usize,
    /// The container that serves.
    pub unlocked: Option<String>,
    /// Containers that wait.
    pub parked: Vec<ParkedStatus>,
    /// Unlocks since the agent's start.
    pub unlocks: u64,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
}
