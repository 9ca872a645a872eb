//! The state of all keys at one revision, immutable and cheap to hand around.

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;

use crate::{Entry, Event, EventKind, Key, Prefix, Revision};

/// The state of all keys at one revision.
///
/// A copy costs nothing to speak of: snapshots share what did not change between them.
#[derive(Clone)]
pub struct Snapshot {
    revision: Revision,
    entries: OrdMap<Key, Arc<Entry>>,
}

impl Snapshot {
    pub(crate) fn empty(revision: Revision) -> Snapshot {
        Snapshot { revision, entries: OrdMap::new() }
    }

    /// Returns the revision whose state this is.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Returns the entry kept under a key.
    pub fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        self.entries.get(key).cloned()
    }

    /// Returns the entries that the prefix selects, in the order of their keys' text, beginning behind `after`.
    pub fn range<'a>(
        &'a self,
        prefix: &Prefix,
        after: Option<&str>,
    ) -> impl Iterator<Item = Arc<Entry>> + Send + use<'a> {
        let start = match after {
            Some(after) if after >= prefix.as_str() => Bound::Excluded(after),
            _ => Bound::Included(prefix.as_str()),
        };
        let prefix = prefix.clone();
        self.entries
            .range::<_, str>((start, Bound::Unbounded))
            .take_while(move |(key, _)| prefix.contains(key))
            .map(|(_, entry)| Arc::clone(entry))
    }

    /// Counts the entries that the prefix selects, by walking over them.
    pub fn count(&self, prefix: &Prefix) -> usize {
        if prefix.as_str().is_empty() { self.entries.len() } else { self.range(prefix, None).count() }
    }

    /// Moves on to the revision of an event that follows this state.
    pub(crate) fn apply(&mut self, event: &Event) {
        match event.kind {
            EventKind::Created | EventKind::Modified => {
                self.entries.insert(event.entry.key.clone(), Arc::clone(&event.entry));
            }
            EventKind::Deleted => {
                self.entries.remove(&event.entry.key);
            }
        }
        self.revision = event.revision;
    }

    /// Takes back an event that led to this state; the caller then names the revision it went back to.
    pub(crate) fn undo(&mut self, event: &Event) {
        match &event.previous {
            Some(previous) => self.entries.insert(previous.key.clone(), Arc::clone(previous)),
            None => self.entries.remove(&event.entry.key),
        };
    }

    /// Names the revision whose state this is.
    pub(crate) fn set_revision(&mut self, revision: Revision) {
        self.revision = revision;
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot({}, {} entries)", self.revision, self.entries.len())
    }
}
