//! Copies a store into a whole file while it is in use, and puts such a copy in the place of a store.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rdd_host::files;
use rusqlite::{Connection, OpenFlags};

use crate::log::{self, LogError, OpenError, Reader};

/// Why a backup was not made. What was at its path is still there.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The path names no file.
    #[error("{} names no file", path.display())]
    NoFileName {
        /// The path.
        path: PathBuf,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The database cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// SQLite could not read the store or write the copy.
    #[error("cannot copy the store to {}", path.display())]
    Sqlite {
        /// The file that was to be written.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The copy could not be put into place.
    #[error("cannot put the copy into place at {}", path.display())]
    Io {
        /// Where it was to go.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a copy was not put in the place of a store. The store is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The copy cannot be read.
    #[error(transparent)]
    Copy(#[from] BackupError),
    /// The copy, or the store, cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store could not be kept, or the copy not be put into its place.
    #[error("cannot put the copy into place at {}", path.display())]
    Io {
        /// Where it was to go.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Copies the database of a store, which may be in use by another process, into a whole new file. Blocks.
///
/// As [`Store::backup`](crate::Store::backup), for who has not opened the store: the copy holds every write that was
/// acknowledged before.
pub fn backup_file(database: &Path, path: &Path) -> Result<(), BackupError> {
    let connection = log::open_beside(database)?;
    written(path, |temporary| copy(&connection, temporary, 0).map_err(|source| sqlite(path, source)))
}

/// Puts a copy of a store in the place of one that nobody uses, and returns where the one that was there is kept.
/// Blocks.
///
/// Revisions go on behind all that the copy and the store have given out; what a store that is damaged has given out is
/// not known. Nothing has changed if it fails.
pub fn restore_file(backup: &Path, database: &Path) -> Result<Option<PathBuf>, RestoreError> {
    let (lock, known) = log::settle(database)?;
    let io = |source| RestoreError::Io { path: database.to_owned(), source };
    let source = log::open_beside(backup)?;
    let temporary = temporary(database)?;
    let made = private(&temporary, database)
        .and_then(|()| copy(&source, &temporary, known.unwrap_or(0)).map_err(|source| sqlite(database, source)))
        .map_err(RestoreError::from)
        // Opened once, so that a copy that is damaged takes no store's place.
        .and_then(|()| Ok(log::check(&temporary)?))
        .and_then(|()| put_over(&temporary, database).map_err(io));
    if made.is_err() {
        // Best effort: the error that matters is the first.
        let _ = files::remove_file(&temporary);
    }
    drop(lock);
    made
}

/// Renames the copy into place, after what is there got a second name.
fn put_over(temporary: &Path, database: &Path) -> io::Result<Option<PathBuf>> {
    let mut kept = None;
    if database.try_exists()? {
        let path = second_name(database)?;
        // A damaged store may have left them. They mean nothing to another database, and would be taken for its own.
        for end in ["-wal", "-shm"] {
            match fs::rename(with_end(database, end), with_end(&path, end)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        kept = Some(path);
    }
    put_into_place(temporary, database)?;
    Ok(kept)
}

/// Gives a file another name, which tells when.
fn second_name(file: &Path) -> io::Result<PathBuf> {
    let mut millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    loop {
        let path = with_end(file, &format!(".replaced-{millis}"));
        match fs::hard_link(file, &path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => millis += 1,
            done => return done.map(|()| path),
        }
    }
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// Copies the store of a reader.
pub(crate) fn backup(reader: &Reader, path: &Path) -> Result<(), BackupError> {
    written(path, |temporary| {
        let done = reader.apart(|connection| copy(connection, temporary, 0).map_err(LogError::from));
        done.map_err(|error| match error {
            LogError::Sqlite(source) => sqlite(path, source),
            _ => BackupError::Closed,
        })
    })
}

/// Has the copy written beside its place, syncs it, and renames it into place.
fn written(path: &Path, write: impl FnOnce(&Path) -> Result<(), BackupError>) -> Result<(), BackupError> {
    let temporary = temporary(path)?;
    let copied = private(&temporary, path).and_then(|()| write(&temporary)).and_then(|()| {
        put_into_place(&temporary, path).map_err(|source| BackupError::Io { path: path.to_owned(), source })
    });
    if copied.is_err() {
        // Best effort: the error that matters is the first.
        let _ = files::remove_file(&temporary);
    }
    copied
}

fn temporary(path: &Path) -> Result<PathBuf, BackupError> {
    let name = path.file_name().ok_or_else(|| BackupError::NoFileName { path: path.to_owned() })?;
    Ok(path.with_file_name(format!(".{}.tmp-{}", name.to_string_lossy(), std::process::id())))
}

/// Makes an empty file that only its owner reads. SQLite copies into it, and so leaves it as private as we made it.
fn private(temporary: &Path, path: &Path) -> Result<(), BackupError> {
    files::write_whole(temporary, b"", log::PRIVATE).map_err(|source| BackupError::Io { path: path.to_owned(), source })
}

fn copy(connection: &Connection, temporary: &Path, known: u64) -> rusqlite::Result<()> {
    let text = temporary.to_str().ok_or_else(|| rusqlite::Error::InvalidPath(temporary.to_owned()))?;
    connection.execute("VACUUM INTO ?1", [text])?;
    let copy = log::plain_connection(temporary, OpenFlags::empty())?;
    log::mark_as_backup(&copy, known)?;
    copy.close().map_err(|(_, error)| error)
}

fn sqlite(path: &Path, source: rusqlite::Error) -> BackupError {
    BackupError::Sqlite { path: path.to_owned(), source }
}

fn put_into_place(temporary: &Path, path: &Path) -> io::Result<()> {
    File::open(temporary)?.sync_all()?;
    fs::rename(temporary, path)?;
    files::sync_directory(path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}
