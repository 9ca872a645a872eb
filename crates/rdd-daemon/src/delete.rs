//! `svc delete`: an instance exists no more.

use std::io;
use std::path::{Path, PathBuf};

use rdd_host::instance::Instance;
use rdd_host::lock::{self, FileLock, LockError};
use rdd_host::{environment, files, logs};

use crate::deadline::Deadline;
use crate::peer::PeerError;
use crate::settings;
use crate::start::{Launcher, StartError, StartOptions, start};
use crate::stop::{StopError, StopOptions, stop};

/// The logs that the service writes, by the beginning of their names.
const OUR_LOGS: [&str; 3] = ["rdd.stdout.", "rdd.stderr.", "vm-switch."];

/// Why an instance still exists.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// Its service still runs, or may.
    #[error(transparent)]
    Stop(#[from] StopError),
    /// Its VMs run without a service, and no service could be started to stop them.
    #[error("failed to stop the VMs of {name:?} control plane")]
    StopMachines {
        /// The instance.
        name: String,
        /// The cause.
        #[source]
        source: StartError,
    },
    /// Its service was started in between.
    #[error("{name:?} control plane was started meanwhile")]
    Running {
        /// The instance.
        name: String,
    },
    /// Its lock could not be used.
    #[error(transparent)]
    Lock(LockError),
    /// Something could not be looked at or removed.
    #[error("cannot remove {path}")]
    Remove {
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The service could not be asked.
    #[error(transparent)]
    Peer(#[from] PeerError),
}

/// Stops the service and removes everything of the instance.
///
/// When the service cannot be stopped in time, nothing is removed.
pub async fn delete(
    instance: &Instance,
    launcher: &Launcher,
    deadline: Deadline,
    keep_logs: bool,
) -> Result<(), DeleteError> {
    let name = instance.name();
    if !settings::exists(instance) {
        tracing::info!("{name:?} control plane does not exist");
        return Ok(());
    }
    let paths = instance.paths();
    if crate::peer::find(instance).await?.is_some() {
        stop(instance, StopOptions { wait: true, deadline }).await?;
    } else if any_machine_runs(&paths.lima_home) {
        // The service was killed and its VMs live on. Only a service can stop them in good order.
        tracing::debug!("starting {name:?} control plane in order to stop its VMs");
        let started = start(instance, launcher, &StartOptions::until(deadline)).await;
        started.map_err(|source| DeleteError::StopMachines { name: name.to_owned(), source })?;
        stop(instance, StopOptions { wait: true, deadline }).await?;
    }

    // From here on no service can start, until the lock's file is gone with everything else.
    let _lock = match FileLock::try_acquire(&paths.lock()) {
        Ok(lock) => lock,
        Err(LockError::Held { .. }) => return Err(DeleteError::Running { name: name.to_owned() }),
        Err(error) => return Err(DeleteError::Lock(error)),
    };
    if keep_logs {
        preserve_logs(&paths.lima_home, &paths.log_dir);
    } else {
        remove_logs(instance)?;
    }
    for directory in [&paths.short_dir, &paths.dir] {
        remove(directory, files::remove_dir_all)?;
    }
    tracing::info!("{name:?} control plane has been deleted");
    Ok(())
}

/// Returns whether a VM or its hostagent is alive, by their locks.
fn any_machine_runs(lima_home: &Path) -> bool {
    machine_directories(lima_home).iter().any(|directory| {
        ["ha.lock", "driver.lock"].iter().any(|name| lock::is_held(&directory.join(name)).unwrap_or(false))
    })
}

fn machine_directories(lima_home: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(lima_home) else { return Vec::new() };
    let directories = entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_dir());
    directories.collect()
}

/// Moves the VMs' logs to safety. Failures are told, and never keep an instance alive.
fn preserve_logs(lima_home: &Path, log_dir: &Path) {
    for directory in machine_directories(lima_home) {
        let Some(name) = directory.file_name().and_then(|name| name.to_str()) else { continue };
        if let Err(error) = logs::preserve(&directory, log_dir, name) {
            tracing::warn!("cannot preserve the logs in {}: {error}", directory.display());
        }
    }
}

fn remove_logs(instance: &Instance) -> Result<(), DeleteError> {
    let log_dir = &instance.paths().log_dir;
    if !instance.log_dir_is_given() {
        return remove(log_dir, files::remove_dir_all);
    }
    // The directory is the user's: only what the service wrote goes.
    tracing::debug!("{} is set, so only the service's own logs are removed", environment::LOG_DIR);
    let Ok(entries) = std::fs::read_dir(log_dir) else { return Ok(()) };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        let is_ours = path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.ends_with(".log") && OUR_LOGS.iter().any(|beginning| name.starts_with(beginning)));
        if is_ours {
            remove(&path, |path| files::remove_file(path).map(drop))?;
        }
    }
    Ok(())
}

fn remove(path: &Path, how: impl Fn(&Path) -> io::Result<()>) -> Result<(), DeleteError> {
    how(path).map_err(|source| DeleteError::Remove { path: path.to_owned(), source })
}
