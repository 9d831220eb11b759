//! The ring buffer: what the programs tell, event by event, and how its memory is wiped.
use agent_ebpf::{EventHeader, ring};
use aya::maps::{MapData, RingBuf};
use tokio::io::unix::AsyncFd;

use super::{
    SpotError, Spotter,
    event::{BadEvent, Event},
};

/// Most events that the ring can hold, each behind the ring's own header of eight bytes.
const ROOM: usize = ring::SIZE / (size_of::<EventHeader>() + 8);

/// The ring buffer as a source of events.
pub struct Events {
    ring: AsyncFd<RingBuf<MapData>>,
    /// Held frames that were read, and whose bytes are still in the ring.
    unwiped: u64,
    /// Of these, the ones that came while the ring is wiped, and the steps that are left of that.
    wiping: Option<(u64, usize)>,
    /// Whether the last look left events there.
    has_more: bool,
}

impl Events {
    /// Takes the ring buffer.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn new(ring: RingBuf<MapData>) -> Result<Self, SpotError> {
        // SAFETY: the ring buffer owns its descriptor, gives the same one each time, and lives inside
        // the `AsyncFd` from here on.
        let ring = unsafe { AsyncFd::register(ring) };
        let ring = ring.map_err(|error| SpotError::Ring(error.into()))?;
        Ok(Self {
            ring,
            unwiped: 0,
            wiping: None,
            has_more: false,
        })
    }

    /// Waits for events and copies them out, at most `limit` of them. Where that leaves some, every other task has its
    /// turn before the next are taken, and timers and signals theirs: whoever keeps the ring full must not keep leases
    /// from ending. Safe to cancel: nothing is taken before the wait is over.
    ///
    /// # Errors
    /// When the ring buffer cannot be waited for.
    pub async fn next(&mut self, limit: usize) -> Result<Vec<Event>, SpotError> {
        if self.has_more {
            // A descriptor that is ready anyway does not give way by itself.
            tokio::task::yield_now().await;
            self.has_more = false;
        }
        loop {
            let mut guard = self.ring.readable_mut().await.map_err(SpotError::Ring)?;
            let (events, is_empty) = take(guard.get_inner_mut(), limit);
            if is_empty {
                guard.clear_ready();
            }
            if !events.is_empty() {
                self.has_more = !is_empty;
                self.note(&events);
                return Ok(events);
            }
        }
    }

    /// The events that are there: of some, nobody is woken. No more than may have been there at once: while packets come
    /// as fast as they are copied, there are always some.
    pub fn there(&mut self) -> Vec<Event> {
        let (events, _) = take(self.ring.get_mut(), ROOM);
        self.note(&events);
        events
    }

    /// How many held frames are still to be found in the ring's memory.
    #[must_use]
    pub fn unwiped(&self) -> u64 {
        self.unwiped
    }

    /// Begins to wipe the ring, where there is anything in it.
    pub fn begin_wipe(&mut self) {
        if self.unwiped > 0 && self.wiping.is_none() {
            self.wiping = Some((0, ring::RUNS));
        }
    }

    /// Whether the ring is being wiped.
    #[must_use]
    pub fn is_being_wiped(&self) -> bool {
        self.wiping.is_some()
    }

    /// Wipes a part of the ring, and gives the events that came meanwhile. To be called until
    /// [`is_being_wiped`](Self::is_being_wiped) says that it is done.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn wipe_step(&mut self, spotter: &mut Spotter) -> Result<Vec<Event>, SpotError> {
        // Where it was full the events that are in the way are taken now, and the step comes again.
        let whole = spotter.write_zeros()?;
        let events = self.there();
        if let (true, Some((came, left))) = (whole, self.wiping) {
            self.wiping = (left > 1).then_some((came, left - 1));
            if self.wiping.is_none() {
                self.unwiped = came;
            }
        }
        Ok(events)
    }

    fn note(&mut self, events: &[Event]) {
        let held = events
            .iter()
            .filter(|event| matches!(event, Event::Held(_)))
            .count() as u64;
        self.unwiped += held;
        if let Some((came, _)) = &mut self.wiping {
            *came += held;
        }
    }
}

/// Copies the events out of at most so many records, and tells whether there were no more.
fn take(ring: &mut RingBuf<MapData>, limit: usize) -> (Vec<Event>, bool) {
    let mut events = Vec::new();
    for _ in 0..limit {
        // One item is outstanding at a time: it is copied and given back at once.
        let Some(item) = ring.next() else {
            return (events, true);
        };
        match Event::parse(&item) {
            Ok(event) => events.push(event),
            // What the ring is wiped with.
            Err(BadEvent::Kind(0)) => {}
            Err(error) => tracing::error!(%error, "event ignored"),
        }
    }
    (events, false)
}
