//! What a connection asks for.
use std::sync::atomic::{AtomicU64, Ordering};

use zeroize::Zeroizing;

use super::{request::Request, stream::Piece};

/// Names a request. No other one has the same, on whatever connection: a decision that comes when a connection has
/// ended must not be taken for one about a request of the next between the same ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(u64);

impl RequestId {
    pub(super) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// What is to be done.
pub enum Action {
    /// Decide about a request, now or later, with [`Connection::decide`](super::Connection::decide). Its
    /// body waits.
    Judge {
        /// Which.
        id: RequestId,
        /// What it asks for.
        request: Request,
    },
    /// Let bytes go on.
    Release {
        /// Their first sequence number.
        sequence: u32,
        /// They may hold secrets of the caller's.
        bytes: Zeroizing<Vec<u8>>,
    },
    /// Let segments within these sequence numbers pass by themselves, and no others.
    PassWindow {
        /// The first.
        start: u32,
        /// The one after the last.
        end: u32,
    },
    /// Let everything pass by itself from now on but for what may be a request to be judged.
    Opaque,
    /// From the gateway's next answer on let everything pass by itself but for what may be a request to be judged,
    /// unless more has come than up to a sequence number.
    OpaqueOnAnswer {
        /// Behind the last that has come.
        end: u32,
    },
}

/// Actions in their order.
#[derive(Default)]
pub(super) struct Actions(Vec<Action>);

impl Actions {
    pub(super) fn push(&mut self, action: Action) {
        self.0.push(action);
    }

    /// Lets pieces go on, together with the bytes right before them where nothing is to be done in between:
    /// a head and its body that came as one segment wake the gateway once.
    pub(super) fn release(&mut self, pieces: impl IntoIterator<Item = Piece>) {
        for Piece { sequence, bytes } in pieces {
            match self.0.last_mut() {
                Some(Action::Release {
                    sequence: first,
                    bytes: before,
                }) if first.wrapping_add(before.len() as u32) == sequence => {
                    let length = before.len() + bytes.len();
                    if length > before.capacity() {
                        // Not grown in place: what grows may move and leave its bytes behind. With room for
                        // more, so that a body of many chunks is not copied once a chunk.
                        let mut larger = Zeroizing::new(Vec::with_capacity(2 * length));
                        larger.extend_from_slice(before);
                        *before = larger;
                    }
                    before.extend_from_slice(&bytes);
                }
                _ => self.0.push(Action::Release { sequence, bytes }),
            }
        }
    }
}

impl From<Actions> for Vec<Action> {
    fn from(actions: Actions) -> Self {
        actions.0
    }
}
