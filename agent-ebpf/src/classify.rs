//! Whether a segment may be, or become, a request for a sealed function that carries the key, or have one behind a request
//! for something else.
//!
//! Only what can be told for certain passes.

use agent_ebpf::{Counter, NameKind, sample};

use crate::{
    frame::Frame,
    maps::NAMES,
    packet::Segment,
    scan::{self, Found},
    start,
    target::Start,
    turn,
    work::Scratch,
};

/// What is to be done with a segment, and the counter that tells so.
pub(crate) enum Class {
    Pass(Counter),
    Hold(Counter),
}

/// Judges a payload segment of a flow that the agent does not have. One that starts no request may go on with one, and have
/// others inside.
#[inline(always)]
pub(crate) fn classify(frame: &impl Frame, segment: &Segment, scratch: &mut Scratch) -> Class {
    let kind = match start::read(frame, segment, scratch) {
        Start::Unusual => return Class::Hold(Counter::HeldUndecided),
        // Elsewhere, a few bytes that could start a request are far more likely of a body.
        Start::Incomplete if turn::is_clients(segment) => {
            return Class::Hold(Counter::HeldUndecided);
        }
        Start::Other | Start::Incomplete => {
            scratch.look_inside();
            None
        }
        Start::Elsewhere => None,
        // SAFETY: the entry is copied at once.
        Start::Named => unsafe { NAMES.get(&scratch.name) }.copied(),
    };
    if kind == Some(NameKind::Unlocked as u32) {
        return Class::Hold(Counter::HeldDirect);
    }
    let is_sealed = kind.is_some();
    if !is_sealed {
        if scratch.needs_path_cleaning != 0 {
            return Class::Hold(Counter::HeldUndecided);
        }
        scan::look_behind(frame, segment, scratch);
        if scratch.behind() == 0 {
            return pass(frame, segment, scratch, Counter::Passed);
        }
    }
    match scan::find_key_header(frame, segment, scratch) {
        Found::KeyHeader if is_sealed => Class::Hold(Counter::HeldKeyed),
        // Nobody's business but that function's, unless there is a request behind it.
        Found::KeyHeader if scratch.behind() & sample::LINE == 0 => {
            pass(frame, segment, scratch, Counter::Passed)
        }
        Found::EndOfHead if is_sealed => pass(frame, segment, scratch, Counter::PassedKeyless),
        Found::EndOfHead => pass(frame, segment, scratch, Counter::Passed),
        Found::KeyHeader | Found::RequestBehind | Found::Neither => {
            Class::Hold(Counter::HeldUndecided)
        }
    }
}

/// Lets a segment pass if it ends where its request does, as far as that can be told: behind a part of another one's head,
/// the rest would not be looked at.
#[inline(always)]
fn pass(frame: &impl Frame, segment: &Segment, scratch: &Scratch, counter: Counter) -> Class {
    if scratch.is_bodiless != 0 {
        if !scan::ends_with_empty_line(frame, segment) {
            return Class::Hold(Counter::HeldUndecided);
        }
        turn::passed(segment);
    }
    Class::Pass(counter)
}
