//! The open log: appending a batch in one durable transaction, thinning, and reading.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdd_host::lock::FileLock;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use super::replay::{Damage, Replay, Row, signed, unsigned};
use crate::options::Millis;
use crate::{Event, EventKind, Prefix, Revision, Snapshot};

/// Why the log could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Damaged(#[from] Damage),
    #[error("the log is compacted up to revision {compacted}")]
    Compacted { compacted: u64 },
    #[error("the log is closed")]
    Closed,
}

/// A connection that closing takes away.
type Handle = Arc<Mutex<Option<Connection>>>;

/// The writer's side of the log.
pub(crate) struct Log {
    handle: Handle,
    reader: Reader,
    /// Up to here history is thinned out.
    compacted: u64,
    /// The highest revision that was ever given out before the first row, if there is none.
    floor: u64,
    /// Whether the last user of the database closed it.
    was_clean: bool,
    /// Held for the life of the log; `None` in memory.
    lock: Option<FileLock>,
}

/// What the log keeps of one event beyond the event itself.
pub(crate) struct Record {
    pub(crate) event: Arc<Event>,
    pub(crate) expires_at: Option<Millis>,
}

impl Log {
    pub(crate) fn new(handle: Handle, reader: Reader, lock: Option<FileLock>) -> rusqlite::Result<Log> {
        let (compacted, floor, clean) = {
            let guard = lock_handle(&handle);
            let connection = guard.as_ref().expect("a new log is open");
            let read = |name| meta(connection, name).map(Option::unwrap_or_default);
            (read("compacted")?, read("floor")?, read("clean")?)
        };
        Ok(Log { handle, reader, compacted, floor, was_clean: clean == 1, lock })
    }

    pub(crate) fn reader(&self) -> Reader {
        self.reader.clone()
    }

    pub(crate) fn compacted(&self) -> u64 {
        self.compacted
    }

    pub(crate) fn was_clean(&self) -> bool {
        self.was_clean
    }

    /// Notes whether the database is closed in good order.
    pub(crate) fn set_clean(&mut self, clean: bool) -> Result<(), LogError> {
        self.with(|connection| set_meta(connection, "clean", u64::from(clean)))
    }

    /// Replays the whole log; `visit` sees every event that is not compacted, with its time.
    pub(crate) fn load(&self, mut visit: impl FnMut(Arc<Event>, Millis)) -> Result<Snapshot, LogError> {
        let mut replay = Replay::new(self.compacted);
        self.with(|connection| {
            Row::visit(connection, 0, u64::MAX, |row| {
                let at = row.at;
                if let Some(event) = replay.step(row)? {
                    visit(event, at);
                }
                Ok::<_, LogError>(true)
            })
        })?;
        let newest = replay.state.revision().0.max(self.compacted).max(self.floor);
        replay.state.set_revision(Revision(newest));
        Ok(replay.state)
    }

    /// Appends the records in one transaction. When this returns they are on disk; if it fails, none is.
    pub(crate) fn append(&mut self, records: &[Record], at: Millis) -> Result<(), LogError> {
        self.with(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            {
                let mut insert = transaction.prepare_cached(
                    "INSERT INTO rev (rev, key, create_rev, prev_rev, at, expires_at, value) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?;
                for Record { event, expires_at } in records {
                    insert.execute((
                        signed(event.revision.0),
                        event.entry.key.as_str(),
                        signed(event.entry.create_revision.0),
                        signed(event.previous.as_ref().map_or(0, |previous| previous.revision.0)),
                        signed(at.0),
                        expires_at.map(|at| signed(at.0)),
                        (event.kind != EventKind::Deleted).then_some(&event.entry.bytes[..]),
                    ))?;
                }
            }
            transaction.commit()
        })
    }

    /// After a failure: leaves no transaction open, and returns what the log holds behind the given state.
    pub(crate) fn settle(&mut self, state: Snapshot) -> Result<(Snapshot, Vec<Arc<Event>>), LogError> {
        self.with(|connection| {
            if !connection.is_autocommit() {
                connection.execute_batch("ROLLBACK")?;
            }
            let after = state.revision().0;
            let mut replay = Replay::from_state(state);
            let mut events = Vec::new();
            Row::visit(connection, after, u64::MAX, |row| {
                events.extend(replay.step(row)?);
                Ok::<_, LogError>(true)
            })?;
            Ok::<_, LogError>((replay.state, events))
        })
    }

    /// Thins out history up to the given revision, which is then the compacted one.
    pub(crate) fn compact(&mut self, up_to: u64) -> Result<(), LogError> {
        let from = self.compacted;
        self.with(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            thin(&transaction, from, up_to)?;
            set_meta(&transaction, "compacted", up_to)?;
            transaction.commit()
        })?;
        self.compacted = up_to;
        Ok(())
    }

    /// Closes the connections, and only then lets go of the lock.
    pub(crate) fn close(self) {
        self.reader.close();
        close(&self.handle);
        drop(self.lock);
    }

    /// Returns a setting of the connection that appends.
    #[cfg(test)]
    pub(super) fn setting<T: rusqlite::types::FromSql>(&self, name: &str) -> T {
        let read = |connection: &mut Connection| connection.pragma_query_value(None, name, |row| row.get(0));
        self.with(read).expect("the setting is known")
    }

    fn with<T, E: Into<LogError>>(&self, work: impl FnOnce(&mut Connection) -> Result<T, E>) -> Result<T, LogError> {
        work(lock_handle(&self.handle).as_mut().ok_or(LogError::Closed)?).map_err(Into::into)
    }
}

/// Reads the log beside the writer.
#[derive(Clone)]
pub(crate) struct Reader {
    handle: Handle,
    /// The file, for those who need a connection of their own; `None` in memory.
    path: Option<PathBuf>,
}

impl Reader {
    pub(crate) fn new(handle: Handle, path: Option<PathBuf>) -> Reader {
        Reader { handle, path }
    }

    /// Rebuilds the state at a revision that is not compacted.
    pub(crate) fn state_at(&self, revision: u64) -> Result<Snapshot, LogError> {
        self.apart(|connection| {
            let transaction = connection.transaction()?;
            let compacted = meta(&transaction, "compacted")?.unwrap_or(0);
            if revision < compacted {
                return Err(LogError::Compacted { compacted });
            }
            let mut replay = Replay::new(compacted);
            Row::visit(&transaction, 0, revision, |row| replay.step(row).map(|_| true).map_err(LogError::from))?;
            replay.state.set_revision(Revision(revision));
            Ok(replay.state)
        })
    }

    /// Reads the events in `(after, up_to]`, at most `limit` rows; returns those that match, and how far it read.
    pub(crate) fn events(
        &self,
        after: u64,
        up_to: u64,
        limit: usize,
        prefix: &Prefix,
    ) -> Result<(Vec<Arc<Event>>, u64), LogError> {
        let mut guard = lock_handle(&self.handle);
        // One transaction, so that compaction does not take rows away in between.
        let transaction = guard.as_mut().ok_or(LogError::Closed)?.transaction()?;
        let compacted = meta(&transaction, "compacted")?.unwrap_or(0);
        if after < compacted {
            return Err(LogError::Compacted { compacted });
        }
        let (mut rows, mut seen, mut reached) = (Vec::new(), 0, after);
        Row::visit(&transaction, after, up_to, |row| {
            (seen, reached) = (seen + 1, row.revision);
            if row.key.starts_with(prefix.as_str()) {
                rows.push(row);
            }
            Ok::<_, LogError>(seen < limit)
        })?;
        let mut events = Vec::with_capacity(rows.len());
        for row in rows {
            let previous = if row.previous == 0 { None } else { Row::entry(&transaction, row.previous)? };
            events.push(Arc::new(row.into_event(previous)?));
        }
        Ok((events, reached))
    }

    /// Does work that takes long. In a file it has its own connection, so that watches that catch up do not wait for it.
    pub(crate) fn apart<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T, LogError>) -> Result<T, LogError> {
        let mut guard = lock_handle(&self.handle);
        let shared = guard.as_mut().ok_or(LogError::Closed)?;
        let Some(path) = &self.path else { return work(shared) };
        // Opened while the shared one is open, so while the database is certainly ours.
        let mut own = plain_connection(path, OpenFlags::empty())?;
        drop(guard);
        work(&mut own)
    }

    fn close(&self) {
        close(&self.handle);
    }
}

/// Opens a connection that takes the path as it is, and waits a while for another connection's lock.
pub(crate) fn plain_connection(path: &Path, more: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    Ok(connection)
}

/// Removes the rows that compaction from one revision to another makes superfluous: what the rows in between replaced
/// or deleted, and the deletions among them.
pub(super) fn thin(connection: &Connection, from: u64, up_to: u64) -> rusqlite::Result<()> {
    let range = (signed(from), signed(up_to));
    connection
        .prepare_cached(
            "DELETE FROM rev WHERE rev IN (SELECT prev_rev FROM rev WHERE rev > ?1 AND rev <= ?2 AND prev_rev > 0)",
        )?
        .execute(range)?;
    // A row that was itself replaced within the range is gone by now, and its own predecessor with it: the statement
    // above collected all predecessors before it removed the first.
    connection.prepare_cached("DELETE FROM rev WHERE rev > ?1 AND rev <= ?2 AND value IS NULL")?.execute(range)?;
    Ok(())
}

/// Returns the highest revision that the database knows of.
pub(super) fn newest(connection: &Connection) -> rusqlite::Result<u64> {
    let last: i64 = connection.query_row("SELECT coalesce(max(rev), 0) FROM rev", (), |row| row.get(0))?;
    let compacted = meta(connection, "compacted")?.unwrap_or(0);
    let floor = meta(connection, "floor")?.unwrap_or(0);
    Ok(unsigned(last).max(compacted).max(floor))
}

pub(super) fn meta(connection: &Connection, name: &str) -> rusqlite::Result<Option<u64>> {
    let mut statement = connection.prepare_cached("SELECT v FROM meta WHERE k = ?1")?;
    Ok(statement.query_row([name], |row| row.get(0)).optional()?.map(unsigned))
}

pub(super) fn set_meta(connection: &Connection, name: &str, value: u64) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("INSERT OR REPLACE INTO meta (k, v) VALUES (?1, ?2)")?;
    statement.execute((name, signed(value))).map(|_| ())
}

fn lock_handle(handle: &Handle) -> MutexGuard<'_, Option<Connection>> {
    // A panic while reading leaves the connection as it was: a transaction ends with its guard.
    handle.lock().unwrap_or_else(PoisonError::into_inner)
}

fn close(handle: &Handle) {
    if let Some(connection) = lock_handle(handle).take()
        && let Err((_, error)) = connection.close()
    {
        tracing::warn!(%error, "closing the database");
    }
}
