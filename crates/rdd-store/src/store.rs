//! The face of the store: hands requests to the writer thread, and answers reads from what is committed.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::backup::{self, BackupError};
use crate::committed::{Committed, HistoryError};
use crate::log::{self, LogError, OpenError};
use crate::write::{Change, Expect, Intent, Request, WriteError, Written};
use crate::writer::Writer;
use crate::{Entry, Key, Location, Options, Prefix, Revision, Snapshot, Start, Watch};

/// A revision that has not happened yet, although somebody waited for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the store is only at revision {current}")]
pub struct FutureRevision {
    /// The current revision.
    pub current: Revision,
}

/// An open store. Copies are the same store; it lives until it is closed or the last copy is gone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    location: Location,
    requests: Sender<Request>,
    committed: Arc<Committed>,
    was_clean: bool,
}

impl Store {
    /// Opens a store, or makes it. Reads the whole log, so it takes as long as that.
    pub fn open(location: Location, options: Options) -> Result<Store, OpenError> {
        let path = match &location {
            Location::File(path) => path.as_path(),
            Location::Memory => Path::new(":memory:"),
        };
        let unreadable = |error| match error {
            LogError::Sqlite(source) => OpenError::Sqlite { path: path.to_owned(), source },
            other => OpenError::Damaged { path: path.to_owned(), detail: other.to_string() },
        };
        let mut log = log::open(&location)?;
        let was_clean = log.was_clean();
        if !was_clean {
            tracing::info!(path = %path.display(), "the database was not closed in good order; nothing acknowledged is lost");
        }
        if let Err(error) = log.set_clean(false) {
            // A full disk must not keep a control plane from starting: it can still be read, and made room.
            tracing::warn!(%error, "marking the database as open");
        }
        let (requests, received) = channel();
        let writer = Writer::load(log, received, options).map_err(unreadable)?;
        let committed = writer.committed();
        std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::Thread { source })?;
        Ok(Store(Arc::new(Inner { location, requests, committed, was_clean })))
    }

    /// Tells whether the last user of the database had closed it.
    pub fn was_clean(&self) -> bool {
        self.0.was_clean
    }

    /// Returns the current state: every write acknowledged before the call is in it.
    pub fn snapshot(&self) -> Snapshot {
        self.0.committed.snapshot()
    }

    /// Returns the current revision.
    pub fn revision(&self) -> Revision {
        self.0.committed.snapshot().revision()
    }

    /// Returns the oldest revision whose state can be had, and behind which a watch can begin.
    pub fn oldest(&self) -> Revision {
        self.0.committed.compacted()
    }

    /// Returns the exact state at a revision.
    ///
    /// # Caveats
    ///
    /// History that is no longer in memory is replayed from disk, which takes a while: an async caller who minds calls
    /// this where blocking is allowed.
    pub fn snapshot_at(&self, revision: Revision) -> Result<Snapshot, HistoryError> {
        self.0.committed.snapshot_at(revision)
    }

    /// As [`Store::snapshot_at`], for async callers: what must be read from disk is read where blocking is allowed.
    pub async fn state_at(&self, revision: Revision) -> Result<Snapshot, HistoryError> {
        match self.0.committed.remembered(revision)? {
            Some(snapshot) => Ok(snapshot),
            None => {
                let committed = Arc::clone(&self.0.committed);
                let read = tokio::task::spawn_blocking(move || committed.snapshot_at(revision)).await;
                read.unwrap_or_else(|error| Err(HistoryError::Unavailable { reason: error.to_string().into() }))
            }
        }
    }

    /// Waits until the store has reached a revision, but no longer than so long.
    pub async fn wait_for(&self, revision: Revision, at_most: Duration) -> Result<(), FutureRevision> {
        let mut revisions = self.0.committed.revisions();
        let reached = revisions.wait_for(|current| *current >= revision);
        match tokio::time::timeout(at_most, reached).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(FutureRevision { current: self.revision() }),
        }
    }

    /// Writes an entry. Whoever wants it to go away by itself says after how long; each write says so anew.
    pub async fn put(
        &self,
        key: Key,
        bytes: Bytes,
        expect: Expect,
        ttl: Option<Duration>,
    ) -> Result<Arc<Entry>, WriteError> {
        self.write(Intent { key, expect, change: Change::Put { bytes, ttl } }).await
    }

    /// Deletes the entry that the given revision wrote; returns its last state, with the deletion's revision.
    pub async fn delete(&self, key: Key, expect: Revision) -> Result<Arc<Entry>, WriteError> {
        self.write(Intent { key, expect: Expect::Revision(expect), change: Change::Delete }).await
    }

    /// Begins a watch. It needs a runtime only while it waits.
    pub fn watch(&self, prefix: Prefix, start: Start) -> Result<Watch, HistoryError> {
        Watch::new(Arc::clone(&self.0.committed), prefix, start)
    }

    /// Forgets history up to a revision, whatever the options say is kept; returns the oldest revision that is left.
    ///
    /// Nobody needs to call this: the store compacts by itself.
    pub async fn compact(&self, up_to: Revision) -> Result<Revision, WriteError> {
        let (reply, done) = oneshot::channel();
        self.send(Request::Compact(up_to, reply))?;
        done.await.map_err(|_| WriteError::Closed)?
    }

    /// Copies the store, as it is at one moment, into a whole new file, replacing what was there. Blocks.
    ///
    /// The copy is an ordinary database. Whoever opens it goes on at a much higher revision and without history, so
    /// that no revision given out since the copy was made comes to mean something else.
    pub fn backup(&self, path: &Path) -> Result<(), BackupError> {
        backup::backup(self.0.committed.reader(), path)
    }

    /// Returns why the last write failed, until one works again: the store is ready when this is `None`.
    pub fn unavailable(&self) -> Option<Arc<str>> {
        if self.0.committed.is_closed() {
            return Some("the store is closed".into());
        }
        self.0.committed.unavailable()
    }

    /// Closes the store in good order: writes that were handed in before are done, watches end, the lock is let go.
    ///
    /// Other copies can still read what is in memory; their writes fail.
    pub async fn close(self) {
        let (reply, closed) = oneshot::channel();
        if self.send(Request::Close(reply)).is_ok() {
            // An error says that another copy closed it first, or that the thread is gone: closed either way.
            let _ = closed.await;
        }
    }

    async fn write(&self, intent: Intent) -> Written {
        let (reply, written) = oneshot::channel();
        self.send(Request::Write(intent, reply))?;
        written.await.map_err(|_| WriteError::Closed)?
    }

    fn send(&self, request: Request) -> Result<(), WriteError> {
        self.0.requests.send(request).map_err(|_| WriteError::Closed)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({:?} at {})", self.0.location, self.revision())
    }
}
