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
        let mut patience = None;
        let mut is_open = true;
        loop {
            patience = match self.postponed.is_empty() {
                true => None,
                false => patience.or_else(|| Some(Instant::now() + self.unlock_timeout)),
            };
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

    /// Tells those who wait that they do so in vain.
    pub(super) fn refuse_postponed(&mut self, refusal: Refusal) {
        for Request { flow, id, .. } in std::mem::take(&mut self.postponed) {
            self.verdict(flow, id, Err(refusal));
        }
    }

    /// Judges those who wait: their key, right or wrong, can be told again.
    pub(super) fn take_postponed(&mut self) {
        for request in std::mem::take(&mut self.postponed) {
            self.request(request);
        }
    }
}
