//! Removing a machine's directory: first out of sight, then away.

use std::io;
use std::path::PathBuf;

use crate::inspect::inspect;
use crate::layout::MachineDir;

/// The prefix of directories that are being removed.
pub(crate) const REMOVING: &str = ".removing-";

/// Why a machine's directory could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// The machine is protected.
    #[error("instance {0:?} is protected; remove the file {1:?} to allow its deletion")]
    Protected(String, PathBuf),
    /// A process still holds the machine's lock.
    #[error("instance {0:?} is still in use: {1:?} is held")]
    InUse(String, PathBuf),
    /// What is there may be somebody's, so it is not discarded without an order.
    #[error("{path:?} is kept: {why}")]
    Kept {
        /// What is in the way.
        path: PathBuf,
        /// Why it is kept.
        why: &'static str,
    },
    /// It could not be looked at, so it is not discarded.
    #[error("cannot look at {path:?}, which is kept")]
    Unreadable {
        /// The directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A file could not be removed.
    #[error("remove {path:?}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// Removes the directory. One that is not there is removed already.
///
/// # Guarantees
///
/// The directory of a machine whose hostagent or VM lives is never removed, nor one that holds
/// `protected`. A half-removed directory is never seen as a machine; [`crate::sweep`] removes the
/// rest of it.
pub fn remove(dir: &MachineDir) -> Result<(), RemoveError> {
    let name = dir.name().to_string();
    let failed = |path: PathBuf| move |source| RemoveError::Io { path, source };
    let metadata = match std::fs::symlink_metadata(dir.path()) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(RemoveError::Io { path: dir.path().to_owned(), source }),
    };
    if !metadata.is_dir() {
        return std::fs::remove_file(dir.path()).map_err(failed(dir.path().to_owned()));
    }
    if dir.is_protected() {
        return Err(RemoveError::Protected(name, dir.protected()));
    }
    for lock in [dir.ha_lock(), dir.driver_lock()] {
        if rdd_host::lock::is_held(&lock).map_err(failed(lock.clone()))? {
            return Err(RemoveError::InUse(name, lock));
        }
    }
    let parent = dir.path().parent().expect("a machine's directory lies in the Lima home");
    let grave = tempfile::Builder::new()
        .prefix(&format!("{REMOVING}{name}-"))
        .tempdir_in(parent)
        .map_err(failed(parent.to_owned()))?
        .keep();
    // rename(2) replaces the empty directory that reserved the name.
    std::fs::rename(dir.path(), &grave).map_err(failed(dir.path().to_owned()))?;
    std::fs::remove_dir_all(&grave).map_err(failed(grave.clone()))
}

/// Removes what is left of a machine that was never complete, as [`remove`] does.
///
/// # Guarantees
///
/// A directory that may hold somebody's data stays: one with a disk and without `.preparing`, one
/// that cannot be looked at, and whatever is no directory of our own, such as a link.
pub fn discard(dir: &MachineDir) -> Result<(), RemoveError> {
    let kept = |why| RemoveError::Kept { path: dir.path().to_owned(), why };
    let unreadable = |source| RemoveError::Unreadable { path: dir.path().to_owned(), source };
    let Some(found) = inspect(dir).map_err(unreadable)? else { return Ok(()) };
    if !std::fs::symlink_metadata(dir.path()).map_err(unreadable)?.is_dir() {
        return Err(kept("it is a link, not a directory"));
    }
    if found.has_disk && !found.preparing {
        return Err(kept("it holds a disk"));
    }
    remove(dir)
}

#[cfg(test)]
mod tests {
    use rdd_machine::MachineName;

    use super::*;
    use crate::create_whole;

    fn machine(home: &std::path::Path) -> MachineDir {
        create_whole(home, &MachineName::new("demo").expect("a name"), "x: 1\n").expect("made")
    }

    #[test]
    fn a_machine_goes_without_a_trace_and_twice_is_no_error() {
        let home = tempfile::tempdir().expect("a directory");
        let dir = machine(home.path());
        remove(&dir).expect("removed");
        remove(&dir).expect("gone already");
        assert_eq!(std::fs::read_dir(home.path()).expect("read").count(), 0);
    }

    #[test]
    fn a_protected_machine_stays() {
        let home = tempfile::tempdir().expect("a directory");
        let dir = machine(home.path());
        std::fs::write(dir.protected(), b"").expect("written");
        assert!(matches!(remove(&dir), Err(RemoveError::Protected(..))));
        assert!(dir.lima_yaml().exists());
    }

    #[test]
    fn a_machine_whose_vm_lives_stays() {
        let home = tempfile::tempdir().expect("a directory");
        let dir = machine(home.path());
        let lock = rdd_host::lock::FileLock::try_acquire(&dir.driver_lock()).expect("free");
        assert!(matches!(remove(&dir), Err(RemoveError::InUse(..))));
        drop(lock);
        remove(&dir).expect("removed");
    }

    #[cfg(unix)]
    #[test]
    fn only_what_was_never_complete_is_discarded() {
        use std::os::unix::fs::symlink;
        let home = tempfile::tempdir().expect("a directory");
        let dir = machine(home.path());
        std::fs::write(dir.disk(), b"half").expect("written");
        discard(&dir).expect("it was being prepared");
        discard(&dir).expect("gone already");
        machine(home.path());
        dir.finish_preparing().expect("finished");
        symlink(dir.disk(), dir.disk()).expect("a disk that cannot be looked at");
        assert!(matches!(discard(&dir), Err(RemoveError::Kept { .. })));
        std::fs::remove_file(dir.disk()).expect("removed");
        symlink(dir.ha_lock(), dir.ha_lock()).expect("a lock that cannot be looked at");
        assert!(matches!(discard(&dir), Err(RemoveError::Unreadable { .. })));
        std::fs::remove_file(dir.ha_lock()).expect("removed");
        let away = home.path().join("_away");
        std::fs::rename(dir.path(), &away).expect("moved");
        symlink(&away, dir.path()).expect("linked");
        assert!(matches!(discard(&dir), Err(RemoveError::Kept { .. })));
        std::fs::remove_dir_all(&away).expect("removed");
        assert!(matches!(discard(&dir), Err(RemoveError::Unreadable { .. })));
        std::fs::remove_file(dir.path()).expect("removed");
        std::fs::write(dir.path(), b"text").expect("written");
        assert!(matches!(discard(&dir), Err(RemoveError::Unreadable { .. })));
    }

    #[test]
    fn a_file_in_the_place_of_a_directory_goes() {
        let home = tempfile::tempdir().expect("a directory");
        let dir = MachineDir::new(home.path(), &MachineName::new("demo").expect("a name"));
        std::fs::write(dir.path(), b"garbage").expect("written");
        remove(&dir).expect("removed");
        assert!(!dir.path().exists());
    }
}
