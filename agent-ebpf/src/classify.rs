//! Whether a segment may be, or become, a request for a sealed function that carries the key.
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
    match start::read(frame, segment, scratch) {
        Start::Other => Verdict::Pass(Counter::Passed),
        Start::Unusual => Verdict::Hold(Counter::HeldUndecided),
        // Elsewhere, a few bytes that could start a request are far more likely the end of a body.
        Start::Incomplete if turn::of(segment) == Turn::Client => {
            Verdict::Hold(Counter::HeldUndecided)
        }
        Start::Incomplete => Verdict::Pass(Counter::Passed),
        Start::Named => named(frame, segment, scratch),
    }
}

#[inline(always)]
fn named(frame: &impl Frame, segment: &Segment, scratch: &mut Scratch) -> Verdict {
    // SAFETY: the entry is copied at once.
    let Some(kind) = (unsafe { NAMES.get(&scratch.name) }).copied() else {
        return Verdict::Pass(Counter::Passed);
    };
    if kind == NameKind::Unlocked as u32 {
        return Verdict::Hold(Counter::HeldDirect);
    }
    match scan::find_key_header(frame, segment, scratch) {
        Found::KeyHeader => Verdict::Hold(Counter::HeldKeyed),
        Found::EndOfHead => Verdict::Pass(Counter::PassedKeyless),
        Found::KeyBehind | Found::Neither => Verdict::Hold(Counter::HeldUndecided),
    }
}
