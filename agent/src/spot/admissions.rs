//! Requests of open leases that the programs let go on by themselves: which heads they know, and what goes on in
//! their place.
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use agent_ebpf::{ADMISSIONS, Admission, HEAD_LEN, Tag, admitting, sip::SipKey};
use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData},
};
use zeroize::Zeroizing;

use super::{
    SpotError,
    tables::{gone, take_map},
};
use crate::release::{checksum, difference};

/// Heads of one function that are known at a time: the others' need room, too.
const OF_ONE: usize = 32;
const NUMBERS: &str = "ADMITTED";
const HEADS: &str = "ADMISSIONS";
const TIMES: &str = "ADMITTING";

/// The key under which heads have their names.
#[derive(Clone, Copy)]
pub struct AdmissionKey(pub(super) SipKey);

impl AdmissionKey {
    /// A random one.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub fn random() -> io::Result<Self> {
        let mut bytes = [[0; 8]; 2];
        getrandom::fill(bytes.as_flattened_mut()).map_err(io::Error::other)?;
        Ok(Self(SipKey(bytes.map(u64::from_ne_bytes))))
    }

    /// Names the head with which a segment's payload starts, as the programs do; `None` where it is not whole or too
    /// long.
    #[must_use]
    pub fn name(&self, payload: &[u8]) -> Option<HeadName> {
        const END: &[u8] = b"\r\n\r\n";
        let start = &payload[..payload.len().min(HEAD_LEN)];
        let length = start.windows(END.len()).position(|some| some == END)? + END.len();
        let head = &start[..length];
        Some(HeadName {
            tag: Tag::of(self.0, head),
            length,
            checksum: checksum(head),
        })
    }
}

/// What is kept of a head that was held: nothing that it could be told from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HeadName {
    tag: Tag,
    length: usize,
    checksum: [u8; 2],
}

impl HeadName {
    /// Bytes of the head.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }
}

/// What is known of requests that go on by themselves.
pub struct Known {
    /// The sealed function that they are for.
    pub function: String,
    /// The container that serves it.
    pub container: String,
    /// Their head, in the form in which it goes on; what else the caller sends is in it.
    pub head: Zeroizing<Vec<u8>>,
    /// Bytes of the body behind it.
    pub body: u32,
}

/// The maps, shared by all who let somebody in or shut somebody out.
pub struct Admissions(Mutex<Inner>);

struct Inner {
    numbers: HashMap<MapData, Tag, u32>,
    heads: Array<MapData, Admission>,
    times: Array<MapData, u64>,
    slots: Vec<Slot>,
}

enum Slot {
    Free,
    Open(Tag, Arc<Known>),
    /// Nothing more goes on by it, but a program may be at it still, and what has gone on may not have been told.
    Closed(Arc<Known>),
    /// The same, before a barrier that was asked for.
    Closing(Arc<Known>),
}

impl Slot {
    fn known(&self) -> Option<&Arc<Known>> {
        match self {
            Self::Free => None,
            Self::Open(_, known) | Self::Closed(known) | Self::Closing(known) => Some(known),
        }
    }

    fn leads_to(&self, function: &str) -> Option<Tag> {
        match self {
            Self::Open(tag, known) if known.function == function => Some(*tag),
            _ => None,
        }
    }
}

impl Admissions {
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, SpotError> {
        let numbers = HashMap::try_from(take_map(ebpf, NUMBERS)?);
        let heads = Array::try_from(take_map(ebpf, HEADS)?);
        let times = Array::try_from(take_map(ebpf, TIMES)?);
        Ok(Self(Mutex::new(Inner {
            numbers: numbers.map_err(SpotError::map(NUMBERS))?,
            heads: heads.map_err(SpotError::map(HEADS))?,
            times: times.map_err(SpotError::map(TIMES))?,
            slots: (0..ADMISSIONS).map(|_| Slot::Free).collect(),
        })))
    }

    /// Lets requests go on from here on whose head has this name; whether they do, by now or already. They do not where
    /// there is no room, or the head would change its length.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn open(&self, name: &HeadName, known: Known) -> Result<bool, SpotError> {
        let mut inner = self.inner();
        let tags = inner
            .slots
            .iter()
            .filter_map(|slot| slot.leads_to(&known.function));
        let (mut count, mut is_open) = (0, false);
        for tag in tags {
            count += 1;
            is_open |= tag == name.tag;
        }
        let is_free = |slot: &Slot| matches!(slot, Slot::Free);
        let free = inner.slots.iter().position(is_free);
        let may_open = !is_open && count < OF_ONE && known.head.len() == name.length;
        let Some(number) = free.filter(|_| may_open) else {
            return Ok(is_open);
        };
        let mut admission = Admission {
            // A head has an end.
            last: name.length as u32 - 1,
            body: known.body,
            difference: difference(name.checksum, &known.head),
            ..Admission::NONE
        };
        admission.head[..name.length].copy_from_slice(&known.head);
        let slot = number as u32;
        let heads = inner.heads.set(slot, admission, 0);
        heads.map_err(SpotError::map(HEADS))?;
        let numbers = inner.numbers.insert(name.tag, slot, 0);
        numbers.map_err(SpotError::map(NUMBERS))?;
        inner.slots[number] = Slot::Open(name.tag, Arc::new(known));
        Ok(true)
    }

    /// Lets nothing more go on to a function; whether anything was. What has gone on by then is known once a barrier
    /// has come that was asked for afterwards.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn close(&self, function: &str) -> Result<bool, SpotError> {
        let mut inner = self.inner();
        let mut any = false;
        for number in 0..inner.slots.len() {
            if let Some(tag) = inner.slots[number].leads_to(function) {
                gone(inner.numbers.remove(&tag)).map_err(SpotError::map(NUMBERS))?;
                let slot = std::mem::replace(&mut inner.slots[number], Slot::Free);
                if let Slot::Open(_, known) = slot {
                    inner.slots[number] = Slot::Closed(known);
                }
                any = true;
            }
        }
        Ok(any)
    }

    /// The functions to which something goes on.
    #[must_use]
    pub fn functions(&self) -> std::collections::BTreeSet<String> {
        let inner = self.inner();
        let open = inner.slots.iter().filter_map(|slot| match slot {
            Slot::Open(_, known) => Some(known.function.clone()),
            _ => None,
        });
        open.collect()
    }

    /// What is known of a request that has gone on, by the number that the programs tell.
    #[must_use]
    pub fn known(&self, number: u32) -> Option<Arc<Known>> {
        self.inner().slots.get(number as usize)?.known().cloned()
    }

    /// Whether something may have failed since the last look, or there was none, so that nothing goes on; not where
    /// nothing would.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn are_halted(&self) -> Result<bool, SpotError> {
        let inner = self.inner();
        if !inner
            .slots
            .iter()
            .any(|slot| matches!(slot, Slot::Open(..)))
        {
            return Ok(false);
        }
        let time = |slot| inner.times.get(&slot, 0).map_err(SpotError::map(TIMES));
        Ok(time(admitting::LOOKED)? <= time(admitting::FAILED)?)
    }

    /// Has the programs go on: what has failed until this time (monotonic clock, nanoseconds) was looked at.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn looked(&self, time: u64) -> Result<(), SpotError> {
        let set = self.inner().times.set(admitting::LOOKED, time, 0);
        set.map_err(SpotError::map(TIMES))
    }

    /// Whether something was closed that is still to be overwritten.
    #[must_use]
    pub fn has_closed(&self) -> bool {
        let inner = self.inner();
        let is_closed = |slot: &Slot| matches!(slot, Slot::Closed(_) | Slot::Closing(_));
        inner.slots.iter().any(is_closed)
    }

    /// To be called before a barrier is asked for.
    pub fn before_barrier(&self) {
        for slot in &mut self.inner().slots {
            if let Slot::Closed(known) = slot {
                *slot = Slot::Closing(Arc::clone(known));
            }
        }
    }

    /// The barrier has come: nothing uses what was closed before, and it is overwritten.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn barrier_come(&self) -> Result<(), SpotError> {
        let mut inner = self.inner();
        for number in 0..inner.slots.len() {
            if matches!(inner.slots[number], Slot::Closing(_)) {
                let set = inner.heads.set(number as u32, Admission::NONE, 0);
                set.map_err(SpotError::map(HEADS))?;
                inner.slots[number] = Slot::Free;
            }
        }
        Ok(())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
