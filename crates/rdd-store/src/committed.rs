//! What is committed, as readers and watches see it: the current state, and the ring of the latest events.
//!
//! Only the writer thread changes it, and only by what is already on disk. Everybody else takes the lock for a moment,
//! to copy a snapshot or one event. Every event lies in the ring of all events, by which history is undone and old
//! events leave, and in the ring of its topic (its resource), by which watches go: so a watch of one resource is
//! neither woken nor outrun by the traffic of another.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::{Notify, watch};

use crate::log::{LogError, Reader};
use crate::{Event, Prefix, Revision, Snapshot};

/// How many exact historical states are kept at hand, for those who page through an old list.
const KEPT_SNAPSHOTS: usize = 16;

/// How many events a watch goes over at once, so that the writer never waits long for it.
const LOOK: usize = 1000;

/// The latest events are those that watches are about to tell: so many of them, and about so many bytes, keep the forms
/// that were derived from them (several times their bytes) even if they are replaced already.
const WARM_EVENTS: usize = 256;
const WARM_BYTES: usize = 1 << 20;

/// Why a point of history cannot be had.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HistoryError {
    /// It is so old that it was compacted.
    #[error("history before revision {oldest} is compacted")]
    Compacted {
        /// The oldest revision that can be had.
        oldest: Revision,
    },
    /// It has not happened yet.
    #[error("the store is only at revision {current}")]
    Future {
        /// The current revision.
        current: Revision,
    },
    /// It lies on disk, and the disk could not be read.
    #[error("history cannot be read: {reason}")]
    Unavailable {
        /// What SQLite or the system said.
        reason: Arc<str>,
    },
}

/// What a watch finds behind its cursor.
pub(crate) enum Look {
    /// The next event that matches.
    Event(Arc<Event>),
    /// Nothing up to this revision, but there is more to look at.
    Further(Revision),
    /// Nothing up to this revision, which is the current one.
    Nothing(Revision),
    /// The ring no longer goes back to the cursor.
    Behind,
    /// Nothing, and nothing will come.
    Closed,
}

/// The committed state and the ring, shared by the writer and everybody who reads.
pub(crate) struct Committed {
    inner: RwLock<Inner>,
    /// Historical states that somebody asked for, most recent last.
    kept: Mutex<VecDeque<Snapshot>>,
    reader: Reader,
    /// The current revision, for those who wait for one.
    revision: watch::Sender<Revision>,
    /// Why the last write failed; `None` once one worked.
    unavailable: Mutex<Option<Arc<str>>>,
}

struct Inner {
    current: Snapshot,
    /// The oldest revision that can be had.
    compacted: u64,
    /// All events, and the watches of everything.
    all: Topic,
    topics: HashMap<Box<str>, Topic>,
    /// The weight of the events in the ring, and what it may be.
    weight: usize,
    max_weight: usize,
    /// The latest events, whose derived forms are kept, and their weight.
    warm: VecDeque<Arc<Event>>,
    warm_weight: usize,
    closed: bool,
}

#[derive(Default)]
struct Topic {
    events: VecDeque<Arc<Event>>,
    /// The newest revision that is no longer among the events.
    evicted: u64,
    changed: Arc<Notify>,
}

/// Those to wake after a publication. Separate from it, so that acknowledgements go out first.
#[must_use]
pub(crate) struct Wake(Vec<Arc<Notify>>);

impl Wake {
    pub(crate) fn wake(self) {
        for changed in self.0 {
            changed.notify_waiters();
        }
    }
}

impl Committed {
    pub(crate) fn new(reader: Reader, compacted: u64, max_weight: usize) -> Committed {
        let current = Snapshot::empty(Revision(0));
        let all = Topic { evicted: compacted, ..Topic::default() };
        let topics = HashMap::new();
        Committed {
            inner: RwLock::new(Inner {
                current,
                compacted,
                all,
                topics,
                weight: 0,
                max_weight,
                warm: VecDeque::new(),
                warm_weight: 0,
                closed: false,
            }),
            kept: Mutex::default(),
            reader,
            revision: watch::Sender::new(Revision(0)),
            unavailable: Mutex::default(),
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.read().current.clone()
    }

    pub(crate) fn compacted(&self) -> Revision {
        Revision(self.read().compacted)
    }

    pub(crate) fn revisions(&self) -> watch::Receiver<Revision> {
        self.revision.subscribe()
    }

    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    pub(crate) fn unavailable(&self) -> Option<Arc<str>> {
        lock(&self.unavailable).clone()
    }

    pub(crate) fn set_unavailable(&self, reason: Option<Arc<str>>) {
        *lock(&self.unavailable) = reason;
    }

    /// Adds an event of the past, while the log is loaded and before the first publication.
    pub(crate) fn recall(&self, event: Arc<Event>) {
        let mut inner = self.write();
        inner.push(event);
        inner.evict();
        // Nobody has derived anything yet.
        inner.cool();
    }

    /// Takes over a state and the events that led to it from the last one.
    pub(crate) fn publish(&self, state: Snapshot, events: impl IntoIterator<Item = Arc<Event>>) -> Wake {
        let revision = state.revision();
        let mut wake = Wake(Vec::new());
        let (evicted, replaced, cooled);
        {
            let mut inner = self.write();
            let mut topics = HashSet::new();
            for event in events {
                let changed = inner.push(event);
                if topics.insert(Arc::as_ptr(&changed)) {
                    wake.0.push(changed);
                }
            }
            replaced = std::mem::replace(&mut inner.current, state);
            evicted = inner.evict();
            cooled = inner.cool();
            wake.0.push(Arc::clone(&inner.all.changed));
        }
        self.revision.send_replace(revision);
        // What left memory is freed outside the lock.
        cooled.iter().for_each(|event| event.chill());
        drop((evicted, replaced));
        wake
    }

    /// Forgets the history before a revision.
    pub(crate) fn set_compacted(&self, compacted: u64) {
        let evicted = {
            let mut inner = self.write();
            inner.compacted = compacted;
            inner.evict()
        };
        drop(evicted);
        lock(&self.kept).retain(|snapshot| snapshot.revision().0 >= compacted);
    }

    /// Ends all watches once they have delivered what there is.
    pub(crate) fn close(&self) {
        let wake = {
            let mut inner = self.write();
            inner.closed = true;
            let mut wake: Vec<_> = inner.topics.values().map(|topic| Arc::clone(&topic.changed)).collect();
            wake.push(Arc::clone(&inner.all.changed));
            Wake(wake)
        };
        wake.wake();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.read().closed
    }

    /// Returns the state at a revision: undone from a later one while the ring reaches back, else replayed from disk.
    pub(crate) fn snapshot_at(&self, revision: Revision) -> Result<Snapshot, HistoryError> {
        if let Some(snapshot) = self.remembered(revision)? {
            return Ok(snapshot);
        }
        let snapshot = self.reader.state_at(revision.0).map_err(|error| self.unreadable(error))?;
        self.keep(snapshot.clone());
        Ok(snapshot)
    }

    /// Returns the state at a revision if memory knows it: a kept one, or undone from a later one by the ring.
    pub(crate) fn remembered(&self, revision: Revision) -> Result<Option<Snapshot>, HistoryError> {
        let kept = self.kept_from(revision);
        let (mut base, events) = {
            let inner = self.read();
            let current = inner.current.revision();
            if revision > current {
                return Err(HistoryError::Future { current });
            }
            if revision.0 < inner.compacted {
                return Err(HistoryError::Compacted { oldest: Revision(inner.compacted) });
            }
            let base = kept.unwrap_or_else(|| inner.current.clone());
            if base.revision() == revision {
                return Ok(Some(base));
            }
            if inner.all.evicted > revision.0 {
                return Ok(None);
            }
            let events = inner.all.between(revision, base.revision());
            (base, events)
        };
        for event in events.iter().rev() {
            base.undo(event);
        }
        base.set_revision(revision);
        self.keep(base.clone());
        Ok(Some(base))
    }

    /// Finds the next event that matches behind a revision.
    pub(crate) fn look(&self, prefix: &Prefix, after: Revision) -> Look {
        let inner = self.read();
        let current = inner.current.revision();
        let topic = match prefix.topic() {
            None => Some(&inner.all),
            Some(topic) => inner.topics.get(topic),
        };
        if let Some(topic) = topic {
            if topic.evicted > after.0 {
                return Look::Behind;
            }
            let start = topic.position_after(after);
            let end = topic.events.len().min(start + LOOK);
            if let Some(event) = topic.events.range(start..end).find(|event| prefix.contains(&event.entry.key)) {
                return Look::Event(Arc::clone(event));
            }
            if end < topic.events.len() {
                return Look::Further(topic.events[end - 1].revision);
            }
        }
        if inner.closed { Look::Closed } else { Look::Nothing(current) }
    }

    /// Returns the newest revision of a prefix that has left the ring.
    pub(crate) fn evicted(&self, prefix: &Prefix) -> Revision {
        let inner = self.read();
        let topic = match prefix.topic() {
            None => Some(&inner.all),
            Some(topic) => inner.topics.get(topic),
        };
        Revision(topic.map_or(0, |topic| topic.evicted))
    }

    /// Returns what is notified when an event that may match was published.
    pub(crate) fn changes(&self, prefix: &Prefix) -> Arc<Notify> {
        let mut inner = self.write();
        match prefix.topic() {
            None => Arc::clone(&inner.all.changed),
            Some(topic) => Arc::clone(&inner.topic(topic).changed),
        }
    }

    pub(crate) fn unreadable(&self, error: LogError) -> HistoryError {
        match error {
            LogError::Compacted { compacted } => HistoryError::Compacted { oldest: Revision(compacted) },
            error => HistoryError::Unavailable { reason: error.to_string().into() },
        }
    }

    /// Returns the oldest kept state that is not older than a revision.
    fn kept_from(&self, revision: Revision) -> Option<Snapshot> {
        let kept = lock(&self.kept);
        kept.iter().filter(|snapshot| snapshot.revision() >= revision).min_by_key(|kept| kept.revision()).cloned()
    }

    fn keep(&self, snapshot: Snapshot) {
        let mut kept = lock(&self.kept);
        kept.retain(|other| other.revision() != snapshot.revision());
        if kept.len() == KEPT_SNAPSHOTS {
            kept.pop_front();
        }
        kept.push_back(snapshot);
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn topic(&mut self, topic: &str) -> &mut Topic {
        if !self.topics.contains_key(topic) {
            self.topics.insert(topic.into(), Topic::default());
        }
        self.topics.get_mut(topic).expect("inserted above")
    }

    fn push(&mut self, event: Arc<Event>) -> Arc<Notify> {
        self.weight += event.weight();
        self.warm_weight += event.weight();
        self.warm.push_back(Arc::clone(&event));
        self.all.events.push_back(Arc::clone(&event));
        let topic = self.topic(event.entry.key.topic());
        topic.events.push_back(Arc::clone(&event));
        Arc::clone(&topic.changed)
    }

    /// Takes away the events that are no longer among the latest.
    fn cool(&mut self) -> Vec<Arc<Event>> {
        let mut cooled = Vec::new();
        while (self.warm.len() > WARM_EVENTS || self.warm_weight > WARM_BYTES)
            && let Some(event) = self.warm.pop_front()
        {
            self.warm_weight -= event.weight();
            cooled.push(event);
        }
        cooled
    }

    /// Removes what is compacted or too much, oldest first.
    fn evict(&mut self) -> Vec<Arc<Event>> {
        let mut evicted = Vec::new();
        while let Some(oldest) = self.all.events.front()
            && (self.weight > self.max_weight || oldest.revision.0 <= self.compacted)
        {
            let event = self.all.events.pop_front().expect("it has a front");
            self.weight -= event.weight();
            self.all.evicted = event.revision.0;
            let topic = self.topic(event.entry.key.topic());
            // The rings are filled in the same order, so the oldest of all is the oldest of its topic.
            topic.events.pop_front();
            topic.evicted = event.revision.0;
            evicted.push(event);
        }
        self.all.evicted = self.all.evicted.max(self.compacted.min(self.current.revision().0));
        evicted
    }
}

impl Topic {
    fn position_after(&self, revision: Revision) -> usize {
        self.events.partition_point(|event| event.revision <= revision)
    }

    /// Returns the events in `(after, up_to]`.
    fn between(&self, after: Revision, up_to: Revision) -> Vec<Arc<Event>> {
        let range = self.position_after(after)..self.position_after(up_to);
        if range.is_empty() { Vec::new() } else { self.events.range(range).cloned().collect() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
