//! The words of the store: a revision, what is kept under a key, and what a watch tells.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;

use crate::Key;

/// One point of the store's history; every committed write makes the next one.
///
/// The empty store is at revision 1, so that 0 can mean "any" in the API.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is kept under a key, at one revision.
pub struct Entry {
    /// Where it is kept.
    pub key: Key,
    /// The revision that wrote it; in a deletion's event the revision of the deletion.
    pub revision: Revision,
    /// The revision at which the key last came into being.
    pub create_revision: Revision,
    /// The content, as it was handed in.
    pub bytes: Bytes,
    /// When it will be deleted by itself, if ever.
    pub expires_at: Option<SystemTime>,
    view: View,
}

impl Entry {
    pub(crate) fn new(
        key: Key,
        revision: Revision,
        create_revision: Revision,
        bytes: Bytes,
        expires_at: Option<SystemTime>,
    ) -> Entry {
        Entry { key, revision, create_revision, bytes, expires_at, view: View::default() }
    }

    /// Returns the last state of an entry that the given revision deletes.
    pub(crate) fn deleted_at(&self, revision: Revision) -> Entry {
        Entry::new(self.key.clone(), revision, self.create_revision, self.bytes.clone(), self.expires_at)
    }

    /// Returns the decoded form of the entry, made on first use and then shared by all who hold the entry.
    ///
    /// One type is kept: for another `T` than that of the first call the form is made anew each time. Nothing is kept
    /// once the entry was replaced or deleted, and a number of events came after.
    pub fn view<T: Send + Sync + 'static>(&self, make: impl FnOnce(&Entry) -> T) -> Arc<T> {
        self.view.get(|| make(self))
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key)
            .field("revision", &self.revision.0)
            .field("create_revision", &self.create_revision.0)
            .field("bytes", &self.bytes)
            .field("expires_at", &self.expires_at)
            .finish()
    }
}

/// What a revision did to its key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EventKind {
    /// The key was free before.
    Created,
    /// The key had another entry before.
    Modified,
    /// The key is free now.
    Deleted,
}

/// One committed revision, as a watch delivers it.
pub struct Event {
    /// The revision.
    pub revision: Revision,
    /// What the revision did.
    pub kind: EventKind,
    /// The new state; for a deletion the last state, with the deletion's revision.
    pub entry: Arc<Entry>,
    /// The state before, if there was one.
    pub previous: Option<Arc<Entry>>,
    view: View,
}

impl Event {
    pub(crate) fn new(kind: EventKind, entry: Arc<Entry>, previous: Option<Arc<Entry>>) -> Event {
        Event { revision: entry.revision, kind, entry, previous, view: View::default() }
    }

    /// Returns a form of the event (say, its encoding), made on first use and then shared by all watchers.
    ///
    /// One type is kept, as with [`Entry::view`].
    pub fn view<T: Send + Sync + 'static>(&self, make: impl FnOnce(&Event) -> T) -> Arc<T> {
        self.view.get(|| make(self))
    }

    /// Lets go of what was derived from the event and from what it replaced or deleted: they are history now. What it
    /// wrote may still be the current state, and is let go of by the event that replaces it.
    pub(crate) fn chill(&self) {
        self.view.chill();
        if let Some(previous) = &self.previous {
            previous.view.chill();
        }
        if self.kind == EventKind::Deleted {
            self.entry.view.chill();
        }
    }

    /// Returns about how much memory the event keeps from being freed.
    pub(crate) fn weight(&self) -> usize {
        const OVERHEAD: usize = 256;
        OVERHEAD + self.entry.key.as_str().len() + self.entry.bytes.len()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Event({} {:?} {})", self.revision, self.kind, self.entry.key)
    }
}

/// A cell for one derived form.
#[derive(Default)]
struct View(Mutex<Form>);

#[derive(Default)]
enum Form {
    #[default]
    NotMade,
    Made(Arc<dyn Any + Send + Sync>),
    /// It is made for each who asks, and kept for nobody: few ask for history.
    NotKept,
}

impl View {
    fn get<T: Send + Sync + 'static>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let mut form = self.lock();
        let kept = match &*form {
            Form::NotMade => {
                let made = Arc::new(make());
                *form = Form::Made(made.clone());
                return made;
            }
            Form::Made(kept) => Some(Arc::clone(kept)),
            Form::NotKept => None,
        };
        drop(form);
        kept.and_then(|kept| kept.downcast().ok()).unwrap_or_else(|| Arc::new(make()))
    }

    fn chill(&self) {
        let before = std::mem::replace(&mut *self.lock(), Form::NotKept);
        // What may be large is freed outside the lock.
        drop(before);
    }

    fn lock(&self) -> MutexGuard<'_, Form> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_made_once_and_another_type_is_made_anew() {
        let key = Key::new("", "configmaps", Some("default"), "a");
        let entry = Entry::new(key, Revision(2), Revision(2), Bytes::from_static(b"12"), None);
        let number = |entry: &Entry| entry.bytes.len();
        let first = entry.view(number);
        let second = entry.view(|_| -> usize { panic!("made already") });
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(*entry.view(|entry| format!("{:?}", entry.bytes)), "b\"12\"");
        assert_eq!(*entry.view(number), 2);
    }

    #[test]
    fn history_keeps_no_views() {
        let key = Key::new("", "configmaps", Some("default"), "a");
        let entry = |revision| Arc::new(Entry::new(key.clone(), Revision(revision), Revision(2), Bytes::new(), None));
        let (old, new) = (entry(2), entry(3));
        let event = Event::new(EventKind::Modified, Arc::clone(&new), Some(Arc::clone(&old)));
        let views = [old.view(|_| 1), new.view(|_| 1), event.view(|_| 1)];
        event.chill();
        assert_eq!(views.each_ref().map(Arc::strong_count), [1, 2, 1], "what is current is kept");
        assert_eq!(*old.view(|_| 2), 2);
        assert_eq!(*old.view(|_| 3), 3, "made for each who asks");
        assert_eq!(*new.view(|_| 2), 1);
    }
}
