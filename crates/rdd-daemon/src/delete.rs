//! `svc delete`: an instance exists no more.

use std::io;
use std::path::{Path, PathBuf};

use rdd_host::instance::Instance;
use rdd_host::lock::{FileLock, LockError};
use rdd_host::{environment, files, logs};

use crate::deadline::Deadline;
use crate::orphans::{any_machine_runs, machine_directories};
use crate::peer::{self, PeerError};
use crate::settings::{self, SettingsError};
use crate::start::{Launcher, StartError, StartOptions, start};
use crate::stop::{StopError, StopOptions, stop_found};

/// The logs that the service writes, by the beginning of their names.
const OUR_LOGS: [&str; 3] = ["rdd.stdout.", "rdd.stderr.", "vm-switch."];

/// How many services are started to stop VMs that outlived theirs. Who kills that many does not want the VMs stopped.
const ROUNDS: u32 = 3;
/// The controllers of such a service.
const MACHINES: &str = "limavm";

/// Why an instance still exists.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// The instance could not be looked at.
    #[error(transparent)]
    Settings(#[from] SettingsError),
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
/// When the service or a VM cannot be stopped in time, nothing is removed.
pub async fn delete(
    instance: &Instance,
    launcher: &Launcher,
    deadline: Deadline,
    keep_logs: bool,
) -> Result<(), DeleteError> {
    let name = instance.name();
    if !settings::exists(instance)? {
        tracing::info!("{name:?} control plane does not exist");
        return Ok(());
    }
    let paths = instance.paths();
    // From here on no service can start, until the lock's file is moved away with everything else.
    let Some(_lock) = stop_everything(instance, launcher, deadline).await? else {
        tracing::info!("{name:?} control plane has been deleted by somebody else");
        return Ok(());
    };
    // Who holds the lock without this file is no service: nobody may signal us for one.
    remove(&paths.pid_file, |path| files::remove_file(path).map(drop))?;
    if keep_logs {
        preserve_logs(&paths.lima_home, &paths.log_dir);
    } else {
        remove_logs(instance)?;
    }
    remove(&paths.short_dir, files::remove_dir_all)?;
    // The lock's directory goes at one moment. Who starts at this moment finds it whole, with the lock held, or makes a
    // new one, and writes nothing into one that is half removed.
    let moved = files::move_aside(&paths.dir);
    if let Some(aside) = moved.map_err(|source| DeleteError::Remove { path: paths.dir.clone(), source })? {
        remove(&aside, files::remove_dir_all)?;
    }
    tracing::info!("{name:?} control plane has been deleted");
    Ok(())
}

/// Stops whatever runs of the instance and returns its lock, with which nothing starts any more; `None` if the instance
/// does not exist any more.
///
/// What stopped can be started by others, and a service may be killed before it has stopped its VMs; so this looks again
/// after each step, and last with the lock in hand.
async fn stop_everything(
    instance: &Instance,
    launcher: &Launcher,
    deadline: Deadline,
) -> Result<Option<FileLock>, DeleteError> {
    let (name, paths) = (instance.name(), instance.paths());
    let machines_run = || {
        let looked = any_machine_runs(&paths.lima_home);
        looked.map_err(|source| DeleteError::Stop(StopError::Look { path: paths.lima_home.clone(), source }))
    };
    let mut rounds = 0;
    while settings::exists(instance)? {
        if let Some(peer) = peer::find(instance).await? {
            match stop_found(instance, peer, StopOptions { wait: true, deadline }).await {
                // The next round does better.
                Err(StopError::Orphans { .. }) => {}
                result => result?,
            }
            continue;
        }
        if machines_run()? {
            if rounds == ROUNDS {
                return Err(StopError::Orphans { name: name.to_owned() }.into());
            }
            rounds += 1;
            // Only a service can stop them in good order.
            tracing::debug!("starting {name:?} control plane in order to stop its VMs");
            let options = StartOptions { controllers: Some(MACHINES.to_owned()), ..StartOptions::until(deadline) };
            match start(instance, launcher, &options).await {
                // Another was as quick as we.
                Ok(()) | Err(StartError::Stopped { .. }) => continue,
                Err(source) => return Err(DeleteError::StopMachines { name: name.to_owned(), source }),
            }
        }
        match FileLock::try_acquire(&paths.lock()) {
            Ok(lock) if !machines_run()? => return Ok(Some(lock)),
            // Between our look and our lock a service was there, or is, or somebody else deleted the instance.
            Ok(_) | Err(LockError::Held { .. }) => {}
            Err(LockError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(DeleteError::Lock(error)),
        }
    }
    Ok(None)
}

/// Moves the VMs' logs to safety. Failures are told, and never keep an instance alive.
fn preserve_logs(lima_home: &Path, log_dir: &Path) {
    let directories = machine_directories(lima_home).unwrap_or_else(|error| {
        tracing::warn!("cannot preserve the logs in {}: {error}", lima_home.display());
        Vec::new()
    });
    for directory in directories {
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
