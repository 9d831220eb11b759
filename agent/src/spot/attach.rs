//! Attaching the programs to an interface, at TC or XDP.
use aya::{
    Ebpf,
    programs::{
        LinkOrder, ProgramError, SchedClassifier, TcAttachType, Xdp, XdpMode,
        tc::{SchedClassifierLinkId, TcAttachOptions},
        xdp::XdpLinkId,
    },
    util::KernelVersion,
};

use super::{Attach, Hook, Interface, SpotError, clsact, hook, tc::Tc};
use crate::chain;

/// Ingress of interfaces with an Ethernet header.
pub(super) const SPOT: &str = "spot_ethernet";
/// Egress of interfaces with an Ethernet header.
pub(super) const WATCH: &str = "watch_ethernet";
/// What leaves this host: egress hands it over to this program.
pub(super) const LEAVING: &str = "spot_leaving";
/// TC ingress of interfaces where XDP spots.
const ANSWER: &str = "answer_ethernet";
/// Whatever goes out on the loopback interface comes in on it: there one program does the work of both.
const LOOPBACK: &str = "spot_loopback";
const XDP: &str = "spot_xdp";
/// Ingress of interfaces whose packets start with the IP header.
const SPOT_IP: &str = "spot_ip";
/// Egress of interfaces whose packets start with the IP header.
const WATCH_IP: &str = "watch_ip";
/// Every program at TC, and its hook.
const ANYWHERE: [(&str, TcAttachType); 6] = [
    (SPOT, TcAttachType::Ingress),
    (SPOT_IP, TcAttachType::Ingress),
    (LOOPBACK, TcAttachType::Ingress),
    (ANSWER, TcAttachType::Ingress),
    (WATCH, TcAttachType::Egress),
    (WATCH_IP, TcAttachType::Egress),
];

/// The programs at an interface.
pub(super) struct Attached {
    pub(super) interface: Interface,
    pub(super) hook: Hook,
    /// What was asked for.
    pub(super) wanted: Attach,
    xdp: Option<XdpLinkId>,
    tc: Vec<Tc>,
}

impl Attached {
    /// Attaches them. What is in the way of XDP is logged, and TC taken.
    pub(super) fn to(
        ebpf: &mut Ebpf,
        interface: &Interface,
        wanted: Attach,
    ) -> Result<Self, SpotError> {
        let (hook, xdp) = match at_xdp_if(ebpf, interface, wanted) {
            Some((hook, link)) => (hook, Some(link)),
            None => (Hook::Tc, None),
        };
        let mut attached = Self {
            interface: interface.clone(),
            hook,
            wanted,
            xdp,
            tc: Vec::new(),
        };
        for (program, at) in at_tc_beside(interface, hook) {
            match at_tc(ebpf, program, &interface.name, at) {
                Ok(link) => attached.tc.push(Tc::new(program, at, link)),
                Err(error) => {
                    // Left there, the others would be in the way of the next attempt.
                    attached.detach(ebpf);
                    return Err(error);
                }
            }
        }
        Ok(attached)
    }

    /// Attaches those at TC again that others have taken away, or put theirs before.
    pub(super) fn restore(&mut self, ebpf: &mut Ebpf) {
        for tc in &mut self.tc {
            tc.restore(ebpf, &self.interface.name, self.interface.index);
        }
    }

    /// Whether every program is attached that was to be.
    pub(super) fn is_whole(&self) -> bool {
        self.tc.iter().all(Tc::is_attached)
    }

    /// Lets go of them. With an interface that is gone the kernel has detached them already, and only
    /// the handles are left.
    pub(super) fn detach(self, ebpf: &mut Ebpf) {
        if let Some(link) = self.xdp {
            let result = xdp(ebpf).and_then(|program| detached(XDP, program.detach(link)));
            note(&self.interface.name, result);
        }
        for mut tc in self.tc {
            note(&self.interface.name, tc.detach(ebpf));
        }
    }
}

/// The programs at TC for an interface that is spotted at this hook; first what holds requests.
fn at_tc_beside(interface: &Interface, hook: Hook) -> Vec<(&'static str, TcAttachType)> {
    let (ingress, egress) = match (interface.ethernet, hook) {
        _ if interface.loopback => return vec![(LOOPBACK, TcAttachType::Ingress)],
        (false, _) => (SPOT_IP, WATCH_IP),
        (true, Hook::Tc) => (SPOT, WATCH),
        (true, Hook::XdpDriver | Hook::XdpGeneric) => (ANSWER, WATCH),
    };
    vec![
        (ingress, TcAttachType::Ingress),
        (egress, TcAttachType::Egress),
    ]
}

pub(super) fn note(interface: &str, result: Result<(), SpotError>) {
    if let Err(error) = result {
        tracing::debug!(interface, %error, "already detached");
    }
}

/// Attaches the XDP program where it is wanted and possible.
fn at_xdp_if(ebpf: &mut Ebpf, interface: &Interface, wanted: Attach) -> Option<(Hook, XdpLinkId)> {
    let name = interface.name.as_str();
    if wanted != Attach::Xdp {
        return None;
    }
    if let Some(reason) = hook::obstacle(interface) {
        tracing::warn!(interface = name, reason, "no XDP here; at TC");
        return None;
    }
    match at_xdp(ebpf, name) {
        Ok((hook, link)) => {
            tracing::info!(interface = name, %hook, "requests are spotted at XDP");
            Some((hook, link))
        }
        Err(error) => {
            let error = chain::of(&error);
            tracing::warn!(interface = name, error, "no XDP here; at TC");
            None
        }
    }
}

/// Attaches the XDP program, in the driver where that can.
fn at_xdp(ebpf: &mut Ebpf, interface: &str) -> Result<(Hook, XdpLinkId), SpotError> {
    let program = xdp(ebpf)?;
    match program.attach(interface, XdpMode::Driver) {
        Ok(link) => return Ok((Hook::XdpDriver, link)),
        Err(error) => tracing::debug!(interface, %error, "no XDP in the driver"),
    }
    program
        .attach(interface, XdpMode::Skb)
        .map(|link| (Hook::XdpGeneric, link))
        .map_err(|source| SpotError::attach(XDP, interface, source))
}

/// Attaches a TC program, first in the chain: what is to be held must not be answered, redirected or
/// rewritten by another program before.
pub(super) fn at_tc(
    ebpf: &mut Ebpf,
    name: &'static str,
    interface: &str,
    hook: TcAttachType,
) -> Result<SchedClassifierLinkId, SpotError> {
    let program = classifier(ebpf, name)?;
    if !has_tcx() {
        return clsact::attach(program, name, interface, hook);
    }
    let options = TcAttachOptions::TcxOrder(LinkOrder::first());
    program
        .attach_with_options(interface, hook, options)
        .map_err(|source| SpotError::attach(name, interface, source))
}

/// A TC program, loaded when it is first needed.
pub(super) fn classifier<'a>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<&'a mut SchedClassifier, SpotError> {
    let program: &mut SchedClassifier = ebpf
        .program_mut(name)
        .ok_or(SpotError::Missing(name))?
        .try_into()
        .map_err(|source| refused(name, source))?;
    if program.fd().is_err() {
        program.load().map_err(|source| refused(name, source))?;
    }
    Ok(program)
}

/// The XDP program, loaded when it is first needed: a kernel older than 5.18 has no XDP programs for
/// packets in several buffers, and is served at TC.
pub(super) fn xdp(ebpf: &mut Ebpf) -> Result<&mut Xdp, SpotError> {
    let program: &mut Xdp = ebpf
        .program_mut(XDP)
        .ok_or(SpotError::Missing(XDP))?
        .try_into()
        .map_err(|source| refused(XDP, source))?;
    if program.fd().is_err() {
        program.load().map_err(|source| refused(XDP, source))?;
    }
    Ok(program)
}

/// Whether programs at TC are attached by links, which end with whoever holds them, and beside others: TCX came with
/// Linux 6.6. A kernel whose version cannot be read is taken for an older one: the clsact qdisc works there too.
#[must_use]
pub fn has_tcx() -> bool {
    KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(6, 6, 0))
}

/// Takes away what a killed agent left, from every interface of this network namespace: where programs are attached by
/// links, they ended with it.
///
/// # Errors
/// When the kernel refuses.
pub fn detach_left() -> Result<(), SpotError> {
    if has_tcx() {
        return Ok(());
    }
    clsact::detach_left(&ANYWHERE)
}

pub(super) fn detached(
    name: &'static str,
    result: Result<(), ProgramError>,
) -> Result<(), SpotError> {
    result.map_err(|source| refused(name, source))
}

pub(super) fn refused(name: &'static str, source: ProgramError) -> SpotError {
    SpotError::Program {
        name,
        source: Box::new(source),
    }
}
