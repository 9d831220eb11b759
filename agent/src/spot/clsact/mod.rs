//! Attaching programs at TC before Linux 6.6: as filters of the `clsact` qdisc, which stay there when whoever attached them
//! is killed, and which others may take away, or put theirs before.
mod dump;
mod filter;
mod qdisc;

use std::io::{self, ErrorKind};

use aya::{
    programs::{
        ProgramError, SchedClassifier, TcAttachType,
        tc::{self, NlOptions, SchedClassifierLinkId, TcAttachOptions, TcError, TcHandle},
    },
    sys::NetlinkError,
};
use nix::{
    errno::Errno,
    net::if_::{if_nameindex, if_nametoindex},
};

pub(super) use self::filter::is_in_place;
pub use self::qdisc::qdisc_at_hooks;
use super::SpotError;

/// What the agent's filters are told by. Others take the first number of a priority, be it the kernel that gives it, and
/// replace what they find there.
const HANDLE: TcHandle = TcHandle::new(0x5266, 1);
/// The first priority at which a filter is tried, and the last. At one there are filters of one kind and protocol only.
const PRIORITIES: (u16, u16) = (1, 8);

/// Attaches a program, before the others of its priority.
pub(super) fn attach(
    program: &mut SchedClassifier,
    name: &'static str,
    interface: &str,
    hook: TcAttachType,
) -> Result<SchedClassifierLinkId, SpotError> {
    make_way(interface, name)?;
    let (mut priority, last) = PRIORITIES;
    loop {
        let options = NlOptions {
            priority,
            handle: HANDLE,
            ..NlOptions::default()
        };
        let options = TcAttachOptions::Netlink(options);
        match program.attach_with_options(interface, hook, options) {
            Err(error) if is_of_others(&error) && priority < last => priority += 1,
            Err(error) => return Err(SpotError::attach(name, interface, error)),
            Ok(link) => {
                if priority > PRIORITIES.0 {
                    tracing::warn!(
                        interface,
                        ?hook,
                        priority,
                        "other filters run first: what they let pass for good, or redirect, is not spotted"
                    );
                }
                return Ok(link);
            }
        }
    }
}

/// Whether there are filters of another kind, or for another protocol, at a priority.
fn is_of_others(error: &ProgramError) -> bool {
    matches!(
        error,
        ProgramError::TcError(TcError::NetlinkError(error))
            if error.raw_os_error() == Some(Errno::EINVAL as i32)
    )
}

/// Adds the qdisc that the hooks of older kernels need, where it is not there already.
fn make_way(interface: &str, name: &'static str) -> Result<(), SpotError> {
    let failed = |error: TcError| SpotError::attach(name, interface, error.into());
    match tc::qdisc_add_clsact(interface) {
        Err(TcError::NetlinkError(error)) if means(&error, ErrorKind::AlreadyExists) => {
            let kind = if_nametoindex(interface)
                .map_err(io::Error::from)
                .and_then(qdisc_at_hooks)
                .map_err(|error| failed(error.into()))?;
            only_clsact(interface, kind)
        }
        result => result.map_err(failed),
    }
}

/// Takes programs away from every interface of this network namespace, which a killed agent left there.
///
/// # Errors
/// When the kernel refuses.
pub(super) fn detach_left(programs: &[(&'static str, TcAttachType)]) -> Result<(), SpotError> {
    let interfaces = if_nameindex().map_err(|error| SpotError::Netlink(error.to_string()))?;
    let mut result = Ok(());
    for interface in &interfaces {
        let name = interface.name().to_string_lossy();
        for &(program, hook) in programs {
            match tc::qdisc_detach_program(&name, hook, program) {
                Ok(()) => {}
                Err(TcError::IoError(error)) if error.kind() == ErrorKind::NotFound => {}
                // It has just gone, with a container.
                Err(_) if if_nametoindex(&*name).is_err() => {}
                Err(error) => result = Err(SpotError::attach(program, &name, error.into())),
            }
        }
    }
    result
}

/// Refuses the other qdisc that there may be. It would take the egress program for its ingress: of no answer, and no end
/// of the gateway's, would be known, and leases would last until their limit.
fn only_clsact(interface: &str, kind: Option<String>) -> Result<(), SpotError> {
    match kind {
        Some(kind) if kind != "clsact" => Err(SpotError::Qdisc {
            interface: interface.to_owned(),
            kind,
        }),
        // Where it has just gone, nothing can be attached.
        _ => Ok(()),
    }
}

fn means(error: &NetlinkError, kind: ErrorKind) -> bool {
    error
        .raw_os_error()
        .is_some_and(|code| io::Error::from_raw_os_error(code).kind() == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qdisc_without_egress_is_refused_by_name_with_what_to_do() {
        let refused = only_clsact("eth7", Some("ingress".to_owned())).unwrap_err();
        let text = refused.to_string();
        assert!(
            text.contains("interface eth7 has the qdisc \"ingress\""),
            "{text}"
        );
        assert!(text.contains("`tc qdisc del dev eth7 ingress`"), "{text}");
        assert!(only_clsact("eth7", Some("clsact".to_owned())).is_ok());
        assert!(only_clsact("eth7", None).is_ok());
    }
}
