//! Requests that the programs let go on by themselves while the door is open.
use super::Driver;
use crate::{chain, lease::single::Holder, spot::SpotError};

/// Barriers that were asked for and have not come back yet. Only behind the last one every admitted request has been
/// reported: one may have come behind those before it.
#[derive(Default)]
pub(super) struct Drains(usize);

impl Drains {
    fn asked(&mut self) {
        self.0 += 1;
    }

    /// They come back in turn; whether this was the last one.
    fn answered(&mut self) -> bool {
        self.0 = self.0.saturating_sub(1);
        self.0 == 0
    }
}

impl Driver {
    /// Closes this function's admissions: the programs admit no further request.
    pub(super) fn end_admissions(&mut self) {
        let closed = self.admissions.close(self.rebuilder.name());
        self.admissions_failed(closed.err());
    }

    /// Closes this function's admissions; whether [`Message::Drained`](crate::lease::Message) will tell when every admitted
    /// request is known.
    pub(super) fn drain(&mut self) -> bool {
        let drains = self.admissions.drain(self.rebuilder.name());
        let is_asked = drains.unwrap_or_else(|error| {
            self.admissions_failed(Some(error));
            false
        });
        if is_asked {
            self.drains.asked();
        }
        is_asked
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
        let is_last = self.drains.answered();
        let lease = self.leases.get(&Holder::Everybody);
        if is_last && lease.is_some_and(|lease| lease.machine.is_idle()) {
            self.idle(Holder::Everybody);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_an_earlier_end_does_not_answer_a_later_one() {
        let mut drains = Drains::default();
        drains.asked();
        assert!(drains.answered());
        drains.asked();
        drains.asked();
        assert!(!drains.answered());
        drains.asked();
        assert!(!drains.answered());
        assert!(drains.answered());
    }
}
