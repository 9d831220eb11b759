//! What is to become of a request.
use agent_ebpf::FlowKey;
use rsfaas_shim::Refusal;

use super::{Switchboard, keys};
use crate::{
    daemon::registry::Registry,
    head::{Action, Decision, Request, RequestId, Target},
    lease::{Message, Request as LeaseRequest},
};

impl Switchboard {
    /// Decides about a request, or asks the function's lease to.
    pub(super) fn judge(
        &mut self,
        key: &FlowKey,
        id: RequestId,
        request: Request,
        registry: &Registry,
    ) -> Vec<Action> {
        let Some(flow) = self.flows.get_mut(key) else {
            return Vec::new();
        };
        // Of a connection that holds no lease, the programs tell the next request themselves.
        let not_ours = if flow.functions.is_empty() {
            Decision::Leave
        } else {
            Decision::Pass
        };
        let decision = match &request.target {
            Target::Other => not_ours,
            Target::Function { name } | Target::Async { name } if registry.is_unlocked(name) => {
                self.counters.direct += 1;
                Decision::Hide
            }
            Target::Async { name } if registry.is_sealed(name) && keys::are_in(&request) => {
                self.refuse(Refusal::AsyncUnsupported)
            }
            Target::Async { .. } => not_ours,
            Target::Function { name } => match (registry.lease(name), keys::of(&request)) {
                (None, _) if registry.is_left(name) && keys::are_in(&request) => {
                    self.refuse(Refusal::RebuildFailed)
                }
                (None, _) => not_ours,
                (Some(_), _) if !keys::are_in(&request) => Decision::Pass,
                // The gateway redirects to the clean path, and the client comes again.
                (Some(_), _) if !request.direct => Decision::Strip,
                // A next key alone opens nothing.
                (Some(_), Ok(None)) => Decision::Strip,
                (Some(_), Err(refusal)) => self.refuse(refusal),
                (Some(lease), Ok(Some(keys))) => {
                    let held = flow.held;
                    flow.functions.insert(name.clone());
                    if keys.next.is_none()
                        && let Some(door) = registry.door(name)
                        && let Some(container) = door.try_enter(*key, &keys.present)
                    {
                        let way = (name.clone(), container);
                        return self.serve_by_door(key, id, way, request.lengths, registry);
                    }
                    let request = LeaseRequest {
                        flow: *key,
                        id,
                        key: keys.present,
                        next_key: keys.next,
                        held,
                    };
                    if lease.send(Message::Request(request)).is_ok() {
                        return Vec::new();
                    }
                    // The function has just been unsealed.
                    Decision::Strip
                }
            },
        };
        self.decide(key, id, &decision)
    }

    pub(super) fn refuse(&mut self, refusal: Refusal) -> Decision {
        self.counters.refused(refusal);
        Decision::Refuse(refusal)
    }
}
