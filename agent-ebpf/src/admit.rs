//! Requests that go on by themselves: the head is one that the agent knows, and what it would send in its place is
//! written over it. The agent is told, in its own time.

use agent_ebpf::{
    Admission, AdmittedEvent, Counter, EventKind, HEAD_LEN, Tag, admitting, ring, sip::SipHash,
};
use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_PROD_POS},
    macros::map,
    maps::{Array, HashMap},
};

use crate::{
    clock::now,
    frame::{Frame, at_least_one},
    globals, hold,
    maps::{EVENTS, FLOWS, count},
    packet::Segment,
    turn,
    work::Scratch,
};

/// Numbers of admissions, by the names of the heads.
#[map]
static ADMITTED: HashMap<Tag, u32> = HashMap::with_max_entries(agent_ebpf::ADMISSIONS, 0);

/// What goes on in their place.
#[map]
static ADMISSIONS: Array<Admission> = Array::with_max_entries(agent_ebpf::ADMISSIONS, 0);

/// Whether any are let go on; see `admitting`.
#[map]
static ADMITTING: Array<u64> = Array::with_max_entries(admitting::COUNT, 0);

/// The end of a head, as a number of its last four bytes.
const END_OF_HEAD: u32 = u32::from_be_bytes(*b"\r\n\r\n");
/// Words that a head may have.
const WORDS: usize = HEAD_LEN / 8;

/// Notes that a function may have failed: from here on nothing is let go on, until the agent has looked.
#[inline(always)]
pub(crate) fn failed() {
    if let Some(failed) = ADMITTING.get_ptr_mut(admitting::FAILED) {
        let now = now();
        // SAFETY: the entry stays in memory while the program runs, and nobody but the programs writes to it.
        if unsafe { failed.read_volatile() } < now {
            // SAFETY: the entry stays in memory while the program runs, and nobody but the programs writes to it.
            unsafe { failed.write_volatile(now) };
        }
    }
}

#[inline(always)]
fn is_on() -> bool {
    let time = |slot| ADMITTING.get(slot).copied().unwrap_or_default();
    time(admitting::LOOKED) > time(admitting::FAILED)
}

/// Lets a segment go on that starts with a known head; whether it may. The name is looked up only while the record that
/// tells of it is reserved: so the agent knows of every segment that has gone on once a record has come that was asked
/// for after the name was taken away.
#[inline(always)]
pub(crate) fn admit<F: Frame>(frame: &F, segment: &Segment, scratch: &mut Scratch) -> bool {
    if !F::REWRITES || !is_on() || !turn::is_clients(segment) {
        return false;
    }
    let is_named = name_head(frame, segment, scratch);
    // The key is in it.
    scratch.head.wipe();
    if !is_named {
        return false;
    }
    let Some(mut record) = EVENTS.reserve::<AdmittedEvent>(0) else {
        return false;
    };
    let end = EVENTS.query(u64::from(BPF_RB_PROD_POS));
    let Some(admission) = go_on(frame, segment, scratch) else {
        record.discard(wake_up(end));
        return false;
    };
    record.write(AdmittedEvent {
        header: hold::header(frame, segment, EventKind::Admitted, segment.payload_length),
        admission,
        sequence: segment.sequence,
    });
    record.submit(wake_up(end));
    count(Counter::Admitted);
    true
}

/// How a record is given, behind which the ring ended at this place: waking the agent costs the client time; but
/// where another record has come behind, the agent may have been woken for that, and be waiting for this one.
#[inline(always)]
fn wake_up(end: u64) -> u64 {
    let is_last = EVENTS.query(u64::from(BPF_RB_PROD_POS)) == end;
    if is_last && EVENTS.query(u64::from(BPF_RB_AVAIL_DATA)) < ring::BACKLOG {
        hold::QUIET
    } else {
        hold::WAKE
    }
}

/// Puts the name of the head with which a segment starts into the scratch memory; whether it has one.
#[inline(always)]
fn name_head(frame: &impl Frame, segment: &Segment, scratch: &mut Scratch) -> bool {
    let (offset, length) = (segment.payload_offset, segment.payload_length);
    if !scratch.head.load(frame, offset, length) {
        return false;
    }
    scratch.cursor = 0;
    let mut last = 0;
    for index in 0..HEAD_LEN {
        last = last << 8 | u32::from(scratch.head.bytes[index]);
        if last == END_OF_HEAD {
            scratch.cursor = index as u32 + 1;
            break;
        }
    }
    scratch.head.wipe();
    let head = scratch.cursor();
    // Once more, with nothing behind it.
    if head == 0 || head > length || !scratch.head.load(frame, offset, head) {
        return false;
    }
    let mut hash = SipHash::new(globals::admission_key());
    let (words, _) = scratch.head.bytes.as_chunks::<8>();
    for index in 0..WORDS {
        if index as u32 >= scratch.cursor() / 8 {
            break;
        }
        hash = hash.and(u64::from_le_bytes(words[index]));
    }
    let whole = scratch.cursor() as usize / 8;
    let rest = if whole < WORDS {
        u64::from_le_bytes(words[whole])
    } else {
        0
    };
    scratch.tag = Tag(hash.finish(rest, u64::from(scratch.cursor())));
    true
}

/// Writes what is known over the head whose name is in the scratch memory, and has its body pass; the admission's
/// number.
#[inline(always)]
fn go_on(frame: &impl Frame, segment: &Segment, scratch: &Scratch) -> Option<u32> {
    // SAFETY: the number is copied at once.
    let slot = *unsafe { ADMITTED.get(&scratch.tag) }?;
    let admission = ADMISSIONS.get(slot)?;
    // SAFETY: a reference's field; volatile, as `at_least_one` asks for.
    let last = unsafe { core::ptr::read_volatile(&raw const admission.last) };
    let length = at_least_one(last, HEAD_LEN as u32);
    // The number may have been another head's, whose name was taken away at this moment; its admission stays as it is
    // until this record was read.
    let Tag([first, second]) = admission.tag;
    let Tag([own_first, own_second]) = scratch.tag;
    if first != own_first || second != own_second {
        return None;
    }
    // What comes behind the body was not looked at.
    if length != scratch.cursor() || segment.payload_length > length + admission.body {
        return None;
    }
    let flow = FLOWS.get_ptr_mut(&segment.flow)?;
    // SAFETY: the admission has room for the longest head, and the length is at most that.
    if !unsafe {
        frame.rewrite(
            segment.transport,
            segment.payload_offset,
            admission.head.as_ptr(),
            length,
            admission.difference,
        )
    } {
        return None;
    }
    // SAFETY: the entry stays in memory while the program runs; the agent has no reason to change it before the segment
    // was told of, but to forget it.
    let flow = unsafe { &mut *flow };
    flow.pass_start = segment.sequence.wrapping_add(length);
    flow.pass_end = flow.pass_start.wrapping_add(admission.body);
    flow.next_head = flow.pass_end;
    flow.next_head_known = 1;
    Some(slot)
}
