//! A program that is attached at TC, and whether it is there still.
use aya::{
    Ebpf,
    programs::{TcAttachType, tc::SchedClassifierLinkId},
};
use nix::net::if_::if_nametoindex;

use super::{
    SpotError,
    attach::{at_tc, classifier, detached, note},
    clsact,
};
use crate::chain;

/// A program at a hook of an interface.
pub(super) struct Tc {
    program: &'static str,
    at: TcAttachType,
    /// None where it was taken away and could not be attached again.
    link: Option<SchedClassifierLinkId>,
}

impl Tc {
    pub(super) fn new(
        program: &'static str,
        at: TcAttachType,
        link: SchedClassifierLinkId,
    ) -> Self {
        Self {
            program,
            at,
            link: Some(link),
        }
    }

    pub(super) fn is_attached(&self) -> bool {
        self.link.is_some()
    }

    /// Lets go of it, where it is attached.
    pub(super) fn detach(&mut self, ebpf: &mut Ebpf) -> Result<(), SpotError> {
        let Some(link) = self.link.take() else {
            return Ok(());
        };
        let program = classifier(ebpf, self.program)?;
        detached(self.program, program.detach(link))
    }

    /// Attaches it again where another program has taken it away, or put its own before. Before Linux 6.6 only: later nobody
    /// else can.
    pub(super) fn restore(&mut self, ebpf: &mut Ebpf, interface: &str, index: u32) {
        let is_known = self.is_attached();
        if is_known && self.is_in_place(interface, index) {
            return;
        }
        let program = self.program;
        if is_known {
            tracing::warn!(
                interface,
                program,
                "another program has taken the spotter's away, or has put its own before; attaching it again"
            );
        }
        note(interface, self.detach(ebpf));
        match at_tc(ebpf, program, interface, self.at) {
            Ok(link) => {
                if !is_known {
                    tracing::info!(interface, program, "attached again");
                }
                self.link = Some(link);
            }
            // Told once: it is tried at each look.
            Err(error) if is_known => {
                let error = chain::of(&error);
                tracing::warn!(
                    error,
                    "requests through this interface are not spotted until that works"
                );
            }
            Err(_) => {}
        }
    }

    fn is_in_place(&self, interface: &str, index: u32) -> bool {
        let is_in_place = clsact::is_in_place(index, self.at).unwrap_or_else(|error| {
            tracing::debug!(interface, %error, "its filters");
            true
        });
        // The interface has just gone.
        is_in_place || if_nametoindex(interface) != Ok(index)
    }
}
