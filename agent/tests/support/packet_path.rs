//! The agent without leases: whoever calls the sealed function on a connection gets the unlocked one.
use std::time::Instant;

use rsfaas::{
    head::{Action, Connection, Decision},
    release::{FrameTemplate, Port},
    spot::{Attach, Event, Events, Flows, HeldFrame, Hook, ReleaseSign, Spotter},
};

use crate::namespace::{KEY_HEADER, interface};

/// The unlocked function.
pub(crate) const UNLOCKED: &str = "pydict-abc123-0";

/// What lies between the ring buffer and the released frames of one connection.
pub(crate) struct PacketPath {
    connection: Connection,
    template: Option<FrameTemplate>,
    port: Port,
    flows: Flows,
    mtu: usize,
    hook: Hook,
    /// When each request was decided about.
    decisions: Vec<Instant>,
}

impl PacketPath {
    /// Opens the way back, and attaches the programs to an interface.
    pub(crate) async fn open(
        spotter: &mut Spotter,
        sign: &ReleaseSign,
        name: &str,
        attach: Attach,
    ) -> Self {
        let port = Port::open(spotter, sign).await.unwrap();
        let interface = interface(name).await;
        let hook = spotter.attach(&interface, attach).unwrap();
        Self {
            connection: Connection::new(KEY_HEADER),
            template: None,
            port,
            flows: spotter.flows().unwrap(),
            mtu: interface.mtu as usize,
            hook,
            decisions: Vec::new(),
        }
    }

    /// Where the programs are attached.
    pub(crate) fn hook(&self) -> Hook {
        self.hook
    }

    /// When each request was decided about.
    pub(crate) fn decisions(&self) -> &[Instant] {
        &self.decisions
    }

    /// Until the gateway has closed the connection.
    pub(crate) async fn run(&mut self, events: &mut Events) {
        loop {
            for event in events.next(16).await.unwrap() {
                match event {
                    Event::Held(held) => self.held(&held),
                    Event::ServerFin(_) => return,
                    Event::Reset(_) => panic!("the connection was reset"),
                    Event::ClientFin(_)
                    | Event::Answer(..)
                    | Event::Failure(_)
                    | Event::Barrier
                    | Event::Admitted(_) => {}
                }
            }
        }
    }

    fn held(&mut self, held: &HeldFrame) {
        let template = FrameTemplate::of(held).unwrap();
        let (sequence, payload) = (template.sequence(), template.payload(&held.frame));
        let mut actions = self.connection.segment(sequence, payload, held.place);
        self.template = Some(template.after(self.template.as_ref()));
        while !actions.is_empty() {
            for action in std::mem::take(&mut actions) {
                match action {
                    Action::Judge { id, .. } => {
                        self.decisions.push(Instant::now());
                        let decision = Decision::Unlock(UNLOCKED.into());
                        actions.extend(self.connection.decide(id, &decision));
                    }
                    Action::Release { sequence, bytes } => self.release(sequence, &bytes),
                    Action::PassWindow { start, end } => {
                        self.flows.move_window(&held.flow, (start, end)).unwrap();
                    }
                    Action::Opaque | Action::OpaqueOnAnswer { .. } => panic!("given up"),
                }
            }
        }
    }

    fn release(&mut self, sequence: u32, bytes: &[u8]) {
        let template = self.template.as_ref().unwrap();
        for frame in template.frames(sequence, bytes, self.mtu) {
            self.port.send(frame, template.caught(), self.hook).unwrap();
        }
    }
}
