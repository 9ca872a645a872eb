//! Whom to look at next: each at most once at a time, and those that failed after a while.
//!
//! Pure, but for the clock that it is asked with.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::graph::Uid;

/// How long until what failed is tried again; twice as long each time, up to the most.
const RETRY: Duration = Duration::from_millis(100);
const MOST_RETRY: Duration = Duration::from_secs(60);

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    ready: VecDeque<Uid>,
    queued: HashSet<Uid>,
    /// Those that are looked at right now, and whether they are to be looked at again.
    running: HashMap<Uid, bool>,
    later: BTreeSet<(Instant, Uid)>,
    failures: HashMap<Uid, u32>,
    /// Those that wait for a kind to be served.
    parked: HashSet<Uid>,
}

impl Queue {
    /// Adds one, unless it stands in the queue.
    pub(super) fn add(&mut self, uid: Uid) {
        if let Some(again) = self.running.get_mut(&uid) {
            *again = true;
        } else if self.queued.insert(uid.clone()) {
            self.ready.push_back(uid);
        }
    }

    /// Takes the next one. It comes to no one else until it is given back.
    pub(super) fn take(&mut self) -> Option<Uid> {
        let uid = self.ready.pop_front()?;
        self.queued.remove(&uid);
        self.running.insert(uid.clone(), false);
        Some(uid)
    }

    /// Gives one back that is done.
    pub(super) fn done(&mut self, uid: &Uid) {
        self.failures.remove(uid);
        self.give_back(uid);
    }

    /// Gives one back that is to be looked at again at once.
    pub(super) fn again(&mut self, uid: &Uid) {
        self.give_back(uid);
        self.add(uid.clone());
    }

    /// Gives one back that failed.
    pub(super) fn failed(&mut self, uid: &Uid, now: Instant) {
        let failures = self.failures.entry(uid.clone()).or_default();
        let pause = RETRY.saturating_mul(2_u32.saturating_pow(*failures)).min(MOST_RETRY);
        *failures = failures.saturating_add(1);
        self.later.insert((now + pause, uid.clone()));
        self.give_back(uid);
    }

    /// Gives one back that waits for a kind to be served.
    pub(super) fn park(&mut self, uid: &Uid) {
        self.parked.insert(uid.clone());
        self.give_back(uid);
    }

    /// Adds those that wait for a kind.
    pub(super) fn unpark(&mut self) {
        for uid in std::mem::take(&mut self.parked) {
            self.add(uid);
        }
    }

    /// Returns when the next one that failed is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.later.first().map(|(at, _)| *at)
    }

    /// Adds those that are due.
    pub(super) fn add_due(&mut self, now: Instant) {
        while self.due().is_some_and(|at| at <= now) {
            if let Some((_, uid)) = self.later.pop_first() {
                self.add(uid);
            }
        }
    }

    /// Forgets one that is gone.
    pub(super) fn forget(&mut self, uid: &str) {
        self.failures.remove(uid);
        self.parked.remove(uid);
    }

    fn give_back(&mut self, uid: &Uid) {
        if self.running.remove(uid) == Some(true) {
            self.add(uid.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(queue: &mut Queue) -> String {
        std::iter::from_fn(|| queue.take()).map(|uid| uid.to_string()).collect()
    }

    #[test]
    fn each_comes_once_at_a_time() {
        let mut queue = Queue::default();
        for uid in ["a", "b", "a"] {
            queue.add(uid.into());
        }
        assert_eq!(taken(&mut queue), "ab");
        queue.add("a".into());
        assert_eq!(taken(&mut queue), "", "a is looked at right now");
        queue.done(&"a".into());
        queue.done(&"b".into());
        assert_eq!(taken(&mut queue), "a");
    }

    #[test]
    fn what_failed_comes_later_and_later() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..12 {
            queue.add("a".into());
            assert_eq!(taken(&mut queue), "a");
            queue.failed(&"a".into(), now);
            let due = queue.due().expect("it is tried again");
            pauses.push((due - now).as_millis());
            queue.add_due(due - Duration::from_millis(1));
            assert_eq!(taken(&mut queue), "");
            queue.add_due(due);
            assert_eq!(taken(&mut queue), "a");
            queue.give_back(&"a".into());
        }
        assert_eq!(pauses[..3], [100, 200, 400]);
        assert_eq!(pauses[11], 60_000);
        queue.add("a".into());
        taken(&mut queue);
        queue.done(&"a".into());
        queue.add("a".into());
        taken(&mut queue);
        queue.failed(&"a".into(), now);
        assert_eq!(queue.due(), Some(now + RETRY), "success is remembered");
    }

    #[test]
    fn the_parked_come_when_a_kind_does() {
        let mut queue = Queue::default();
        for uid in ["a", "b"] {
            queue.add(uid.into());
            taken(&mut queue);
            queue.park(&uid.into());
        }
        queue.forget("b");
        assert_eq!(taken(&mut queue), "");
        queue.unpark();
        assert_eq!(taken(&mut queue), "a");
    }
}
