//! The agent's side of one flow.
use std::{collections::HashSet, time::Duration};

use tokio::time::Instant;

use crate::{head::Connection, release::FrameTemplate, spot::HeadName};

/// How long a part of a head is held before the client is told that it has come, if the rest has not come by then: what
/// others wait (Linux's shortest delayed acknowledgement), and less than any client waits before it sends it again
/// (RFC 6298; Linux's shortest is 200 ms).
const ACKNOWLEDGE_TIME: Duration = Duration::from_millis(40);

/// How long is waited for what does not come.
pub(super) struct Patience {
    /// For more of a head.
    pub(super) head: Duration,
    /// For the answer to what came before something that may be a request sent ahead.
    pub(super) answer: Duration,
}

/// A flow.
pub(super) struct Flow {
    pub(super) connection: Connection,
    /// How its newest segment was framed that was held.
    pub(super) template: Option<FrameTemplate>,
    /// Functions that hold a lease for it, or may.
    pub(super) functions: HashSet<String>,
    /// How many bytes of it were held when they were last counted.
    pub(super) held_bytes: usize,
    /// When the segment was held that is being looked at.
    pub(super) held: u64,
    /// When a request of it was last let in: kernel's monotonic clock, nanoseconds.
    pub(super) served: u64,
    /// The head with which the segment starts that is being looked at.
    pub(super) head: Option<HeadName>,
    /// What of it passes by itself, as sequence numbers.
    pub(super) window: (u32, u32),
    /// Until when a head's rest, or an answer, is waited for.
    pub(super) deadline: Option<Instant>,
    /// When the client is to be told that a part of a head has come.
    pub(super) acknowledge: Option<Instant>,
    /// Its time in [`Timers`](super::timers::Timers).
    pub(super) timer: Option<Instant>,
    /// Where that part ends, as it was last seen.
    awaited: Option<u32>,
    /// Where the part ends of which the client was last told so.
    pub(super) acknowledged: Option<u32>,
}

impl Flow {
    /// A flow whose first segment was spotted at a time of the kernel's monotonic clock.
    pub(super) fn new(connection: Connection, held: u64) -> Self {
        Self {
            connection,
            template: None,
            functions: HashSet::new(),
            held_bytes: 0,
            held,
            served: 0,
            head: None,
            window: (0, 0),
            deadline: None,
            acknowledge: None,
            timer: None,
            awaited: None,
            acknowledged: None,
        }
    }

    /// Starts, keeps or ends the wait for what the connection lacks, once something has come.
    pub(super) fn set_deadline(&mut self, patience: &Patience) {
        let now = Instant::now();
        let awaited = self.connection.awaited();
        let has_more_come = awaited != std::mem::replace(&mut self.awaited, awaited);
        self.acknowledge = awaited.map(|_| self.acknowledge.unwrap_or(now + ACKNOWLEDGE_TIME));
        self.deadline = if self.connection.is_doubtful() {
            Some(self.deadline.unwrap_or(now + patience.answer))
        } else if awaited.is_some() {
            self.deadline
                .filter(|_| !has_more_come)
                .or(Some(now + patience.head))
        } else {
            None
        };
    }

    /// Whether the client was told of bytes that are held still: it does not send them again.
    pub(super) fn has_acknowledged_part(&self) -> bool {
        self.acknowledged
            .is_some_and(|end| !self.connection.has_gone_on(end.wrapping_sub(1)))
    }

    /// When something of it is late.
    pub(super) fn due(&self) -> Option<Instant> {
        [self.deadline, self.acknowledge]
            .into_iter()
            .flatten()
            .min()
    }
}
