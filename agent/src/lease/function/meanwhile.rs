//! What a driver takes in while there are no leases: when it begins, and when it ends.
use rsfaas_shim::Refusal;
use tokio::{sync::mpsc, time::Instant};

use super::{Driver, elapsed};
use crate::lease::{Message, Request};

impl Driver {
    /// Does work, and takes messages meanwhile. Requests that are postponed wait for as long as for an unlock at most.
    pub(super) async fn meanwhile(
        &mut self,
        work: impl Future<Output = ()>,
        messages: &mut mpsc::UnboundedReceiver<Message>,
    ) {
        let mut work = std::pin::pin!(work);
        let mut is_open = true;
        loop {
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
