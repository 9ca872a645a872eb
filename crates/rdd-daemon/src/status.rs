//! `svc status`: what is known of an instance, without touching it.

use std::time::Duration;

use rdd_host::instance::Instance;
use rdd_host::ready::Message;

use crate::peer::{self, PeerError, SILENT_HINT};
use crate::settings::{self, SettingsError};

/// How long a service may take to say where it is. One that hangs runs, and is not ready.
const ANSWER: Duration = Duration::from_secs(2);

/// What is known of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether it exists.
    pub created: bool,
    /// The process id of its service, if that runs.
    pub pid: Option<u32>,
    /// Whether its service is ready.
    pub ready: bool,
    /// The version of its service, if that told.
    pub version: Option<String>,
}

/// Why nothing is known.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The instance could not be looked at.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A running service could not be asked.
    #[error(transparent)]
    Peer(#[from] PeerError),
}

/// Returns what is known of an instance.
pub async fn status(instance: &Instance) -> Result<Status, StatusError> {
    let created = settings::exists(instance)?;
    let Some(mut peer) = peer::find(instance).await? else {
        return Ok(Status { created, pid: None, ready: false, version: None });
    };
    if !peer.has_socket() {
        tracing::warn!("nobody answers at {}; {SILENT_HINT}", peer.socket().display());
        return Ok(Status { created, pid: Some(peer.handle.pid()), ready: false, version: None });
    }
    let ready = match tokio::time::timeout(ANSWER, peer.next()).await {
        Ok(said) => matches!(said?, Some(Message::Ready(true))),
        Err(_) => false,
    };
    Ok(Status { created, pid: Some(peer.handle.pid()), ready, version: peer.version().map(str::to_owned) })
}
