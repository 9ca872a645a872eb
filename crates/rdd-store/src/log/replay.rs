//! From rows to events: rebuilds the state by going through the log, and notices a log that contradicts itself.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::Connection;

use crate::options::Millis;
use crate::{Entry, Event, EventKind, Key, Revision, Snapshot};

/// A row that cannot have been written by us at its place.
#[derive(Debug, thiserror::Error)]
#[error("revision {revision} {what}")]
pub(crate) struct Damage {
    pub(crate) revision: u64,
    pub(crate) what: &'static str,
}

/// One row of the log.
pub(crate) struct Row {
    pub(crate) revision: u64,
    pub(crate) key: String,
    pub(crate) create_revision: u64,
    /// The revision that this one replaced or deleted; 0 for a creation.
    pub(crate) previous: u64,
    pub(crate) at: Millis,
    pub(crate) expires_at: Option<Millis>,
    /// `None` for a deletion.
    pub(crate) bytes: Option<Bytes>,
}

impl Row {
    /// Calls `visit` for the rows in `(after, up_to]`, in order, until it says `false`.
    pub(crate) fn visit<E: From<rusqlite::Error>>(
        connection: &Connection,
        after: u64,
        up_to: u64,
        mut visit: impl FnMut(Row) -> Result<bool, E>,
    ) -> Result<(), E> {
        let mut statement = connection.prepare_cached(
            "SELECT rev, key, create_rev, prev_rev, at, expires_at, value FROM rev \
             WHERE rev > ?1 AND rev <= ?2 ORDER BY rev",
        )?;
        let mut rows = statement.query((signed(after), signed(up_to)))?;
        while let Some(row) = rows.next()? {
            let row = Row {
                revision: unsigned(row.get(0)?),
                key: row.get(1)?,
                create_revision: unsigned(row.get(2)?),
                previous: unsigned(row.get(3)?),
                at: Millis(unsigned(row.get(4)?)),
                expires_at: row.get::<_, Option<i64>>(5)?.map(|at| Millis(unsigned(at))),
                bytes: row.get::<_, Option<Vec<u8>>>(6)?.map(Bytes::from),
            };
            if !visit(row)? {
                break;
            }
        }
        Ok(())
    }

    /// Reads the entry that the given revision wrote, if it is still there.
    pub(crate) fn entry(connection: &Connection, revision: u64) -> Result<Option<Arc<Entry>>, rusqlite::Error> {
        let mut found = None;
        Row::visit(connection, revision - 1, revision, |row| {
            found = row.into_entry().ok().flatten();
            Ok::<_, rusqlite::Error>(false)
        })?;
        Ok(found)
    }

    /// Makes the event of this row, given the entry it replaced or deleted.
    pub(crate) fn into_event(self, previous: Option<Arc<Entry>>) -> Result<Event, Damage> {
        let revision = self.revision;
        let damage = |what| Damage { revision, what };
        if previous.as_ref().map_or(0, |entry| entry.revision.0) != self.previous {
            return Err(damage("does not follow what was there before"));
        }
        match (self.into_entry()?, previous) {
            (Some(entry), None) => Ok(Event::new(EventKind::Created, entry, None)),
            (Some(entry), previous) => Ok(Event::new(EventKind::Modified, entry, previous)),
            (None, Some(previous)) => {
                let last = Arc::new(previous.deleted_at(Revision(revision)));
                Ok(Event::new(EventKind::Deleted, last, Some(previous)))
            }
            (None, None) => Err(damage("deletes what was not there")),
        }
    }

    fn into_entry(self) -> Result<Option<Arc<Entry>>, Damage> {
        let Some(bytes) = self.bytes else { return Ok(None) };
        let key = Key::parse(&self.key).ok_or(Damage { revision: self.revision, what: "has no valid key" })?;
        let (revision, created) = (Revision(self.revision), Revision(self.create_revision));
        Ok(Some(Arc::new(Entry::new(key, revision, created, bytes, self.expires_at.map(Millis::time)))))
    }
}

/// The state as far as the log was replayed.
pub(crate) struct Replay {
    pub(crate) state: Snapshot,
    /// Up to here the log is compacted: rows stand alone, without what they replaced.
    compacted: u64,
}

impl Replay {
    /// Begins before the first row.
    pub(crate) fn new(compacted: u64) -> Replay {
        Replay { state: Snapshot::empty(Revision(0)), compacted }
    }

    /// Goes on from a state that is already known.
    pub(crate) fn from_state(state: Snapshot) -> Replay {
        let compacted = state.revision().0;
        Replay { state, compacted }
    }

    /// Moves on by one row; returns its event unless the row lies in the compacted part.
    pub(crate) fn step(&mut self, row: Row) -> Result<Option<Arc<Event>>, Damage> {
        let compacted = row.revision <= self.compacted;
        let key = Key::parse(&row.key).ok_or(Damage { revision: row.revision, what: "has no valid key" })?;
        let event = if compacted {
            let revision = row.revision;
            let entry = row.into_entry()?.ok_or(Damage { revision, what: "is a compacted deletion" })?;
            Event::new(EventKind::Created, entry, None)
        } else {
            row.into_event(self.state.get(&key))?
        };
        self.state.apply(&event);
        Ok((!compacted).then(|| Arc::new(event)))
    }
}

/// SQLite counts with a sign. No store lives long enough to reach it.
pub(crate) fn signed(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

/// What SQLite gives back; a negative number, which we never wrote, becomes 0.
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
