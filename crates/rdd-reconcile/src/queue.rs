//! The queue of keys that want to be looked at. A plain synchronous type: the time is handed in.
//!
//! ```text
//!           add, due                     take
//!  (absent) ────────► waiting ─────────────────► running ──done──► (absent)
//!                                        add ↺ running, again ──done──► waiting
//! ```
//!
//! A key waits once however often it is added; a key that runs is handed to nobody else; a key that
//! is added while it runs waits again when it is done. So nothing is lost, and nothing runs twice at
//! the same time.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// How long to wait after failures: doubling from `first` to `limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failure.
    pub first: Duration,
    /// The longest wait.
    pub limit: Duration,
}

impl Default for Backoff {
    /// The waits of the original: 5 ms, doubling up to 1000 s.
    fn default() -> Self {
        Self { first: Duration::from_millis(5), limit: Duration::from_secs(1000) }
    }
}

impl Backoff {
    /// Returns the wait after `failures` failures in a row; none after none.
    pub fn delay(&self, failures: u32) -> Duration {
        match failures {
            0 => Duration::ZERO,
            n => self.first.saturating_mul(1_u32.checked_shl(n - 1).unwrap_or(u32::MAX)).min(self.limit),
        }
    }
}

/// The queue.
#[derive(Debug)]
pub struct Queue<K> {
    backoff: Backoff,
    waiting: VecDeque<K>,
    queued: HashSet<K>,
    running: HashSet<K>,
    later: BTreeSet<(Instant, u64)>,
    timers: HashMap<u64, K>,
    timer_of: HashMap<K, (Instant, u64)>,
    failures: HashMap<K, u32>,
    next_timer: u64,
}

impl<K: Clone + Eq + Hash> Queue<K> {
    /// Makes an empty queue.
    pub fn new(backoff: Backoff) -> Self {
        Self {
            backoff,
            waiting: VecDeque::new(),
            queued: HashSet::new(),
            running: HashSet::new(),
            later: BTreeSet::new(),
            timers: HashMap::new(),
            timer_of: HashMap::new(),
            failures: HashMap::new(),
            next_timer: 0,
        }
    }

    /// Asks that `key` is looked at now.
    pub fn add(&mut self, key: K) {
        if self.queued.insert(key.clone()) && !self.running.contains(&key) {
            self.waiting.push_back(key);
        }
    }

    /// Asks that `key` is looked at at `at`. An earlier wish for the same key wins.
    pub fn add_at(&mut self, key: K, at: Instant) {
        if let Some(present) = self.timer_of.get(&key).copied() {
            if present.0 <= at {
                return;
            }
            self.later.remove(&present);
            self.timers.remove(&present.1);
        }
        let timer = (at, self.next_timer);
        self.next_timer += 1;
        self.later.insert(timer);
        self.timers.insert(timer.1, key.clone());
        self.timer_of.insert(key, timer);
    }

    /// Asks again for a key whose look failed, after a wait that grows with each failure in a row.
    pub fn add_failed(&mut self, key: K, now: Instant) {
        let failures = self.failures.entry(key.clone()).or_default();
        *failures = failures.saturating_add(1);
        let delay = self.backoff.delay(*failures);
        self.add_at(key, now + delay);
    }

    /// Forgets the failures of a key whose look succeeded.
    pub fn forget_failures(&mut self, key: &K) {
        self.failures.remove(key);
    }

    /// Moves the keys whose time has come to those that wait, and returns when the next one is due.
    pub fn due(&mut self, now: Instant) -> Option<Instant> {
        while let Some(&timer) = self.later.first() {
            if timer.0 > now {
                return Some(timer.0);
            }
            self.later.remove(&timer);
            let key = self.timers.remove(&timer.1).expect("each timer has its key");
            self.timer_of.remove(&key);
            self.add(key);
        }
        None
    }

    /// Hands out the next key; nobody else gets it until it is [`done`](Self::done).
    pub fn take(&mut self) -> Option<K> {
        let key = self.waiting.pop_front()?;
        self.queued.remove(&key);
        self.running.insert(key.clone());
        Some(key)
    }

    /// Gives a key back.
    pub fn done(&mut self, key: &K) {
        if self.running.remove(key) && self.queued.contains(key) {
            self.waiting.push_back(key.clone());
        }
    }

    /// Returns whether a key waits.
    pub fn is_ready(&self) -> bool {
        !self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_waits_once_and_runs_alone() {
        let mut queue = Queue::new(Backoff::default());
        queue.add("a");
        queue.add("a");
        queue.add("b");
        assert_eq!(queue.take(), Some("a"));
        queue.add("a");
        assert_eq!(queue.take(), Some("b"));
        assert_eq!(queue.take(), None, "a runs");
        queue.done(&"a");
        assert_eq!(queue.take(), Some("a"), "it was added while it ran");
        queue.done(&"a");
        queue.done(&"b");
        assert_eq!(queue.take(), None);
    }

    #[test]
    fn the_earlier_timer_wins() {
        let mut queue = Queue::new(Backoff::default());
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        queue.add_at("a", at(10));
        queue.add_at("a", at(5));
        queue.add_at("a", at(20));
        assert_eq!(queue.due(at(1)), Some(at(5)));
        assert_eq!(queue.due(at(5)), None);
        assert_eq!(queue.take(), Some("a"));
        assert_eq!(queue.due(at(30)), None, "the later wishes are forgotten");
        assert_eq!(queue.take(), None);
    }

    #[test]
    fn failures_wait_longer_and_longer_until_a_success() {
        let backoff = Backoff { first: Duration::from_secs(1), limit: Duration::from_secs(3) };
        let mut queue = Queue::new(backoff);
        let now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..4 {
            queue.add_failed("a", now);
            waits.push(queue.due(now).expect("a timer").duration_since(now).as_secs());
            queue.due(now + Duration::from_secs(3));
            assert_eq!(queue.take(), Some("a"));
            queue.done(&"a");
        }
        assert_eq!(waits, [1, 2, 3, 3]);
        queue.forget_failures(&"a");
        queue.add_failed("a", now);
        assert_eq!(queue.due(now), Some(now + Duration::from_secs(1)));
        assert_eq!(Backoff::default().delay(200), Duration::from_secs(1000));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Add(u8),
        AddAt(u8, u64),
        Take,
        Done,
        Wait(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0..4_u8).prop_map(Step::Add),
            (0..4_u8, 0..9_u64).prop_map(|(k, s)| Step::AddAt(k, s)),
            Just(Step::Take),
            Just(Step::Done),
            (0..9_u64).prop_map(Step::Wait),
        ];
        proptest::collection::vec(step, 0..80)
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_runs_twice(steps in steps()) {
            let mut queue = Queue::new(Backoff::default());
            let mut now = Instant::now();
            let mut running: Vec<u8> = Vec::new();
            // Keys that were asked for since they were last handed out.
            let mut wanted: HashSet<u8> = HashSet::new();
            for step in steps {
                match step {
                    Step::Add(key) => { queue.add(key); wanted.insert(key); }
                    Step::AddAt(key, s) => { queue.add_at(key, now + Duration::from_secs(s)); wanted.insert(key); }
                    Step::Wait(s) => { now += Duration::from_secs(s); queue.due(now); }
                    Step::Done => if let Some(key) = running.pop() { queue.done(&key); },
                    Step::Take => if let Some(key) = queue.take() {
                        prop_assert!(!running.contains(&key), "{} runs already", key);
                        running.push(key);
                        wanted.remove(&key);
                    },
                }
            }
            for key in running.drain(..) { queue.done(&key); }
            queue.due(now + Duration::from_secs(100));
            while let Some(key) = queue.take() { wanted.remove(&key); queue.done(&key); }
            prop_assert!(wanted.is_empty(), "lost: {:?}", wanted);
        }
    }
}
