//! Who asks for something in the tests of leases, and what there is to tell of a function.
use agent_ebpf::{FlowKey, HeldPlace};

use super::{FunctionStatus, Phase};
use crate::{
    head::{Action, Connection, RequestId},
    state::{Isolation, Rebuild},
};

/// A function that nobody has called, and of which nothing is parked.
pub(crate) fn locked(name: &str) -> FunctionStatus {
    FunctionStatus {
        name: name.to_owned(),
        phase: Phase::Locked,
        rebuild: Rebuild::Mount,
        isolation: Isolation::Shared,
        key_id: None,
        connections: 0,
        unlocked: None,
        leases: Vec::new(),
        parked: Vec::new(),
        unlocks: 0,
        last_error: None,
    }
}

/// A connection from a port.
pub(crate) fn flow(port: u16) -> FlowKey {
    FlowKey {
        source: [0; 16],
        destination: [0; 16],
        source_port: port,
        destination_port: 8080,
    }
}

/// What a request is known by.
pub(super) fn id() -> RequestId {
    let request = b"GET /function/pydict HTTP/1.1\r\nHost: faas\r\n\r\n";
    let actions = Connection::new("X-RsFaaS-Key").segment(1, request, HeldPlace::default());
    let judged = actions.iter().find_map(|action| match action {
        Action::Judge { id, .. } => Some(*id),
        _ => None,
    });
    judged.unwrap()
}
