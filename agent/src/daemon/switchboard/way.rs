//! The way back into the host: through the interface on which a segment was caught.
use std::io;

use agent_ebpf::FlowKey;

use super::{Flow, Switchboard};
use crate::{
    release::Frame,
    spot::{Caught, Hook},
};

/// What the way back through an interface asks of a frame.
#[derive(Clone, Copy)]
pub(super) struct Way {
    /// Bytes of a packet at most.
    mtu: u32,
    pub(super) hook: Hook,
}

impl Default for Way {
    /// For an interface that is not known: Ethernet's MTU.
    fn default() -> Self {
        Self {
            mtu: 1500,
            hook: Hook::Tc,
        }
    }
}

impl Switchboard {
    /// Learns an interface's MTU, in bytes, and the hook at which its packets are spotted.
    pub(in crate::daemon) fn set_interface(&mut self, interface: u32, mtu: u32, hook: Hook) {
        self.interfaces.insert(interface, Way { mtu, hook });
    }

    /// Whether an interface is one of the pair by which frames are released.
    pub(in crate::daemon) fn sends_by(&self, interface: u32) -> bool {
        self.port.has(interface)
    }

    /// Forgets an interface that has gone.
    pub(in crate::daemon) fn forget_interface(&mut self, interface: u32) {
        self.interfaces.remove(&interface);
    }

    /// Ends the connections of clients that were told that a part of a head has come: they do not send it again.
    pub(in crate::daemon) fn end_acknowledged(&mut self) {
        for key in self.which(Flow::has_acknowledged_part) {
            self.reset(&key);
            self.forget_reset(&key);
        }
    }

    /// Ends a client's connection.
    pub(super) fn reset(&mut self, key: &FlowKey) {
        let template = self.flows.get(key).and_then(|flow| flow.template.as_ref());
        if let Some((frame, caught)) = template.map(|it| (it.reset(), it.caught())) {
            self.reply(&frame, caught);
        }
    }

    /// Tells a client that the part of a head has come which is held.
    pub(super) fn acknowledge(&mut self, key: &FlowKey) {
        let Some(flow) = self.flows.get_mut(key) else {
            return;
        };
        flow.acknowledge = None;
        let (Some(template), Some(end)) = (&flow.template, flow.connection.awaited()) else {
            return;
        };
        let (frame, caught) = (template.acknowledgement(end), template.caught());
        let reset = template.reset();
        flow.acknowledged = Some(end);
        // Before the client knows.
        noted(self.pending_resets.note(*key, &reset));
        if self.reply(&frame, caught) {
            self.counters.heads_acknowledged += 1;
        }
    }

    /// Takes it back that a connection is to be reset.
    pub(super) fn forget_reset(&mut self, key: &FlowKey) {
        noted(self.pending_resets.remove(key));
    }

    /// Sends a client a frame; whether it was sent.
    fn reply(&mut self, frame: &Frame, caught: Caught) -> bool {
        let sent = self.port.reply(frame, caught);
        if let Err(error) = &sent {
            self.counters.frames_lost += 1;
            tracing::warn!(%error, "a client could not be told what has come of it");
        }
        sent.is_ok()
    }

    /// Removes the way back into the host.
    pub(in crate::daemon) async fn close(self) {
        self.port.close().await;
    }

    pub(super) fn release(&mut self, key: &FlowKey, sequence: u32, bytes: &[u8]) {
        // What is released was held before.
        let Some(template) = self.flows.get(key).and_then(|it| it.template.as_ref()) else {
            return;
        };
        let caught = template.caught();
        let way = self.way(caught);
        for frame in template.frames(sequence, bytes, way.mtu as usize) {
            match self.port.send(frame, caught, way.hook) {
                Ok(()) => self.counters.frames_released += 1,
                Err(error) => {
                    // The client sends it again, or what follows it of a head: the same bytes are released.
                    self.counters.frames_lost += 1;
                    tracing::warn!(%error, "a frame could not be released");
                }
            }
        }
    }

    pub(super) fn way(&self, caught: Caught) -> Way {
        let way = self.interfaces.get(&caught.interface).copied();
        let mut way = way.unwrap_or_default();
        if caught.leaving {
            // At XDP packets only come in.
            way.hook = Hook::Tc;
        }
        way
    }
}

fn noted(outcome: io::Result<()>) {
    if let Err(error) = outcome {
        tracing::warn!(%error, "if the agent is killed now, a client whose head it has in part waits in vain");
    }
}
