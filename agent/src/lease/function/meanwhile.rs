//! What a driver takes in while there are no leases: when it begins, and when it ends.
use std::time::Duration;

use rsfaas_shim::Refusal;
use tokio::{sync::mpsc, time::Instant};

use super::{Driver, elapsed};
use crate::lease::{Message, Request};

/// For how long an agent that stops removes what is parked, and waits for what comes still: with all the rest of a stop
/// it is less than service managers wait for.
const CLEAR_LIMIT: Duration = Duration::from_secs(30);

impl Driver {
    /// Does work, and takes messages meanwhile. Requests that are postponed wait for as long as for an unlock at most.
    /// Where the agent stops, what is parked is removed for a time at most.
    pub(super) async fn meanwhile(
        &mut self,
        work: impl Future<Output = ()>,
        messages: &mut mpsc::UnboundedReceiver<Message>,
    ) {
        let mut work = std::pin::pin!(work);
        let mut is_open = true;
        let mut limit = None;
        loop {
            if self.quits && self.is_swept {
                limit = limit.or_else(|| Some(Instant::now() + CLEAR_LIMIT));
            }
            let patience = self.patience();
            tokio::select! {
                () = &mut work => return,
                message = messages.recv(), if is_open => match message {
                    Some(message) => self.take(message),
                    None => {
                        is_open = false;
                        self.stop();
                    }
                },
                () = elapsed(limit) => {
                    tracing::warn!(
                        function = self.name(),
                        "not all containers could be removed in {} s; the sweep does the rest",
                        CLEAR_LIMIT.as_secs()
                    );
                    return;
                }
                () = elapsed(patience) => {
                    self.failed("what an earlier agent left takes long to remove; callers do not wait any longer");
                    self.refuse_postponed(Refusal::RebuildTimeout);
                }
            }
        }
    }

    /// Has a request wait until it can be judged, for as long as an unlock may take at most.
    pub(super) fn postpone(&mut self, request: Request) {
        if self.postponed.is_empty() {
            self.patience = Some(Instant::now() + self.unlock_timeout);
        }
        self.postponed.push(request);
    }

    /// When the first of those who are postponed has waited for too long.
    pub(super) fn patience(&self) -> Option<Instant> {
        self.patience.filter(|_| !self.postponed.is_empty())
    }

    /// Tells those who wait that they do so in vain.
    pub(super) fn refuse_postponed(&mut self, refusal: Refusal) {
        for Request { flow, id, .. } in std::mem::take(&mut self.postponed) {
            self.verdict(flow, id, Err(refusal));
        }
    }

    /// Judges those who wait: their key, right or wrong, can be told again.
    pub(super) fn take_postponed(&mut self) {
        let patience = self.patience;
        for request in std::mem::take(&mut self.postponed) {
            self.request(request);
        }
        // Who is to wait on has waited already.
        self.patience = patience;
    }
}
