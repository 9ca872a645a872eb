//! `svc stop`: the service ends in good order.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rdd_host::instance::Instance;
use rdd_host::lock::{self, FileLock};
use rdd_host::process::Signal;
use rdd_host::ready::Message;
use rdd_host::{files, process::Handle};

use crate::board::STOPPING;
use crate::deadline::{Deadline, DeadlineExceeded};
use crate::orphans::any_machine_runs;
use crate::peer::{self, Peer, PeerError};
use crate::settings::{self, SettingsError};

/// How long a service may take to say that it has heard us, when nobody waits for its end.
const HEARD: Duration = Duration::from_secs(2);

/// How VMs without a service are stopped.
pub const ORPHANS_HINT: &str = "stop them with 'rdd svc start', then 'rdd svc stop'";

/// How to stop.
#[derive(Clone, Copy, Debug)]
pub struct StopOptions {
    /// Whether to wait until the service has ended.
    pub wait: bool,
    /// Until when.
    pub deadline: Deadline,
}

/// Why the service still runs, or may.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// It could not be asked.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The instance could not be looked at.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// It could not be signalled.
    #[error("cannot signal {name:?} control plane with pid {pid}")]
    Signal {
        /// The instance.
        name: String,
        /// Its service.
        pid: u32,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// It is gone, and its VMs are not: it had no time to stop them.
    #[error("{name:?} control plane ended before its VMs, which run on")]
    Orphans {
        /// The instance.
        name: String,
    },
    /// Nobody knows whether its VMs run.
    #[error("cannot tell whether VMs run: cannot look at {path}")]
    Look {
        /// The machine room's home, or a lock.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// It takes too long. It was told a second time, harder.
    #[error("timed out waiting for {name:?} control plane with pid {pid} to stop")]
    Deadline {
        /// The instance.
        name: String,
        /// Its service.
        pid: u32,
        /// The cause.
        #[source]
        source: DeadlineExceeded,
    },
}

/// Stops the service, if it runs, and with it its VMs.
pub async fn stop(instance: &Instance, options: StopOptions) -> Result<(), StopError> {
    let name = instance.name();
    let Some(peer) = peer::find(instance).await? else {
        if !settings::exists(instance)? {
            tracing::info!("{name:?} control plane does not exist");
        } else if orphans_run(instance)? {
            tracing::warn!("{name:?} control plane is already stopped, but its VMs run on; {ORPHANS_HINT}");
        } else {
            tracing::info!("{name:?} control plane is already stopped");
        }
        if options.wait {
            // Of a service that was killed.
            remove_dead_tokens(instance);
        }
        return Ok(());
    };
    stop_found(instance, peer, options).await
}

/// Stops a service that runs.
pub(crate) async fn stop_found(instance: &Instance, mut peer: Peer, options: StopOptions) -> Result<(), StopError> {
    let name = instance.name();
    if peer.has_socket() {
        peer.ask_to_stop().await?;
    } else {
        let (socket, pid) = (peer.socket().display(), peer.handle.pid());
        tracing::warn!("nobody answers at {socket}; the service, process {pid}, is sent a signal instead");
        signal(instance, &peer.handle, Signal::Interrupt)?;
    }
    if !options.wait {
        // Whoever looks after us must not find a service that seems to stay.
        let _ = tokio::time::timeout(HEARD, heard(&mut peer)).await;
        tracing::info!("{name:?} control plane is stopping");
        return Ok(());
    }
    match options.deadline.limit(peer.gone()).await {
        Ok(gone) => gone?,
        Err(source) => {
            // The one signal: whoever else waits has more patience, or ends it in the same way.
            signal(instance, &peer.handle, Signal::Terminate)?;
            return Err(StopError::Deadline { name: name.to_owned(), pid: peer.handle.pid(), source });
        }
    }
    remove_dead_tokens(instance);
    if orphans_run(instance)? {
        // It was killed, or somebody had no patience.
        return Err(StopError::Orphans { name: name.to_owned() });
    }
    tracing::info!("{name:?} control plane has stopped");
    Ok(())
}

/// Returns whether there are VMs without a service.
fn orphans_run(instance: &Instance) -> Result<bool, StopError> {
    let look =
        |path: &Path, held: io::Result<bool>| held.map_err(|source| StopError::Look { path: path.to_owned(), source });
    let (lima_home, lock) = (&instance.paths().lima_home, instance.paths().lock());
    // A service that was started since then has them, or soon will.
    Ok(look(lima_home, any_machine_runs(lima_home))? && !look(&lock, lock::is_held(&lock))?)
}

/// Returns when the service has said that it stops, or has gone.
async fn heard(peer: &mut Peer) {
    let is_stopping = |message: &Message| matches!(message, Message::Phase(phase) if phase == STOPPING);
    while let Ok(Some(message)) = peer.next().await {
        if is_stopping(&message) {
            return;
        }
    }
}

fn signal(instance: &Instance, handle: &Handle, signal: Signal) -> Result<(), StopError> {
    handle.signal(signal).map_err(|source| StopError::Signal {
        name: instance.name().to_owned(),
        pid: handle.pid(),
        source,
    })
}

/// Removes the kubeconfig that a service which ended the hard way has left.
fn remove_dead_tokens(instance: &Instance) {
    let paths = instance.paths();
    if !paths.config.exists() {
        return;
    }
    // Only with the lock in hand: the file may be that of a service started since.
    if let Ok(_lock) = FileLock::try_acquire(&paths.lock())
        && let Err(error) = files::remove_file(&paths.config)
    {
        tracing::warn!("cannot remove {}: {error}", paths.config.display());
    }
}
