//! Who gets which container: those that are parked, those that are on their way, and who waits for one.
use std::collections::VecDeque;

use tokio::sync::oneshot;

/// What somebody who waits in turn gets a container by.
pub(super) type QueueTicket<T, E> = oneshot::Receiver<Result<T, E>>;

/// A container that is to be brought, and counts as on its way.
#[must_use]
pub(super) struct Order(u64);

/// Somebody who waits.
struct Waiting<T, E> {
    container: oneshot::Sender<Result<T, E>>,
    /// The first order that was made for them, or since they came.
    since: u64,
}

/// Containers and who waits for them. Each change is one step.
pub(super) struct Queue<T, E> {
    parked: VecDeque<T>,
    /// In turn. Who has given up is passed over.
    waiting: VecDeque<Waiting<T, E>>,
    /// Containers on their way.
    coming: usize,
    /// Those that came for nobody, and are being removed.
    leaving: usize,
    /// How many have been ordered.
    ordered: u64,
    /// So many are parked at most.
    room: usize,
    /// Nothing is parked any more.
    closed: bool,
}

impl<T, E> Queue<T, E> {
    /// For so many on standby. One is kept in any case: who has given up on a slow deployment and comes again finds it.
    pub(super) fn new(standby: usize) -> Self {
        Self {
            parked: VecDeque::new(),
            waiting: VecDeque::new(),
            coming: 0,
            leaving: 0,
            ordered: 0,
            room: standby.max(1),
            closed: false,
        }
    }

    /// Those that are parked.
    pub(super) fn parked(&self) -> impl ExactSizeIterator<Item = &T> {
        self.parked.iter()
    }

    /// Takes the one that has been parked for longest.
    pub(super) fn take(&mut self) -> Option<T> {
        self.parked.pop_front()
    }

    /// Takes all those that are so.
    pub(super) fn take_all(&mut self, is_so: impl Fn(&T) -> bool) -> VecDeque<T> {
        let parked = std::mem::take(&mut self.parked);
        let (taken, left) = parked.into_iter().partition(is_so);
        self.parked = left;
        taken
    }

    /// Waits in turn, and orders one more where that takes one.
    pub(super) fn wait(&mut self) -> (QueueTicket<T, E>, Option<Order>) {
        let (sender, ticket) = oneshot::channel();
        self.waiting.push_back(Waiting {
            container: sender,
            since: self.ordered,
        });
        (ticket, self.order(0))
    }

    /// Orders one more where it takes that for so many to be parked once nobody waits any more.
    pub(super) fn order(&mut self, standby: usize) -> Option<Order> {
        self.drop_those_who_gave_up();
        let wanted = standby + self.waiting.len();
        if self.closed || self.parked.len() + self.coming >= wanted {
            return None;
        }
        let order = Order(self.ordered);
        self.ordered += 1;
        self.coming += 1;
        Some(order)
    }

    /// Whether a container that is on its way is still wanted, by a caller or for the standby. Where its caller has given
    /// up, it no longer counts as on its way.
    pub(super) fn keep_if_wanted(&mut self) -> bool {
        self.drop_those_who_gave_up();
        let wanted = self.room + self.waiting.len();
        if !self.closed && self.parked.len() + self.coming <= wanted {
            return true;
        }
        self.coming -= 1;
        false
    }

    /// Whether what is on its way is not to wait for other functions' standbys: somebody waits for it, or it is to come
    /// to nothing.
    pub(super) fn is_urgent(&mut self) -> bool {
        self.drop_those_who_gave_up();
        self.closed || !self.waiting.is_empty()
    }

    /// One that was on its way has come; it comes back where nobody is to have it, and is awaited still until
    /// [`Self::gone`].
    pub(super) fn came(&mut self, container: T) -> Option<T> {
        self.coming -= 1;
        let back = self.put(container);
        self.leaving += usize::from(back.is_some());
        back
    }

    /// One that came back is removed.
    pub(super) fn gone(&mut self) {
        self.leaving -= 1;
    }

    /// Gives one to whoever is next, or parks it; it comes back where nobody is to have it.
    pub(super) fn put(&mut self, mut container: T) -> Option<T> {
        while let Some(waiting) = self.waiting.pop_front() {
            match waiting.container.send(Ok(container)) {
                Err(Ok(back)) => container = back,
                Ok(()) | Err(Err(_)) => return None,
            }
        }
        if self.closed || self.parked.len() >= self.room {
            return Some(container);
        }
        self.parked.push_back(container);
        None
    }

    /// One that was on its way does not come. Whoever is next is told so, unless there is one on its way for
    /// everybody all the same. Who came when it was on its way already is not: what was in its way may be gone
    /// by now, and another is ordered for them.
    pub(super) fn failed(&mut self, order: &Order, error: E) -> Option<Order> {
        self.coming -= 1;
        self.drop_those_who_gave_up();
        if self.coming >= self.waiting.len() {
            return None;
        }
        let next = self.waiting.iter().position(|it| it.since <= order.0);
        let Some(next) = next.and_then(|next| self.waiting.remove(next)) else {
            return self.order(0);
        };
        // It may have given up just now.
        let _ = next.container.send(Err(error));
        None
    }

    /// Parks nothing more; gives what is parked. Nobody waits any longer.
    pub(super) fn close(&mut self) -> VecDeque<T> {
        self.closed = true;
        self.waiting.clear();
        std::mem::take(&mut self.parked)
    }

    fn drop_those_who_gave_up(&mut self) {
        self.waiting
            .retain(|waiting| !waiting.container.is_closed());
    }

    /// Whether nothing is parked any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether something is on its way.
    pub(super) fn is_awaited(&self) -> bool {
        self.coming + self.leaving > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Containers = Queue<u8, &'static str>;

    fn got(ticket: &mut QueueTicket<u8, &'static str>) -> Option<Result<u8, &'static str>> {
        ticket.try_recv().ok()
    }

    #[test]
    fn who_waits_gets_what_comes_in_turn_and_the_rest_is_parked() {
        let mut queue = Containers::new(1);
        let ((mut first, more), (mut second, still_more)) = (queue.wait(), queue.wait());
        assert!(more.is_some() && still_more.is_some(), "one for each");
        assert_eq!((queue.came(1), queue.came(2)), (None, None));
        assert_eq!(
            (got(&mut first), got(&mut second)),
            (Some(Ok(1)), Some(Ok(2)))
        );
        assert!(queue.order(1).is_some());
        assert_eq!(queue.came(3), None);
        assert_eq!(queue.take(), Some(3));
    }

    #[test]
    fn whoever_comes_when_the_last_one_on_its_way_has_been_given_has_one_brought() {
        let mut queue = Containers::new(1);
        let (_first, _) = queue.wait();
        queue.came(1);
        assert!(queue.wait().1.is_some());
    }

    #[test]
    fn a_container_on_its_way_for_the_standby_serves_who_waits() {
        let mut queue = Containers::new(1);
        assert!(queue.order(1).is_some());
        assert!(
            queue.order(1).is_none(),
            "as many as wanted are on their way"
        );
        let (mut ticket, more) = queue.wait();
        assert!(more.is_none());
        assert!(queue.order(1).is_some(), "for the standby after all");
        queue.came(1);
        assert_eq!(got(&mut ticket), Some(Ok(1)));
    }

    #[test]
    fn what_comes_for_somebody_who_has_given_up_is_the_next_ones() {
        let mut queue = Containers::new(1);
        let (first, _) = queue.wait();
        drop(first);
        let (mut second, more) = queue.wait();
        assert!(more.is_none(), "the one on its way is enough");
        queue.came(1);
        assert_eq!(got(&mut second), Some(Ok(1)));
    }

    #[test]
    fn a_failure_is_told_only_where_none_comes_in_its_place() {
        let mut queue = Containers::new(1);
        let first = queue.order(1).unwrap();
        let (mut ticket, _) = queue.wait();
        let second = queue.order(1).unwrap();
        assert!(queue.failed(&first, "no room").is_none());
        assert_eq!(got(&mut ticket), None, "another one is on its way");
        assert!(queue.failed(&second, "no room").is_none());
        assert_eq!(got(&mut ticket), Some(Err("no room")));
    }

    #[test]
    fn who_came_when_the_one_that_failed_was_on_its_way_has_another_brought() {
        let mut queue = Containers::new(1);
        let (mut early, own) = queue.wait();
        let own = own.unwrap();
        assert!(queue.failed(&own, "no room").is_none());
        assert_eq!(got(&mut early), Some(Err("no room")));
        let old = queue.order(1).unwrap();
        let (mut late, _) = queue.wait();
        let another = queue.failed(&old, "no room").unwrap();
        assert_eq!(got(&mut late), None);
        assert!(queue.failed(&another, "no room").is_none());
        assert_eq!(got(&mut late), Some(Err("no room")));
    }

    #[test]
    fn what_was_ordered_for_callers_who_gave_up_is_dropped_but_for_the_standby() {
        let mut queue = Containers::new(2);
        let places: Vec<_> = (0..5).map(|_| queue.wait()).collect();
        drop(places);
        let wanted = (0..5).filter(|_| queue.keep_if_wanted()).count();
        assert_eq!((wanted, queue.coming), (2, 2));
        let (_place, more) = queue.wait();
        assert!(
            more.is_none() && queue.keep_if_wanted(),
            "there is one for them"
        );
    }

    #[test]
    fn what_comes_when_enough_are_parked_comes_back() {
        let mut queue = Containers::new(0);
        let (first, second) = (queue.wait(), queue.wait());
        drop((first, second));
        assert_eq!(queue.came(1), None, "whoever gave up may come again");
        assert_eq!(queue.came(2), Some(2));
        queue.gone();
        assert!(!queue.is_awaited());
    }

    #[test]
    fn once_closed_nothing_is_parked_or_brought() {
        let mut queue = Containers::new(1);
        assert!(queue.order(2).is_some() && queue.order(2).is_some());
        queue.came(1);
        assert_eq!(queue.close(), [1]);
        assert!(queue.is_awaited() && queue.order(2).is_none());
        assert_eq!(queue.came(2), Some(2));
        assert!(queue.is_awaited(), "until it is removed");
        queue.gone();
        assert!(!queue.is_awaited());
    }
}
