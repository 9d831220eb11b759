//! Other programs at the hook where the agent has its own: one that was there before, and one that came after.

use aya::{
    programs::{
        LinkOrder, ProgramError, SchedClassifier, TcAttachType,
        tc::{self, NlOptions, TcAttachOptions},
    },
    sys::{Stats, enable_stats},
};
use rsfaas::spot::{Spotter, has_tcx};

use crate::failure::Failure;

/// They leave what comes in as it is. Two, since TCX has no program twice.
const BEFORE: &str = "null_tc";
const AFTER: &str = "answer_ethernet";

/// How often each has run.
pub(crate) fn runs(spotter: &mut Spotter) -> Result<[u64; 2], Failure> {
    let mut runs = [0; 2];
    for (runs, program) in runs.iter_mut().zip([BEFORE, AFTER]) {
        *runs = spotter.classifier(program)?.info()?.run_count();
    }
    Ok(runs)
}

/// Has the kernel count, for as long as what is given is open.
pub(crate) fn counted() -> Result<impl Sized, Failure> {
    Ok(enable_stats(Stats::RunTime).map_err(ProgramError::from)?)
}

/// Attaches the one before the agent's.
pub(crate) fn attach_before(spotter: &mut Spotter, interface: &str) -> Result<(), Failure> {
    if !has_tcx() {
        tc::qdisc_add_clsact(interface).map_err(ProgramError::from)?;
    }
    attach(spotter, BEFORE, interface, 1, LinkOrder::first())
}

/// Attaches the other one, behind the agent's.
pub(crate) fn attach_after(spotter: &mut Spotter, interface: &str) -> Result<(), Failure> {
    attach(spotter, AFTER, interface, 2, LinkOrder::last())
}

/// Takes a program of the agent's away, as a clean-up script does; there is no way to where it is attached by a link.
pub(crate) fn take_away(program: &str, interface: &str) -> Result<(), Failure> {
    Ok(
        tc::qdisc_detach_program(interface, TcAttachType::Ingress, program)
            .map_err(ProgramError::from)?,
    )
}

fn attach(
    spotter: &mut Spotter,
    program: &'static str,
    interface: &str,
    priority: u16,
    order: LinkOrder,
) -> Result<(), Failure> {
    let options = if has_tcx() {
        TcAttachOptions::TcxOrder(order)
    } else {
        TcAttachOptions::Netlink(NlOptions {
            priority,
            ..NlOptions::default()
        })
    };
    let program: &mut SchedClassifier = spotter.classifier(program)?;
    program.attach_with_options(interface, TcAttachType::Ingress, options)?;
    Ok(())
}
