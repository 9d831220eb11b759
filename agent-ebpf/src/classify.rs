//! Whether a segment may be, or become, a request for a sealed function that carries the key, or have one behind a request
//! for something else.
//!
//! Only what can be told for certain passes.

use agent_ebpf::{Counter, NameKind};

use crate::{
    frame::Frame,
    maps::NAMES,
    packet::Segment,
    scan::{self, Found},
    start::{self, Start},
    turn::{self, Turn},
    work::Scratch,
};

/// What is to be done with a segment, and the counter that tells so.
pub(crate) enum Verdict {
    Pass(Counter),
    Hold(Counter),
}

/// Judges the first payload segment of a flow that the agent does not have.
#[inline(always)]
pub(crate) fn classify(frame: &impl Frame, segment: &Segment, scratch: &mut Scratch) -> Verdict {
    let kind = match start::read(frame, segment, scratch) {
        Start::Other => return Verdict::Pass(Counter::Passed),
        Start::Unusual => return Verdict::Hold(Counter::HeldUndecided),
        // Elsewhere, a few bytes that could start a request are far more likely the end of a body.
        Start::Incomplete if turn::of(segment) == Turn::Client => {
            return Verdict::Hold(Counter::HeldUndecided);
        }
        Start::Incomplete => return Verdict::Pass(Counter::Passed),
        Start::Elsewhere => None,
        // SAFETY: the entry is copied at once.
        Start::Named => unsafe { NAMES.get(&scratch.name) }.copied(),
    };
    if kind == Some(NameKind::Unlocked as u32) {
        return Verdict::Hold(Counter::HeldDirect);
    }
    let is_sealed = kind.is_some();
    if !is_sealed && !scan::may_name_key(frame, segment, scratch) {
        return Verdict::Pass(Counter::Passed);
    }
    match scan::find_key_header(frame, segment, scratch) {
        Found::KeyBehind => Verdict::Hold(Counter::HeldUndecided),
        // Nobody's business but that function's, whatever it carries.
        _ if !is_sealed => Verdict::Pass(Counter::Passed),
        Found::KeyHeader => Verdict::Hold(Counter::HeldKeyed),
        Found::EndOfHead => Verdict::Pass(Counter::PassedKeyless),
        Found::Neither => Verdict::Hold(Counter::HeldUndecided),
    }
}
