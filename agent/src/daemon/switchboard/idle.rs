//! Connections on which nothing happens: a client that has vanished sends no end, and a reverse proxy
//! keeps its connections open when a caller has gone.
use std::time::Duration;

use agent_ebpf::{Awaited, FlowKey};

use super::{Flow, Switchboard};
use crate::{clock::monotonic_now, daemon::registry::Registry};

/// How often the kernel's whole table is looked through.
const SWEEP: Duration = Duration::from_secs(60);

impl Switchboard {
    /// Takes the lease from connections that have been idle for too long; a later keyed request on one
    /// is held again. Those that are idle still, and hold none, are forgotten.
    pub(in crate::daemon) fn rest(&mut self, registry: &Registry) {
        let now = monotonic_now();
        let idle: Vec<FlowKey> = self
            .flows
            .keys()
            .filter(|key| self.is_idle(key, now))
            .copied()
            .collect();
        for key in idle {
            let Some(flow) = self.flows.get_mut(&key) else {
                continue;
            };
            if flow.functions.is_empty() {
                if flow.has_acknowledged_part() {
                    self.reset(&key);
                }
                self.forget(&key);
                continue;
            }
            self.counters.leases_idle += 1;
            self.leave(&key, registry);
            if let Some(flow) = self.flows.get_mut(&key) {
                flow.functions.clear();
            }
        }
        if now.saturating_sub(self.swept) >= SWEEP.as_nanos() as u64 {
            self.swept = now;
            self.sweep(now);
        }
        // Where it could not be told that something may have failed, it is seen now.
        self.shut_failed(registry);
    }

    /// Has the kernel forget flows of which nothing ever came here: there was no room for their first segment, and the
    /// client has not sent it again.
    fn sweep(&mut self, now: u64) {
        let limit = self.idle_limit.as_nanos() as u64;
        match self.table.last_seen_before(now.saturating_sub(limit)) {
            Ok(silent) => {
                for key in silent {
                    if !self.flows.contains_key(&key) {
                        self.forget(&key);
                    }
                }
            }
            Err(error) => self.note(Err(error)),
        }
    }

    /// Whether nothing was seen of the client for the limit, and nobody waits for anything.
    fn is_idle(&self, key: &FlowKey, now: u64) -> bool {
        let Some(flow) = self.flows.get(key) else {
            return false;
        };
        if flow.connection.is_judged() {
            return false;
        }
        match self.table.get(key) {
            Ok(Some(known)) => {
                let silence = Duration::from_nanos(now.saturating_sub(known.last_seen));
                silence >= self.idle_limit && !awaits_answer(flow, &known)
            }
            // The kernel does not know it: nothing of it will come any more.
            Ok(None) => true,
            Err(error) => {
                tracing::warn!(%error, "the table of flows");
                false
            }
        }
    }
}

/// Whether a lease depends on an answer that has not come. Where none does, an answer that never comes must not keep
/// what the kernel knows: nothing else may come of the flow, not even its end.
fn awaits_answer(flow: &Flow, known: &agent_ebpf::Flow) -> bool {
    let is_answered = known.awaited == Awaited::Nothing as u32 && known.answered >= flow.served;
    !flow.functions.is_empty() && !is_answered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::Connection;

    #[test]
    fn an_answer_is_awaited_only_for_a_lease() {
        let mut flow = Flow::new(Connection::new("X-RsFaaS-Key"), 0);
        let mut known = agent_ebpf::Flow::held(0);
        known.awaited = Awaited::Answer as u32;
        assert!(!awaits_answer(&flow, &known));
        flow.functions.insert("pydict".into());
        assert!(awaits_answer(&flow, &known));
        known.awaited = Awaited::Nothing as u32;
        assert!(!awaits_answer(&flow, &known));
        // The one before this request.
        (known.answered, flow.served) = (1, 2);
        assert!(awaits_answer(&flow, &known));
    }
}
