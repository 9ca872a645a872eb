//! Removing a machine's directory: first out of sight, then away.

use std::io;
use std::path::PathBuf;

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
    if dir.protected().exists() {
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

    #[test]
    fn a_file_in_the_place_of_a_directory_goes() {
        let home = tempfile::tempdir().expect("a directory");
        let dir = MachineDir::new(home.path(), &MachineName::new("demo").expect("a name"));
        std::fs::write(dir.path(), b"garbage").expect("written");
        remove(&dir).expect("removed");
        assert!(!dir.path().exists());
    }
}
