//! The way back into the host: through the interface on which a segment was caught.
use agent_ebpf::FlowKey;

use super::Switchboard;
use crate::{
    release::{Frame, Template},
    spot::Hook,
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

    /// Forgets an interface that has gone.
    pub(in crate::daemon) fn forget_interface(&mut self, interface: u32) {
        self.interfaces.remove(&interface);
    }

    /// Ends the connections of clients that were told that a part of a head has come: they do not send it again.
    pub(in crate::daemon) fn end_acknowledged(&mut self) {
        for key in self.which(|flow| flow.is_acknowledged) {
            self.reply(&key, |template, _| template.reset());
        }
    }

    /// Tells a client that the part of a head has come which is held.
    pub(super) fn acknowledge(&mut self, key: &FlowKey) {
        if let Some(flow) = self.flows.get_mut(key) {
            flow.acknowledge = None;
        }
        if self.reply(key, Template::acknowledgement) {
            self.counters.heads_acknowledged += 1;
            if let Some(flow) = self.flows.get_mut(key) {
                flow.is_acknowledged = true;
            }
        }
    }

    /// Sends a client what a flow's newest frame and the end of what is held make of it; whether there was something to
    /// say, and it was sent.
    fn reply(&mut self, key: &FlowKey, frame: impl Fn(&Template, u32) -> Frame) -> bool {
        let Some(flow) = self.flows.get(key) else {
            return false;
        };
        let (Some(template), Some(end)) = (&flow.template, flow.connection.awaited()) else {
            return false;
        };
        match self.port.reply(&frame(template, end), template.interface()) {
            Ok(()) => true,
            Err(error) => {
                self.counters.frames_lost += 1;
                tracing::warn!(%error, "a client could not be told what has come of it");
                false
            }
        }
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
        let interface = template.interface();
        let way = self.way(interface);
        for frame in template.frames(sequence, bytes, way.mtu as usize) {
            match self.port.send(frame, interface, way.hook) {
                Ok(()) => self.counters.frames_released += 1,
                Err(error) => {
                    // The client sends it again, and gets the same bytes released.
                    self.counters.frames_lost += 1;
                    tracing::warn!(%error, "a frame could not be released");
                }
            }
        }
    }

    pub(super) fn way(&self, interface: u32) -> Way {
        self.interfaces.get(&interface).copied().unwrap_or_default()
    }
}
