//! What a connection waits for: the rest of a head, or the gateway's answer to what came before.
use agent_ebpf::FlowKey;
use tokio::time::Instant;

use super::{Switchboard, flow::Flow};
use crate::{daemon::registry::Registry, head::Target, lease::Message};

impl Switchboard {
    /// When something that is waited for may be late: see [`Self::expire`].
    pub(in crate::daemon) fn due(&self) -> Option<Instant> {
        self.timers.next()
    }

    pub(super) fn answered(&mut self, key: &FlowKey, time: u64, registry: &Registry) {
        let Some(flow) = self.flows.get_mut(key) else {
            return;
        };
        let was_doubtful = flow.connection.is_doubtful();
        let actions = flow.connection.answered();
        if was_doubtful {
            flow.deadline = None;
            self.act(key, actions, registry);
            self.wait(key);
        } else {
            self.tell(key, registry, |flow| Message::Answered(flow, time));
        }
    }

    /// Acknowledges parts of heads whose rest does not come soon, and judges what there is of those whose rest does not
    /// come in time.
    pub(in crate::daemon) fn expire(&mut self, now: Instant, registry: &Registry) {
        let is_late = |time: Option<Instant>| time.is_some_and(|time| time <= now);
        for key in self.timers.take_due(now) {
            let Some(flow) = self.flows.get_mut(&key) else {
                continue;
            };
            flow.timer = None;
            let is_over = is_late(flow.deadline);
            if is_late(flow.acknowledge) {
                self.acknowledge(&key);
            }
            if is_over {
                self.end_wait(&key, registry);
            }
            self.set_timer(&key);
        }
    }

    /// Ends the wait for what has not come in its time.
    fn end_wait(&mut self, key: &FlowKey, registry: &Registry) {
        let Some(flow) = self.flows.get_mut(key) else {
            return;
        };
        flow.deadline = None;
        if flow.connection.is_doubtful() {
            self.take_for_body(key, registry);
            self.wait(key);
        } else {
            self.counters.heads_timed_out += 1;
            let actions = flow.connection.give_up();
            self.act(key, actions, registry);
        }
    }

    pub(super) fn which(&self, is_meant: impl Fn(&Flow) -> bool) -> Vec<FlowKey> {
        let flows = self.flows.iter();
        flows
            .filter(|(_, flow)| is_meant(flow))
            .map(|(key, _)| *key)
            .collect()
    }

    /// Takes what waits for an answer for a body, unless it names an unlocked container, of which nobody is told.
    pub(super) fn take_for_body(&mut self, key: &FlowKey, registry: &Registry) {
        let Some(flow) = self.flows.get_mut(key) else {
            return;
        };
        if !flow.connection.is_doubtful() {
            return;
        }
        let is_direct = |target| match target {
            Target::Function { name } | Target::Async { name } => registry.is_unlocked(&name),
            Target::Other => false,
        };
        let actions = if flow.connection.doubtful_calls().any(is_direct) {
            flow.connection.take_for_requests()
        } else {
            self.counters.lookalikes_passed += 1;
            flow.connection.give_up()
        };
        self.act(key, actions, registry);
    }

    /// Waits for what a connection lacks.
    pub(super) fn wait(&mut self, key: &FlowKey) {
        if let Some(flow) = self.flows.get_mut(key) {
            flow.set_deadline(&self.patience);
            self.set_timer(key);
        }
    }

    /// Notes when something of a connection is late.
    fn set_timer(&mut self, key: &FlowKey) {
        if let Some(flow) = self.flows.get_mut(key) {
            let due = flow.due();
            self.timers.set(*key, &mut flow.timer, due);
        }
    }
}
