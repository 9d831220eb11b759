//! Which requests are let in: their keys are checked before any disk or container work.
use rsfaas_shim::Refusal;

use super::Driver;
use crate::{
    chain,
    lease::{
        Request,
        keys::{self, Promise, Rejection},
        single::{Holder, Lease},
    },
    rebuild::Keys,
    seal::key::Key,
    timeline::{Step, Timeline},
};

impl Driver {
    /// Lets further callers of the shared lease in by themselves while the driver waits, where they need nothing
    /// but the key. Where they need more, the programs are to let nobody in either.
    pub(super) fn open_door(&mut self) {
        let lease = self.leases.get(&Holder::Everybody);
        let lease = lease.filter(|_| !self.stopping);
        let is_open = lease
            .and_then(Lease::door)
            .is_some_and(|open| self.door.open(open));
        if !is_open {
            self.end_admissions();
        }
    }

    /// Lets nobody in any more, and those who are have a part in the lease.
    pub(super) fn shut_door(&mut self) {
        let entered = self.door.shut();
        if let Some(lease) = self.leases.get_mut(&Holder::Everybody) {
            for flow in entered {
                lease.entered(flow);
            }
        }
    }

    /// Lets a request in, or refuses it. While the handler is being encrypted under another key, which key is
    /// the right one is not known, and requests wait; so they do while what an earlier agent left is removed, and
    /// while an unlock is under way that somebody has ended.
    pub(super) fn request(&mut self, request: Request) {
        let holder = self.holder(request.flow);
        self.end_crashed(holder);
        let is_early = !self.is_swept
            || self.leases.values().any(|lease| lease.changes_key)
            || self.leases.get(&holder).is_some_and(|lease| lease.is_ended);
        if is_early && !self.stopping {
            self.postpone(request);
            return;
        }
        let Request {
            flow,
            id,
            key,
            next_key,
            held,
        } = request;
        let keys = match self.check(key, next_key) {
            Ok(keys) => keys,
            Err(refusal) => {
                tracing::info!(function = self.name(), reason = refusal.reason(), "refused");
                self.verdict(flow, id, Err(refusal));
                return;
            }
        };
        let lease = self.leases.entry(holder).or_insert_with(Lease::new);
        let promised = lease.keys().and_then(|keys| keys.next);
        lease.set_keys(Keys {
            next: keys.next.or(promised),
            ..keys
        });
        lease.timeline.get_or_insert_with(|| {
            let mut timeline = Timeline::start(self.rebuilder.name(), held);
            timeline.note(Step::KeyChecked);
            timeline
        });
        let actions = lease.request(flow, id, self.unlock_timeout);
        self.act(holder, actions);
    }

    /// Ends a lease whose function has crashed: the next caller waits for another container, with the handler
    /// delivered again, instead of being told by the gateway that nobody is there.
    pub(super) fn end_crashed(&mut self, holder: Holder) {
        if self.leases.get(&holder).is_some_and(Lease::has_crashed) {
            self.failed("the function has crashed while it served; it is delivered again");
            self.end(holder);
        }
    }

    /// The key under which the handler is, and the one under which it is to be, for a request that is let in.
    fn check(&mut self, key: Key, next_key: Option<Key>) -> Result<Keys, Refusal> {
        if self.stopping {
            return Err(Refusal::RebuildFailed);
        }
        let promised = Promise::of(&self.leases);
        let handler = self.rebuilder.sealed();
        let judged = keys::judge(handler, promised, &mut self.limiter, key, next_key);
        let keys = judged.map_err(|rejection| match rejection {
            Rejection::Refused(refusal) => refusal,
            Rejection::Unread(error) => {
                let what = chain::of(&error);
                self.failed(&format!("the sealed handler cannot be read: {what}"));
                Refusal::RebuildFailed
            }
        })?;
        if let Some(next) = &keys.next {
            keys::pass_on(&mut self.leases, next);
        }
        Ok(keys)
    }
}
