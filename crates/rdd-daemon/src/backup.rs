//! `svc backup` and `svc restore`: the instance's objects in one file, and back.
//!
//! A backup holds what the API stores: it holds no disks of VMs, no certificates and no tokens.

use std::io;
use std::path::{Path, PathBuf};

use rdd_host::files;
use rdd_host::instance::Instance;
use rdd_host::lock::{FileLock, LockError};

use crate::orphans::any_machine_runs;
use crate::settings::{self, SettingsError};

/// Why there is no backup, or why it was not restored. The instance is as it was.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The instance could not be looked at.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// There is no such instance.
    #[error("{name:?} control plane does not exist")]
    Absent {
        /// The instance.
        name: String,
    },
    /// The instance has stored nothing yet.
    #[error("{name:?} control plane has never run, so there is nothing to back up")]
    Empty {
        /// The instance.
        name: String,
    },
    /// The copy could not be made.
    #[error(transparent)]
    Copy(#[from] rdd_store::BackupError),
    /// The service runs, or one of its VMs does.
    #[error("{name:?} control plane, or one of its VMs, is running")]
    Running {
        /// The instance.
        name: String,
    },
    /// Whether anything runs cannot be told.
    #[error("cannot tell whether {name:?} control plane or its VMs run")]
    Look {
        /// The instance.
        name: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The lock could not be taken.
    #[error(transparent)]
    Lock(LockError),
    /// The directory of the database could not be made.
    #[error("cannot create {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The copy could not be put into place.
    #[error(transparent)]
    Restore(#[from] rdd_store::RestoreError),
}

/// What must be done before a restore.
pub const RUNNING_HINT: &str = "stop it with 'rdd svc stop', then restore";

/// Copies what an instance has stored into a file, also while its service runs. Blocks.
pub fn backup(instance: &Instance, file: &Path) -> Result<(), BackupError> {
    let name = || instance.name().to_owned();
    if !settings::exists(instance)? {
        return Err(BackupError::Absent { name: name() });
    }
    let database = instance.paths().db();
    if !database.exists() {
        return Err(BackupError::Empty { name: name() });
    }
    rdd_store::backup_file(&database, file)?;
    tracing::info!("backed up {:?} control plane to {}", instance.name(), file.display());
    Ok(())
}

/// Puts what a backup holds in the place of what an instance has stored, and returns where that is kept. Neither the
/// service nor a VM may run. Blocks.
pub fn restore(instance: &Instance, file: &Path) -> Result<Option<PathBuf>, BackupError> {
    let (name, paths) = (|| instance.name().to_owned(), instance.paths());
    if !settings::exists(instance)? {
        return Err(BackupError::Absent { name: name() });
    }
    // With it in hand no service starts.
    let _lock = FileLock::try_acquire(&paths.lock()).map_err(|error| match error {
        LockError::Held { .. } => BackupError::Running { name: name() },
        error => BackupError::Lock(error),
    })?;
    match any_machine_runs(&paths.lima_home) {
        Ok(false) => {}
        Ok(true) => return Err(BackupError::Running { name: name() }),
        Err(source) => return Err(BackupError::Look { name: name(), source }),
    }
    let database = paths.db();
    let directory = database.parent().expect("it lies in the instance's directory");
    files::make_private_dir(directory)
        .map_err(|source| BackupError::Directory { path: directory.to_owned(), source })?;
    let kept = rdd_store::restore_file(file, &database)?;
    tracing::info!("restored {:?} control plane from {}", instance.name(), file.display());
    if let Some(kept) = &kept {
        tracing::info!("what was there before is kept in {}", kept.display());
    }
    Ok(kept)
}
