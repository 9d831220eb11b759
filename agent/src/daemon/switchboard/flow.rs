//! The agent's side of one flow.
use std::{collections::HashSet, time::Duration};

use tokio::time::Instant;

use crate::{head::Connection, release::Template, spot::HeadName};

/// How long something that may be a request sent ahead waits for the answer to what came before.
const ANSWER_TIME: Duration = Duration::from_millis(250);

/// A flow.
pub(super) struct Flow {
    pub(super) connection: Connection,
    /// How its newest segment was framed that was held.
    pub(super) template: Option<Template>,
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
        }
    }

    /// Starts, keeps or ends the wait for what the connection lacks; `due` is no later than any flow's.
    pub(super) fn set_deadline(&mut self, head_timeout: Duration, due: &mut Option<Instant>) {
        let time = if self.connection.is_doubtful() {
            ANSWER_TIME
        } else if self.connection.awaits_head() {
            head_timeout
        } else {
            self.deadline = None;
            return;
        };
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + time);
        *due = Some(due.map_or(deadline, |due| due.min(deadline)));
    }
}
