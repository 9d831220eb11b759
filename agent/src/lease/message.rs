//! What a lease's driver is told, and what it tells.
use agent_ebpf::FlowKey;
use rsfaas_shim::Refusal;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

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
    /// The key that is to open the function once this lease is over.
    pub next_key: Option<Key>,
    /// When it was held: monotonic clock, nanoseconds.
    pub held: u64,
}

/// What is to become of a request.
pub struct Verdict {
    /// The connection.
    pub flow: FlowKey,
    /// The request.
    pub id: RequestId,
    /// How the request is served, or why it is not.
    pub outcome: Result<Served, Refusal>,
}

/// How a request is served.
pub struct Served {
    /// The container that it goes to.
    pub container: String,
    /// Whether the lease has not seen an answer yet, and waits for [`Message::Answered`].
    pub is_first: bool,
}

/// Tells `rsfaas lock` when a lease is gone: it is kept for as long as anything of the lease is left, and the receiver
/// knows by the last one's end. What has failed is sent before.
pub type LockWaiter = mpsc::UnboundedSender<String>;

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
    /// Every request that the programs admitted before this function's admissions were closed has been reported.
    Drained,
    /// Every lease is to end now.
    Lock(LockWaiter),
    /// Somebody wants to know.
    Status(oneshot::Sender<FunctionStatus>),
    /// The function is no longer sealed, or not as it was: lock, remove what is parked, end.
    Stop,
    /// The agent stops: the same, but what cannot be removed soon is left to the sweep that follows.
    Quit,
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
    /// Who shares an unlocked container.
    pub isolation: crate::state::Isolation,
    /// The key's public name.
    pub key_id: Option<String>,
    /// Connections that hold a lease or wait for one.
    pub connections: usize,
    /// The container that serves; the one that has served for longest of several.
    pub unlocked: Option<String>,
    /// Every lease, the oldest first.
    pub leases: Vec<LeaseStatus>,
    /// Containers that wait.
    pub parked: Vec<ParkedStatus>,
    /// Unlocks since the agent's start.
    pub unlocks: u64,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
}

/// A lease, as `rsfaas status` shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeaseStatus {
    /// Where it stands.
    pub phase: Phase,
    /// The container that serves.
    pub container: Option<String>,
    /// Connections that hold it or wait for it.
    pub connections: usize,
    /// Address of the only client that it serves, where that is so.
    pub client: Option<String>,
    /// For how long it has been served, or waited for.
    pub seconds: u64,
    /// In how many seconds its hard limit ends it, whoever holds it; none where nothing serves.
    pub ends_in_seconds: Option<u64>,
    /// After how many seconds without a word a connection holds it no longer.
    pub idle_limit_seconds: u64,
    /// For how many seconds it serves on when nobody holds it any more.
    pub linger_seconds: u64,
    /// How many of these are left; none while somebody holds it.
    pub lingers_for_seconds: Option<u64>,
    /// Public name of the key that the function has from the end of this lease on, where that is another one.
    pub next_key_id: Option<String>,
}
