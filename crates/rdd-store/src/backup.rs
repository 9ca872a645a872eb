//! Copies a store into a whole file while it is in use.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rdd_host::files;
use rusqlite::OpenFlags;

use crate::log::{self, LogError, Reader};

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

/// Writes the copy beside its place, syncs it, and renames it into place.
pub(crate) fn backup(reader: &Reader, path: &Path) -> Result<(), BackupError> {
    let name = path.file_name().ok_or_else(|| BackupError::NoFileName { path: path.to_owned() })?;
    let temporary = path.with_file_name(format!(".{}.tmp-{}", name.to_string_lossy(), std::process::id()));
    let copied = copy(reader, &temporary).and_then(|()| {
        put_into_place(&temporary, path).map_err(|source| BackupError::Io { path: path.to_owned(), source })
    });
    if copied.is_err() {
        // Best effort: the error that matters is the first.
        let _ = files::remove_file(&temporary);
    }
    copied
}

fn copy(reader: &Reader, temporary: &Path) -> Result<(), BackupError> {
    let path = temporary.to_owned();
    // SQLite copies into an empty file, and so leaves it as private as we made it.
    if let Err(source) = files::write_whole(temporary, b"", log::PRIVATE) {
        return Err(BackupError::Io { path, source });
    }
    let done = reader.apart(|connection| {
        let text = temporary.to_str().ok_or_else(|| rusqlite::Error::InvalidPath(temporary.to_owned()))?;
        connection.execute("VACUUM INTO ?1", [text])?;
        let copy = log::plain_connection(temporary, OpenFlags::empty())?;
        log::mark_as_backup(&copy)?;
        copy.close().map_err(|(_, error)| error.into())
    });
    done.map_err(|error| match error {
        LogError::Sqlite(source) => BackupError::Sqlite { path, source },
        _ => BackupError::Closed,
    })
}

fn put_into_place(temporary: &Path, path: &Path) -> io::Result<()> {
    File::open(temporary)?.sync_all()?;
    fs::rename(temporary, path)?;
    files::sync_directory(path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}
