//! Requests that the programs let go on by themselves while the door is open.
use super::Driver;
use crate::{chain, lease::single::Holder, spot::SpotError};

impl Driver {
    /// Has the programs let nobody in any more.
    pub(super) fn end_admissions(&mut self) {
        let closed = self.admissions.close(self.rebuilder.name());
        self.admissions_failed(closed.err());
    }

    /// The same; whether it will be told who was let in until now, by [`Message::Drained`](crate::lease::Message).
    pub(super) fn drain(&mut self) -> bool {
        let drains = self.admissions.drain(self.rebuilder.name());
        drains.unwrap_or_else(|error| {
            self.admissions_failed(Some(error));
            false
        })
    }

    fn admissions_failed(&mut self, error: Option<SpotError>) {
        if let Some(error) = error {
            let what = chain::of(&error);
            self.failed(&format!(
                "requests may go on to a lease that is not open: {what}"
            ));
        }
    }

    /// It is known who was let go on before the last connection's end.
    pub(super) fn drained(&mut self) {
        let lease = self.leases.get(&Holder::Everybody);
        if lease.is_some_and(|lease| lease.machine.is_idle()) {
            self.idle(Holder::Everybody);
        }
    }
}
