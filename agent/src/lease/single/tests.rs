use super::{
    super::example::{flow, id},
    *,
};

const LIMIT: Duration = Duration::from_secs(60);

/// A request with a right key comes, and brings a next one.
fn request(lease: &mut Lease) -> Vec<Action<FlowKey, RequestId>> {
    lease.set_keys(keys(7, 8));
    lease.machine.request(flow(1), id())
}

fn keys(present: u8, next: u8) -> Keys {
    Keys {
        present: Arc::new(Key::from_bytes([present; 32])),
        next: Some(Arc::new(Key::from_bytes([next; 32]))),
    }
}

fn next_key_of(lease: &mut Lease) -> bool {
    lease.close().1.is_some_and(|keys| keys.next.is_some())
}

#[test]
fn a_next_key_whose_caller_was_served_is_the_key_from_the_end_of_the_lease_on() {
    let mut lease = Lease::new();
    request(&mut lease);
    lease.serve("pydict-0".to_owned(), LIMIT);
    assert_eq!(lease.end(), [Action::Lock]);
    assert!(next_key_of(&mut lease));
}

#[test]
fn a_next_key_whose_callers_are_told_of_a_failure_while_it_unlocks_changes_nothing() {
    let mut lease = Lease::new();
    request(&mut lease);
    assert!(matches!(lease.end()[..], [Action::Fail(..)]));
    assert_eq!(lease.serve("pydict-0".to_owned(), LIMIT), [Action::Lock]);
    assert!(!next_key_of(&mut lease));
}

#[test]
fn a_lease_that_was_ended_while_it_unlocks_takes_nobody_until_it_locks() {
    let mut lease = Lease::new();
    assert_eq!(request(&mut lease), [Action::Unlock]);
    assert!(!lease.is_ended);
    lease.end();
    assert!(lease.is_ended);
    assert_eq!(lease.serve("pydict-0".to_owned(), LIMIT), [Action::Lock]);
    assert!(lease.is_ended);
    lease.close();
    assert!(!lease.is_ended, "who comes now waits for the next unlock");
    request(&mut lease);
    lease.end();
    assert!(!lease.is_ended, "the next unlock has not begun");
    assert_eq!(lease.locked(), []);
}

#[test]
fn a_next_key_whose_callers_are_told_of_a_failure_while_it_locks_is_not_the_next_callers() {
    let mut lease = Lease::new();
    request(&mut lease);
    lease.serve("pydict-0".to_owned(), LIMIT);
    lease.end();
    lease.close();
    request(&mut lease);
    assert!(matches!(lease.end()[..], [Action::Fail(..)]));
    assert!(!next_key_of(&mut lease));
}

#[test]
fn whoever_comes_while_it_locks_waits_for_a_time_at_most_and_the_first_one_counts() {
    let mut lease = Lease::new();
    request(&mut lease);
    lease.serve("pydict-0".to_owned(), LIMIT);
    lease.end();
    lease.close();
    assert_eq!(lease.deadline(), None, "nobody waits");
    lease.set_keys(keys(8, 9));
    lease.request(flow(1), id(), Duration::ZERO);
    lease.request(flow(1), id(), LIMIT);
    assert!(lease.deadline().is_some_and(|it| it <= Instant::now()));
    let told = lease.give_up();
    assert!(matches!(told[..], [Action::Fail(..), Action::Fail(..)]));
    assert_eq!(lease.refusal, Refusal::RebuildTimeout);
    assert_eq!(lease.deadline(), None);
    let keys = lease.keys().unwrap();
    assert!(keys.next.is_none(), "the key stays");
    lease.request(flow(1), id(), LIMIT);
    assert!(lease.deadline().is_some_and(|it| it > Instant::now()));
    assert_eq!(lease.locked(), [Action::Unlock]);
    assert_eq!(lease.refusal, Refusal::RebuildFailed);
    assert_eq!(lease.deadline(), None, "the unlock has a limit of its own");
}

#[test]
fn why_an_unlock_failed_is_not_said_of_the_next() {
    let mut lease = Lease::new();
    request(&mut lease);
    lease.fail(Refusal::RebuildTimeout);
    assert_eq!(lease.refusal, Refusal::RebuildTimeout);
    lease.close();
    assert_eq!(lease.refusal, Refusal::RebuildFailed);
}

#[test]
fn how_long_is_left_of_a_lease_is_told_while_it_serves_and_while_it_lingers() {
    let (linger, idle_limit) = (Duration::from_secs(5), Duration::from_secs(20));
    let told = |lease: &Lease, now| {
        let status = lease.status(Holder::Everybody, linger, idle_limit, now);
        assert_eq!((status.linger_seconds, status.idle_limit_seconds), (5, 20));
        (status.ends_in_seconds, status.lingers_for_seconds)
    };
    let mut lease = Lease::new();
    request(&mut lease);
    assert_eq!(told(&lease, lease.since), (None, None), "it unlocks");
    lease.serve("pydict-0".to_owned(), LIMIT);
    let now = lease.since + Duration::from_secs(7);
    assert_eq!(told(&lease, now), (Some(53), None));
    lease.linger(linger);
    let end = lease.lingers.unwrap();
    assert_eq!(told(&lease, end - Duration::from_secs(3)).1, Some(3));
    lease.hold();
    assert_eq!(told(&lease, now), (Some(53), None));
    lease.end();
    lease.close();
    assert_eq!(told(&lease, now), (None, None), "it locks");
}
