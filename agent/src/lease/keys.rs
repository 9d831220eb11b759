//! Which keys are let in: the one that opens the handler, and the one that is to open it from the end of a lease on.
use std::{collections::HashMap, sync::Arc, time::Instant};

use rsfaas_shim::Refusal;

use super::{
    Limiter,
    single::{Holder, Lease},
};
use crate::{
    rebuild::{Keys, SealedHandler},
    seal::{file::FileError, key::Key},
};

/// What a caller was promised: another key from the end of the lease on.
pub(super) struct Promise {
    pub(super) present: Arc<Key>,
    pub(super) next: Arc<Key>,
}

impl Promise {
    /// That of the leases that are open, where one has a next key. All that have one have the same.
    pub(super) fn of(leases: &HashMap<Holder, Lease>) -> Option<Self> {
        leases.values().filter_map(Lease::keys).find_map(|keys| {
            Some(Self {
                present: keys.present,
                next: keys.next?,
            })
        })
    }
}

/// Has all leases that have a next key have this one.
pub(super) fn pass_on(leases: &mut HashMap<Holder, Lease>, next: &Arc<Key>) {
    for lease in leases.values_mut() {
        if let Some(Keys {
            present,
            next: Some(_),
        }) = lease.keys()
        {
            let next = Some(Arc::clone(next));
            lease.set_keys(Keys { present, next });
        }
    }
}

/// One of the leases has encrypted the handler under its next key: where others had the same, their promise is kept,
/// and their key is that one.
pub(super) fn keep_promises(leases: &mut HashMap<Holder, Lease>, handler: &SealedHandler) {
    for lease in leases.values_mut() {
        let promised = lease.keys().and_then(|keys| keys.next);
        // What cannot be read is told by whoever needs it.
        let kept = promised.filter(|next| handler.verify(next).unwrap_or(false));
        if let Some(present) = kept {
            lease.set_keys(Keys {
                present,
                next: None,
            });
        }
    }
}

/// Why a key is not let in.
pub(super) enum Rejection {
    Refused(Refusal),
    /// The sealed handler cannot be read.
    Unread(FileError),
}

/// The key under which the handler is, and the one under which it is to be, for a request that is let in. Wrong keys
/// are counted, and their senders told when they are too many; that is nothing to those whose key is right.
pub(super) fn judge(
    handler: &SealedHandler,
    promised: Option<Promise>,
    limiter: &mut Limiter,
    key: Key,
    next_key: Option<Key>,
) -> Result<Keys, Rejection> {
    if handler.verify(&key)? {
        let next = match (next_key, promised) {
            // The first caller has its way.
            (Some(next), Some(promised)) if !promised.next.is_same(&next) => {
                return Err(Refusal::NextKeyConflict.into());
            }
            // With the key that it has already, it is encrypted afresh as ever.
            (Some(next), _) if !handler.verify(&next)? => Some(Arc::new(next)),
            _ => None,
        };
        let present = Arc::new(key);
        return Ok(Keys { present, next });
    }
    let now = Instant::now();
    match promised {
        // Who has it was told so, and need not wait for the lease's end. The key is theirs to pass on.
        Some(Promise { present, next }) if next.is_same(&key) => Ok(Keys {
            present,
            next: Some(next_key.map_or(next, Arc::new)),
        }),
        _ if limiter.allows(now) => {
            limiter.note(now);
            Err(Refusal::KeyWrong.into())
        }
        _ => Err(Refusal::TooManyWrongKeys.into()),
    }
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<FileError> for Rejection {
    fn from(error: FileError) -> Self {
        Self::Unread(error)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::example::flow, *};
    use crate::seal::{FILE_NAME, folder::seal_folder};

    fn sealed(key: &Key) -> (tempfile::TempDir, Arc<SealedHandler>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("handler.py"), "").unwrap();
        seal_folder(folder.path(), "pydict", key, 1).unwrap();
        let handler = SealedHandler::new("pydict", &folder.path().join(FILE_NAME));
        (folder, Arc::new(handler))
    }

    fn key(number: u8) -> Key {
        Key::from_bytes([number; 32])
    }

    fn promise(present: u8, next: u8) -> Promise {
        Promise {
            present: Arc::new(key(present)),
            next: Arc::new(key(next)),
        }
    }

    fn refused(outcome: Result<Keys, Rejection>) -> Option<Refusal> {
        match outcome {
            Err(Rejection::Refused(refusal)) => Some(refusal),
            _ => None,
        }
    }

    #[test]
    fn however_many_wrong_keys_are_sent_the_right_one_and_the_promised_one_are_let_in() {
        let (_folder, handler) = sealed(&key(1));
        let mut limiter = Limiter::new(2, Duration::from_secs(60));
        let mut told = |number, promised| {
            let outcome = judge(&handler, promised, &mut limiter, key(number), None);
            refused(outcome)
        };
        for _ in 0..2 {
            assert_eq!(told(9, None), Some(Refusal::KeyWrong));
        }
        for _ in 0..2 {
            assert_eq!(told(9, None), Some(Refusal::TooManyWrongKeys));
            assert_eq!(told(1, None), None);
            assert_eq!(told(2, Some(promise(1, 2))), None);
        }
        assert_eq!(
            told(9, Some(promise(1, 2))),
            Some(Refusal::TooManyWrongKeys)
        );
    }

    #[test]
    fn the_promised_key_is_its_callers_to_pass_on_and_nobody_elses() {
        let (_folder, handler) = sealed(&key(1));
        let mut limiter = Limiter::new(1, Duration::from_secs(60));
        let mut judged = |present, next| {
            let promised = Some(promise(1, 2));
            judge(
                &handler,
                promised,
                &mut limiter,
                key(present),
                Some(key(next)),
            )
        };
        assert_eq!(refused(judged(1, 3)), Some(Refusal::NextKeyConflict));
        let passed = judged(2, 3).ok().unwrap();
        assert!(passed.present.is_same(&key(1)));
        assert!(passed.next.is_some_and(|next| next.is_same(&key(3))));
        assert!(judged(1, 2).is_ok_and(|keys| keys.next.is_some()));
    }

    #[test]
    fn a_next_key_that_opens_already_changes_nothing() {
        let (_folder, handler) = sealed(&key(1));
        let mut limiter = Limiter::new(1, Duration::from_secs(60));
        let judged = judge(&handler, None, &mut limiter, key(1), Some(key(1)));
        assert!(judged.is_ok_and(|keys| keys.next.is_none()));
    }

    #[test]
    fn once_a_lease_has_changed_the_key_it_is_the_others_present_one_and_may_be_changed_again() {
        let (_folder, handler) = sealed(&key(1));
        let leases = [(1, Some(2)), (1, None)].into_iter().enumerate();
        let mut leases = HashMap::from_iter(leases.map(|(port, (present, next))| {
            let mut lease = Lease::new();
            lease.set_keys(Keys {
                present: Arc::new(key(present)),
                next: next.map(|next| Arc::new(key(next))),
            });
            (Holder::Connection(flow(port as u16)), lease)
        }));
        pass_on(&mut leases, &Arc::new(key(3)));
        keep_promises(&mut leases, &handler);
        let promised = Promise::of(&leases).unwrap();
        assert!(promised.present.is_same(&key(1)) && promised.next.is_same(&key(3)));
        handler.encrypt(&key(1), Some(&key(3))).unwrap();
        keep_promises(&mut leases, &handler);
        assert!(Promise::of(&leases).is_none());
        let of = |number| {
            leases
                .values()
                .filter(move |it| it.keys().is_some_and(|it| it.present.is_same(&key(number))))
        };
        assert_eq!(
            (of(3).count(), of(1).count()),
            (1, 1),
            "who was promised nothing has the old one"
        );
        let mut limiter = Limiter::new(1, Duration::from_secs(60));
        let further = judge(&handler, None, &mut limiter, key(3), Some(key(4)));
        assert!(further.is_ok_and(|keys| keys.next.is_some()));
    }
}
