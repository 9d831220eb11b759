//! Requests of open leases that the programs let go on by themselves: which heads they know, and what goes on in
//! their place.
use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use agent_ebpf::{ADMISSIONS, Admission, HEAD_LEN, Tag, admitting, sip::SipKey};
use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData},
};
use tokio::sync::Notify;
use zeroize::Zeroizing;

use super::{
    SpotError,
    tables::{gone, take_map},
};
use crate::checksum::{checksum, difference};

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
    /// Their head, in the form in which it goes on; what else the caller sends is in it.
    pub head: Zeroizing<Vec<u8>>,
    /// Bytes of the body behind it.
    pub body: u32,
}

/// The maps, shared by all who let somebody in or shut somebody out.
pub struct Admissions {
    inner: Mutex<Inner>,
    /// Told where a barrier is wanted.
    wanted: Notify,
}

struct Inner {
    numbers: HashMap<MapData, Tag, u32>,
    heads: Array<MapData, Admission>,
    times: Array<MapData, u64>,
    slots: Vec<Slot>,
    /// Functions of which it is to be told who has gone on.
    draining: Vec<String>,
    /// Functions of which it is to be told who has gone on, once the barrier has come that was asked for.
    behind: Vec<String>,
    /// Whether a barrier is to be asked for.
    is_wanted: bool,
    /// Whether one was asked for, and has not come.
    is_asked: bool,
}

enum Slot {
    Free,
    Open(Tag, Arc<Known>),
    /// Nothing more goes on by it, but a program may be at it still, and what has gone on may not have been told.
    Closed(Arc<Known>),
    /// Nothing more goes on by it, and once the barrier has come that was asked for, all that has gone on was told.
    Closing(Arc<Known>),
}

impl Slot {
    fn known(&self) -> Option<&Arc<Known>> {
        match self {
            Self::Free => None,
            Self::Open(_, known) | Self::Closed(known) | Self::Closing(known) => Some(known),
        }
    }

    /// The name by which requests go on, and what is known of them, while they do.
    fn open(&self) -> Option<(Tag, &Arc<Known>)> {
        match self {
            Self::Open(tag, known) => Some((*tag, known)),
            _ => None,
        }
    }
}

impl Admissions {
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, SpotError> {
        let numbers = HashMap::try_from(take_map(ebpf, NUMBERS)?);
        let heads = Array::try_from(take_map(ebpf, HEADS)?);
        let times = Array::try_from(take_map(ebpf, TIMES)?);
        let inner = Inner {
            numbers: numbers.map_err(SpotError::map(NUMBERS))?,
            heads: heads.map_err(SpotError::map(HEADS))?,
            times: times.map_err(SpotError::map(TIMES))?,
            slots: (0..ADMISSIONS).map(|_| Slot::Free).collect(),
            draining: Vec::new(),
            behind: Vec::new(),
            is_wanted: false,
            is_asked: false,
        };
        Ok(Self {
            inner: Mutex::new(inner),
            wanted: Notify::new(),
        })
    }

    /// Lets requests go on from here on whose head has this name; whether they do, by now or already. They do not where
    /// there is no room, or the head would change its length.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn open(&self, name: &HeadName, known: Known) -> Result<bool, SpotError> {
        let mut inner = self.inner();
        let (mut count, mut is_open) = (0, false);
        for (tag, open) in inner.slots.iter().filter_map(Slot::open) {
            if open.function == known.function {
                count += 1;
                is_open |= tag == name.tag;
            }
        }
        let is_free = |slot: &Slot| matches!(slot, Slot::Free);
        let free = inner.slots.iter().position(is_free);
        let may_open = !is_open && count < OF_ONE && known.head.len() == name.length;
        let Some(number) = free.filter(|_| may_open) else {
            return Ok(is_open);
        };
        let mut admission = Admission {
            tag: name.tag,
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
        let known = Arc::new(known);
        inner.slots[number] = match &numbers {
            Ok(()) => Slot::Open(name.tag, known),
            // It is to be overwritten.
            Err(_) => Slot::Closed(known),
        };
        numbers.map_err(SpotError::map(NUMBERS))?;
        Ok(true)
    }

    /// Lets nothing more go on to a function.
    ///
    /// # Errors
    /// When the kernel refuses. Nothing at all goes on then, unless it refuses that, too.
    pub fn close(&self, function: &str) -> Result<(), SpotError> {
        let Inner {
            numbers,
            times,
            slots,
            ..
        } = &mut *self.inner();
        let mut result = Ok(());
        for slot in slots {
            let Some((tag, known)) = slot.open().filter(|(_, it)| it.function == function) else {
                continue;
            };
            match gone(numbers.remove(&tag)) {
                Ok(()) => *slot = Slot::Closed(Arc::clone(known)),
                Err(error) => {
                    let halted = times.set(admitting::LOOKED, 0, 0);
                    result = halted.and(Err(error)).map_err(SpotError::map(NUMBERS));
                }
            }
        }
        result
    }

    /// Lets nothing go on to a function any more, and has [`Self::barrier_come`] tell who has gone on to it; `false` where
    /// nobody can have.
    ///
    /// # Errors
    /// When [`Self::close`] fails.
    pub fn drain(&self, function: &str) -> Result<bool, SpotError> {
        self.close(function)?;
        let mut inner = self.inner();
        let is_of = |slot: &Slot| slot.known().is_some_and(|known| known.function == function);
        if !inner.slots.iter().any(is_of) {
            return Ok(false);
        }
        inner.draining.push(function.to_owned());
        inner.is_wanted = true;
        self.wanted.notify_one();
        Ok(true)
    }

    /// Waits until a barrier is wanted.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Has what was closed overwritten soon.
    pub fn clean(&self) {
        let mut inner = self.inner();
        let is_unclean = |slot: &Slot| matches!(slot, Slot::Closed(_) | Slot::Closing(_));
        inner.is_wanted |= inner.slots.iter().any(is_unclean);
    }

    /// Whether a barrier is to be asked for, right now; what that came to is to be told to [`Self::barrier_asked`].
    #[must_use]
    pub fn begin_barrier(&self) -> bool {
        let mut inner = self.inner();
        if inner.is_asked || !inner.is_wanted {
            return false;
        }
        inner.is_wanted = false;
        for slot in &mut inner.slots {
            if let Slot::Closed(known) = slot {
                *slot = Slot::Closing(Arc::clone(known));
            }
        }
        let draining = std::mem::take(&mut inner.draining);
        inner.behind.extend(draining);
        true
    }

    /// Whether the barrier will come. Where there was no room for it, it is asked for again.
    pub fn barrier_asked(&self, has_room: bool) {
        let mut inner = self.inner();
        inner.is_asked = has_room;
        inner.is_wanted |= !has_room;
    }

    /// The barrier has come: nothing uses what was closed before, and it is overwritten. Gives the functions of which it
    /// is known now who has gone on.
    ///
    /// # Errors
    /// When the kernel refuses to overwrite something.
    pub fn barrier_come(&self) -> (Vec<String>, Result<(), SpotError>) {
        let Inner {
            heads,
            slots,
            behind,
            is_asked,
            ..
        } = &mut *self.inner();
        *is_asked = false;
        let mut result = Ok(());
        for (number, slot) in (0..).zip(slots) {
            if matches!(slot, Slot::Closing(_)) {
                match heads.set(number, Admission::NONE, 0) {
                    Ok(()) => *slot = Slot::Free,
                    Err(error) => result = Err(SpotError::map(HEADS)(error)),
                }
            }
        }
        (std::mem::take(behind), result)
    }

    /// The functions to which something goes on.
    #[must_use]
    pub fn functions(&self) -> BTreeSet<String> {
        let inner = self.inner();
        let open = inner.slots.iter().filter_map(Slot::open);
        open.map(|(_, known)| known.function.clone()).collect()
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
        if inner.slots.iter().all(|slot| slot.open().is_none()) {
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

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
