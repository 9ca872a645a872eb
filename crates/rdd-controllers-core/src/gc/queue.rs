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
/// How often others may be quicker before that counts as a failure.
const MOST_ROUNDS: u32 = 5;

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    ready: VecDeque<Uid>,
    queued: HashSet<Uid>,
    /// Those that are looked at right now, and whether they are to be looked at again.
    running: HashMap<Uid, bool>,
    later: BTreeSet<(Instant, Uid)>,
    /// When each of those is due.
    due_at: HashMap<Uid, Instant>,
    /// How often each was looked at again at once, one time after the other.
    rounds: HashMap<Uid, u32>,
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
        self.rounds.remove(uid);
        self.not_later(uid);
        self.give_back(uid);
    }

    /// Gives one back that is to be looked at again at once; if that goes on, after a while.
    pub(super) fn again(&mut self, uid: &Uid, now: Instant) {
        let rounds = self.rounds.entry(uid.clone()).or_default();
        *rounds += 1;
        if *rounds > MOST_ROUNDS {
            self.failed(uid, now);
        } else {
            self.give_back(uid);
            self.add(uid.clone());
        }
    }

    /// Gives one back that failed.
    pub(super) fn failed(&mut self, uid: &Uid, now: Instant) {
        let failures = self.failures.entry(uid.clone()).or_default();
        let pause = RETRY.saturating_mul(2_u32.saturating_pow(*failures)).min(MOST_RETRY);
        *failures = failures.saturating_add(1);
        self.rounds.remove(uid);
        self.not_later(uid);
        self.later.insert((now + pause, uid.clone()));
        self.due_at.insert(uid.clone(), now + pause);
        self.give_back(uid);
    }

    /// Gives one back that waits for a kind to be served.
    pub(super) fn park(&mut self, uid: &Uid) {
        self.parked.insert(uid.clone());
        self.give_back(uid);
    }

    /// Adds those that wait for a kind.
    pub(super) fn unpark(&mut self) {
        // One that is looked at right now may have looked the kind up before it came.
        self.running.values_mut().for_each(|again| *again = true);
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
                self.due_at.remove(&uid);
                self.add(uid);
            }
        }
    }

    /// Forgets one that is gone.
    pub(super) fn forget(&mut self, uid: &str) {
        self.failures.remove(uid);
        self.rounds.remove(uid);
        self.parked.remove(uid);
        self.not_later(uid);
    }

    fn not_later(&mut self, uid: &str) {
        if let Some((uid, at)) = self.due_at.remove_entry(uid) {
            self.later.remove(&(at, uid));
        }
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
    fn what_fails_twice_is_due_once() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for _ in 0..3 {
            queue.add("a".into());
            taken(&mut queue);
            queue.failed(&"a".into(), now);
        }
        assert_eq!((queue.later.len(), queue.due()), (1, Some(now + RETRY * 4)));
        queue.forget("a");
        assert_eq!(queue.due(), None);
    }

    #[test]
    fn who_always_loses_waits() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add("a".into());
        for _ in 0..MOST_ROUNDS {
            assert_eq!(taken(&mut queue), "a");
            queue.again(&"a".into(), now);
        }
        assert_eq!(taken(&mut queue), "a");
        queue.again(&"a".into(), now);
        assert_eq!(taken(&mut queue), "");
        assert_eq!(queue.due(), Some(now + RETRY));
    }

    #[test]
    fn a_kind_that_comes_meanwhile_is_looked_up_again() {
        let mut queue = Queue::default();
        queue.add("a".into());
        taken(&mut queue);
        queue.unpark();
        queue.park(&"a".into());
        assert_eq!(taken(&mut queue), "a");
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
