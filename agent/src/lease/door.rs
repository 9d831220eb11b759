//! The door of a lease that is open: further callers come in by it, without their request waiting until the
//! driver has had its turn. The driver opens it where nothing is left to be decided but whether a key is the
//! right one, and shuts it before it decides anything.
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use agent_ebpf::FlowKey;

use crate::{
    rebuild::{Container, Serving},
    seal::key::Key,
};

/// The door of one function's shared lease.
pub struct Door<S = Container>(Mutex<Inner<S>>);

struct Inner<S> {
    open: Option<Open<S>>,
    entered: HashSet<FlowKey>,
    /// Connections of which the driver is still to learn that they have no part any more.
    leaving: HashMap<FlowKey, Leaving>,
    /// What was about to end at the last look.
    ending: Option<Arc<S>>,
}

/// What the driver is still to learn of a connection.
#[derive(Default)]
struct Leaving {
    /// How often the connection has left.
    times: usize,
    /// Whether the connection has come again since it last left.
    has_come: bool,
}

/// What an open door leads to.
pub(super) struct Open<S = Container> {
    /// The key that lets callers in.
    pub(super) key: Arc<Key>,
    /// What serves them.
    pub(super) container: Arc<S>,
    /// Its name.
    pub(super) name: String,
}

impl<S> Default for Door<S> {
    /// A door that is shut.
    fn default() -> Self {
        Self(Mutex::new(Inner {
            open: None,
            entered: HashSet::new(),
            leaving: HashMap::new(),
            ending: None,
        }))
    }
}

impl<S: Serving> Door<S> {
    /// Lets a request in on a connection, which has a part in the lease from then on; gives the name of the
    /// container that serves it. `None` where the driver has to be asked. The key is compared in constant time.
    pub fn try_enter(&self, flow: FlowKey, key: &Key) -> Option<String> {
        let mut inner = self.inner();
        let open = inner.open.as_ref()?;
        if inner.leaving.contains_key(&flow) || !open.key.is_same(key) || open.container.has_ended()
        {
            return None;
        }
        let name = open.name.clone();
        inner.entered.insert(flow);
        Some(name)
    }

    /// Notes that a connection has a part in the lease, of which the programs have let a request go on.
    pub fn note(&self, flow: FlowKey) {
        let mut inner = self.inner();
        match inner.leaving.get_mut(&flow) {
            Some(leaving) => leaving.has_come = true,
            None => {
                inner.entered.insert(flow);
            }
        }
    }

    /// Notes that the driver is going to be told that a connection has no part in the lease any more: by then the
    /// connection, or the next with the same addresses, may have come again, and would lose its part at once.
    pub fn leave(&self, flow: FlowKey) {
        let mut inner = self.inner();
        let leaving = inner.leaving.entry(flow).or_default();
        leaving.times += 1;
        leaving.has_come = false;
    }

    /// The driver has been told so.
    pub(super) fn left(&self, flow: FlowKey) {
        let mut inner = self.inner();
        let Some(leaving) = inner.leaving.get_mut(&flow) else {
            return;
        };
        leaving.times -= 1;
        if leaving.times == 0 && inner.leaving.remove(&flow).is_some_and(|it| it.has_come) {
            inner.entered.insert(flow);
        }
    }

    /// Shuts the door; who has come in stays so.
    pub fn bar(&self) {
        self.inner().open = None;
    }

    /// Shuts the door for good where the function behind it is about to end. To be called before anybody can come
    /// who knows of it: where a caller was told of a failure, or lost its connection. Whether somebody can come in
    /// afterwards.
    pub fn shut_if_ending(&self) -> bool {
        let mut inner = self.inner();
        let serving = inner.open.as_ref().map(|open| &open.container);
        if let Some(ending) = serving.filter(|it| it.is_ending()).cloned() {
            inner.open = None;
            inner.ending = Some(ending);
        }
        inner.open.is_some()
    }

    /// Opens the door, unless what would be behind it has ended, or was about to when it was looked at; whether it is
    /// open.
    pub(super) fn open(&self, open: Open<S>) -> bool {
        let mut inner = self.inner();
        let is_ending = |known: &Arc<S>| Arc::ptr_eq(known, &open.container);
        if open.container.has_ended() || inner.ending.as_ref().is_some_and(is_ending) {
            return false;
        }
        inner.ending = None;
        inner.open = Some(open);
        true
    }

    /// Shuts the door; gives the connections that have come in by it since it was opened.
    pub(super) fn shut(&self) -> HashSet<FlowKey> {
        let mut inner = self.inner();
        inner.open = None;
        std::mem::take(&mut inner.entered)
    }

    fn inner(&self) -> MutexGuard<'_, Inner<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use super::{super::example::flow, *};

    #[derive(Default)]
    struct Function {
        ended: AtomicBool,
        ending: AtomicBool,
    }

    impl Serving for Function {
        fn has_ended(&self) -> bool {
            self.ended.load(Relaxed)
        }

        fn is_ending(&self) -> bool {
            self.ending.load(Relaxed)
        }
    }

    fn key() -> Key {
        Key::from_bytes([7; 32])
    }

    fn leads_to(container: &Arc<Function>) -> Open<Function> {
        Open {
            key: Arc::new(key()),
            container: Arc::clone(container),
            name: "pydict-0".to_owned(),
        }
    }

    fn open(door: &Door<Function>) -> Arc<Function> {
        let container = Arc::default();
        door.open(leads_to(&container));
        container
    }

    #[test]
    fn who_has_the_key_comes_in_while_the_door_is_open() {
        let door = Door::default();
        assert_eq!(door.try_enter(flow(1), &key()), None);
        open(&door);
        assert_eq!(door.try_enter(flow(1), &key()).as_deref(), Some("pydict-0"));
        door.shut();
        assert_eq!(door.try_enter(flow(2), &key()), None);
    }

    #[test]
    fn another_key_lets_nobody_in() {
        let door = Door::default();
        open(&door);
        assert_eq!(door.try_enter(flow(1), &Key::from_bytes([8; 32])), None);
        assert_eq!(door.shut(), HashSet::new());
    }

    #[test]
    fn shut_reports_each_entered_flow_once() {
        let door = Door::default();
        open(&door);
        for port in [1, 2, 2] {
            assert!(door.try_enter(flow(port), &key()).is_some());
        }
        assert_eq!(door.shut(), HashSet::from([flow(1), flow(2)]));
        assert_eq!(door.shut(), HashSet::new());
    }

    #[test]
    fn whoever_leaves_comes_in_again_once_the_driver_knows() {
        let door = Door::default();
        open(&door);
        door.leave(flow(1));
        door.leave(flow(1));
        assert_eq!(door.try_enter(flow(1), &key()), None);
        assert!(door.try_enter(flow(2), &key()).is_some());
        door.left(flow(1));
        assert_eq!(door.try_enter(flow(1), &key()), None);
        door.left(flow(1));
        assert!(door.try_enter(flow(1), &key()).is_some());
    }

    #[test]
    fn whoever_goes_on_by_itself_has_a_part_that_an_earlier_end_does_not_take() {
        let door = Door::<Function>::default();
        door.note(flow(1));
        door.leave(flow(2));
        door.note(flow(2));
        assert_eq!(door.shut(), HashSet::from([flow(1)]));
        door.left(flow(2));
        assert_eq!(door.shut(), HashSet::from([flow(2)]));
    }

    #[test]
    fn who_is_in_stays_so_where_the_door_is_barred() {
        let door = Door::default();
        open(&door);
        assert!(door.try_enter(flow(1), &key()).is_some());
        door.bar();
        assert_eq!(door.try_enter(flow(2), &key()), None);
        assert_eq!(door.shut(), HashSet::from([flow(1)]));
    }

    #[test]
    fn a_function_that_has_ended_is_behind_no_door() {
        let door = Door::default();
        open(&door).ended.store(true, Relaxed);
        assert_eq!(door.try_enter(flow(1), &key()), None);
    }

    #[test]
    fn a_look_shuts_the_door_of_a_container_that_is_about_to_end_and_who_came_before_stays_known() {
        let door = Door::default();
        let container = open(&door);
        door.shut_if_ending();
        assert!(door.try_enter(flow(1), &key()).is_some());
        container.ending.store(true, Relaxed);
        door.shut_if_ending();
        assert_eq!(door.try_enter(flow(2), &key()), None);
        assert_eq!(door.shut(), HashSet::from([flow(1)]));
        door.open(leads_to(&container));
        assert_eq!(door.try_enter(flow(2), &key()), None);
        open(&door);
        assert!(door.try_enter(flow(2), &key()).is_some(), "the next one");
    }
}
