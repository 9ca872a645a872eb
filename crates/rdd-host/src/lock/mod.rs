//! Locks on files: "somebody is alive" as a fact that the kernel keeps.
//!
//! A lock belongs to the *open file*, not to the process: a child that inherits the descriptor
//! ([`FileLock::try_clone_file`], [`crate::process::Spawn::inherit`]) holds it too, and it is free
//! when the last holder is gone, however it went. The file's content means nothing.
//!
//! # Guarantees
//!
//! - At most one holder per path at any time, threads of one process included.
//! - [`is_held`] only looks: it never makes somebody else's [`FileLock::try_acquire`] fail.
//! - A lock file may be deleted by its holder; whoever acquires the path afterwards locks a new
//!   file, and never believes to hold the deleted one.
//!
//! # Caveats
//!
//! Locks are for local file systems. A lock that is dropped while another thread of the process is
//! between fork and exec stays held for that moment.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

#[cfg(unix)]
#[path = "unix.rs"]
mod system;

/// Why a lock was not acquired.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody holds it.
    #[error("{path} is locked by another process")]
    Held {
        /// The lock file.
        path: PathBuf,
    },
    /// The file could not be opened or locked.
    #[error("cannot lock {path}")]
    Io {
        /// The lock file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// An exclusive lock, held as long as this value or an inherited descriptor lives.
#[derive(Debug)]
pub struct FileLock {
    file: File,
    path: PathBuf,
}

impl FileLock {
    /// Acquires the lock, or says at once that somebody holds it. Makes the file if it is missing,
    /// not its directory.
    pub fn try_acquire(path: &Path) -> Result<FileLock, LockError> {
        let failed = |source| LockError::Io { path: path.to_owned(), source };
        loop {
            let file = system::open(path).map_err(failed)?;
            if !system::try_lock(&file).map_err(failed)? {
                return Err(LockError::Held { path: path.to_owned() });
            }
            // The previous holder may have deleted the file between our open and our lock. Then we
            // hold a file that nobody can find, and try again with the one that can be found.
            if system::is_at(&file, path).map_err(failed)? {
                return Ok(FileLock { file, path: path.to_owned() });
            }
        }
    }

    /// Returns the lock file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns a file to be inherited by a child, which then holds the lock as well.
    pub fn try_clone_file(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

/// Returns whether somebody holds the lock, this process included. A missing file is not held.
pub fn is_held(path: &Path) -> io::Result<bool> {
    match File::open(path) {
        Ok(file) => system::is_locked(&file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("lock");
        assert!(!is_held(&path).expect("looked"));
        let lock = FileLock::try_acquire(&path).expect("free");
        assert!(is_held(&path).expect("looked"));
        assert!(matches!(FileLock::try_acquire(&path), Err(LockError::Held { .. })));
        drop(lock);
        assert!(!is_held(&path).expect("looked"));
        FileLock::try_acquire(&path).expect("free again");
    }

    #[test]
    fn looking_takes_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("lock");
        drop(FileLock::try_acquire(&path).expect("free"));
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let looker = scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    is_held(&path).expect("looked");
                }
            });
            for _ in 0..2000 {
                drop(FileLock::try_acquire(&path).expect("a look must not hold the lock"));
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            looker.join().expect("no panic");
        });
    }

    #[test]
    fn a_clone_holds_the_lock_too() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("lock");
        let lock = FileLock::try_acquire(&path).expect("free");
        let clone = lock.try_clone_file().expect("cloned");
        drop(lock);
        assert!(is_held(&path).expect("looked"));
        drop(clone);
        assert!(!is_held(&path).expect("looked"));
    }

    #[test]
    fn a_deleted_lock_file_is_nobodys() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("lock");
        let old = FileLock::try_acquire(&path).expect("free");
        std::fs::remove_file(&path).expect("deleted by its holder");
        let new = FileLock::try_acquire(&path).expect("a new file");
        drop(old);
        assert!(is_held(&path).expect("looked"));
        drop(new);
    }

    #[test]
    fn a_missing_directory_is_an_error_with_the_path() {
        let error = FileLock::try_acquire(Path::new("/nonexistent/lock")).expect_err("no such directory");
        assert_eq!(error.to_string(), "cannot lock /nonexistent/lock");
    }
}
