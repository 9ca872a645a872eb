//! Opens the database: the lock, the checks whether it is ours, the schema, and what a restored backup needs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rdd_host::files;
use rdd_host::lock::{FileLock, LockError};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::connection::{self, Log, LogError, Reader, plain_connection};
use super::replay::{Replay, Row};
use crate::Location;

/// The mode of a database and of its copies.
pub(crate) const PRIVATE: u32 = 0o600;

/// Marks a database as one of ours ("rdds"), so that another program's is not taken for it.
const APPLICATION_ID: i64 = 0x7264_6473;

/// The version of the tables below. Raise it when an older program must not write what this one wrote.
const SCHEMA: u64 = 1;

/// The revision of the empty store.
const FIRST_REVISION: u64 = 1;

/// By how much a restored backup moves on, so that no revision that clients saw after the backup is given out again.
const RESTORE_STEP: u64 = 1_000_000;

const TABLES: &str = "
    CREATE TABLE rev (
        rev INTEGER PRIMARY KEY,
        key TEXT NOT NULL,
        create_rev INTEGER NOT NULL,
        prev_rev INTEGER NOT NULL,
        at INTEGER NOT NULL,
        expires_at INTEGER,
        value BLOB
    );
    CREATE TABLE meta (k TEXT PRIMARY KEY, v INTEGER NOT NULL) WITHOUT ROWID;
";

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another store of this one, has the database open.
    #[error("database {} is in use by another process", path.display())]
    Locked {
        /// The database.
        path: PathBuf,
    },
    /// The lock file beside the database cannot be used.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database could not be made.
    #[error("cannot create {}", path.display())]
    Create {
        /// The database.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not an SQLite database, or its head is damaged.
    #[error("{} is not an SQLite database", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file is an SQLite database of another program.
    #[error("{} is the database of another program", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A newer version of the program wrote the database.
    #[error("database {} has schema version {found}, but this program knows only up to {supported}", path.display())]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// The version it has.
        found: u64,
        /// The newest version that this program reads.
        supported: u64,
    },
    /// The log contradicts itself.
    #[error("database {} is damaged: {detail}", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// SQLite could not open or read the database.
    #[error("cannot open database {}", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The writer thread could not be started.
    #[error("cannot start the writer thread")]
    Thread {
        /// What the system said.
        source: io::Error,
    },
}

/// Opens the log and takes its lock.
pub(crate) fn open(location: &Location) -> Result<Log, OpenError> {
    match location {
        Location::Memory => {
            let path = Path::new(":memory:");
            let connection = prepare(Connection::open_in_memory().map_err(|source| failed(path, source))?, path)?;
            let shared = Arc::new(Mutex::new(Some(connection)));
            Log::new(Arc::clone(&shared), Reader::new(shared, None), None).map_err(|source| failed(path, source))
        }
        Location::File(path) => {
            let lock = take_lock(path)?;
            make_private(path)?;
            let writer =
                plain_connection(path, OpenFlags::SQLITE_OPEN_CREATE).map_err(|source| failed(path, source))?;
            let writer = Arc::new(Mutex::new(Some(prepare(writer, path)?)));
            let reader = plain_connection(path, OpenFlags::empty()).map_err(|source| failed(path, source))?;
            reader.pragma_update(None, "query_only", true).map_err(|source| failed(path, source))?;
            let reader = Reader::new(Arc::new(Mutex::new(Some(reader))), Some(path.clone()));
            Log::new(writer, reader, Some(lock)).map_err(|source| failed(path, source))
        }
    }
}

/// Notes in a copy of the database that it is a copy: who opens it goes on behind every revision given out since, and
/// behind `known`, the highest that is known to have been given out.
pub(crate) fn mark_as_backup(copy: &Connection, known: u64) -> rusqlite::Result<()> {
    connection::set_meta(copy, "backup", known.max(1))?;
    connection::set_meta(copy, "clean", 1)
}

/// Opens a database of ours as it is, beside whoever uses it.
pub(crate) fn open_beside(path: &Path) -> Result<Connection, OpenError> {
    let connection = plain_connection(path, OpenFlags::empty()).map_err(|source| failed(path, source))?;
    if is_fresh(&connection, path)? {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    Ok(connection)
}

/// Reads a database of ours whole, and returns what is wrong with it. It is not changed.
pub(crate) fn check(path: &Path) -> Result<(), OpenError> {
    let connection = open_beside(path)?;
    let compacted = connection::meta(&connection, "compacted").map_err(|source| failed(path, source))?.unwrap_or(0);
    let mut replay = Replay::new(compacted);
    let read = Row::visit(&connection, 0, u64::MAX, |row| replay.step(row).map(|_| true).map_err(LogError::from));
    read.map_err(|error| match error {
        LogError::Sqlite(source) => failed(path, source),
        other => OpenError::Damaged { path: path.to_owned(), detail: other.to_string() },
    })
}

/// Takes the lock of a database, and returns the highest revision that it has given out; `None` if it is not there, or
/// too damaged to tell. What lies in the journal of one that can be read lies in the database itself afterwards.
pub(crate) fn settle(path: &Path) -> Result<(FileLock, Option<u64>), OpenError> {
    let lock = take_lock(path)?;
    if !path.try_exists().map_err(|source| OpenError::Create { path: path.to_owned(), source })? {
        return Ok((lock, None));
    }
    let newest = || {
        let connection = open_beside(path)?;
        let newest = connection::newest(&connection).map_err(|source| failed(path, source))?;
        // The last connection to close empties the journal and removes it.
        connection.close().map_err(|(_, source)| failed(path, source))?;
        Ok(newest)
    };
    match newest() {
        Ok(newest) => Ok((lock, Some(newest))),
        Err(OpenError::NotADatabase { .. } | OpenError::Damaged { .. }) => Ok((lock, None)),
        Err(error) => Err(error),
    }
}

fn take_lock(path: &Path) -> Result<FileLock, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock = PathBuf::from(name);
    FileLock::try_acquire(&lock).map_err(|error| match error {
        LockError::Held { .. } => OpenError::Locked { path: path.to_owned() },
        LockError::Io { path, source } => OpenError::Lock { path, source },
    })
}

/// Makes a new database with a mode that keeps its secrets: SQLite gives the journal the mode of the database.
fn make_private(path: &Path) -> Result<(), OpenError> {
    let make = || if path.try_exists()? { Ok(()) } else { files::write_whole(path, b"", PRIVATE) };
    make().map_err(|source| OpenError::Create { path: path.to_owned(), source })
}

fn prepare(mut connection: Connection, path: &Path) -> Result<Connection, OpenError> {
    let fail = |source| failed(path, source);
    // Before anything is written: a newer program's file is left exactly as it was.
    let fresh = is_fresh(&connection, path)?;
    durable(&connection).map_err(fail)?;
    if fresh {
        create(&mut connection).map_err(fail)?;
    }
    restore(&mut connection).map_err(fail)?;
    Ok(connection)
}

/// Returns whether the database is empty. One that is not must be ours, and of a version that this program reads.
fn is_fresh(connection: &Connection, path: &Path) -> Result<bool, OpenError> {
    let fail = |source| failed(path, source);
    let id: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(fail)?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0)).map_err(fail)?;
    if id == 0 && tables == 0 {
        return Ok(true);
    }
    if id != APPLICATION_ID {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    let found = connection::meta(connection, "schema").map_err(fail)?.unwrap_or(0);
    if found > SCHEMA {
        return Err(OpenError::NewerSchema { path: path.to_owned(), found, supported: SCHEMA });
    }
    if found == 0 {
        return Err(OpenError::Damaged { path: path.to_owned(), detail: "no schema version".to_owned() });
    }
    Ok(false)
}

fn durable(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // On macOS a plain fsync leaves the data in the drive's cache. Elsewhere these two say nothing new.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update_and_check(None, "journal_size_limit", 16 << 20, |_| Ok(()))
}

fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.execute_batch(TABLES)?;
    for (name, value) in [("schema", SCHEMA), ("compacted", 0), ("floor", FIRST_REVISION), ("clean", 1)] {
        connection::set_meta(&transaction, name, value)?;
    }
    transaction.commit()
}

/// A database that came from a backup moves on by a large step and forgets its history: clients may know revisions
/// from after the backup, which must not come to mean something else.
fn restore(connection: &mut Connection) -> rusqlite::Result<()> {
    let known = connection::meta(connection, "backup")?.unwrap_or(0);
    if known == 0 {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    let newest = connection::newest(&transaction)?;
    let compacted = connection::meta(&transaction, "compacted")?.unwrap_or(0);
    connection::thin(&transaction, compacted, newest)?;
    let floor = newest.max(known) + RESTORE_STEP;
    for (name, value) in [("compacted", floor), ("floor", floor), ("backup", 0)] {
        connection::set_meta(&transaction, name, value)?;
    }
    transaction.commit()?;
    tracing::info!(newest, floor, "opened a restored backup");
    Ok(())
}

fn failed(path: &Path, source: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::NotADatabase { path },
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Damaged { path, detail: source.to_string() },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::Locked { path },
        _ => OpenError::Sqlite { path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SIGKILL does not show what a power failure takes: the kernel keeps what was written. So this looks at the
    /// connection that appends, on a new database and on one that is opened again.
    #[test]
    fn the_connection_that_appends_waits_for_the_disk() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let location = Location::File(directory.path().join("state.db"));
        for time in ["first", "second"] {
            let log = open(&location).expect("it opens");
            let full: i64 = log.setting("synchronous");
            assert_eq!(full, 2, "synchronous, the {time} time");
            assert_eq!(log.setting::<String>("journal_mode"), "wal", "the {time} time");
            for name in ["fullfsync", "checkpoint_fullfsync"] {
                assert_eq!(log.setting::<i64>(name), 1, "{name}, the {time} time");
            }
            log.close();
        }
    }
}
