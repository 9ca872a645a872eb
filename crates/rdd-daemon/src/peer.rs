//! The other side of the control socket: a service that runs, as seen by another process.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rdd_host::instance::Instance;
use rdd_host::lock;
use rdd_host::process::Handle;
use rdd_host::ready::Message;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::board::STOP;

/// How long a service may hold its lock without answering: it has just taken it, or just ends.
const SILENCE: Duration = Duration::from_secs(5);
/// How often it is asked during that time.
const RETRY: Duration = Duration::from_millis(5);

/// What helps when a service has lost its socket.
pub const SILENT_HINT: &str = "stop the service with 'rdd svc stop', and start it again";

/// Why a service could not be found or asked.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The lock could not be looked at.
    #[error("cannot look at {path}")]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The socket could not be used.
    #[error("cannot reach the control plane at {path}")]
    Socket {
        /// The control socket.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Somebody holds the lock and does not answer.
    #[error("{lock} is locked, but nobody answers at {socket}")]
    Silent {
        /// The lock file.
        lock: PathBuf,
        /// The control socket.
        socket: PathBuf,
    },
}

/// A running service.
pub(crate) struct Peer {
    /// The service's process.
    pub(crate) handle: Handle,
    lock: PathBuf,
    socket: PathBuf,
    /// `None` if its socket leads nowhere: somebody has removed it. Such a service can only be signalled.
    lines: Option<BufReader<UnixStream>>,
    version: Option<String>,
}

/// Finds the instance's service, if it runs.
pub(crate) async fn find(instance: &Instance) -> Result<Option<Peer>, PeerError> {
    let (lock, socket) = (instance.paths().lock(), instance.paths().socket());
    let attempts = async {
        loop {
            if !lock::is_held(&lock).map_err(|source| PeerError::Lock { path: lock.clone(), source })? {
                return Ok(None);
            }
            match connect(&socket).await {
                Ok((handle, stream)) => {
                    let lines = Some(BufReader::new(stream));
                    return Ok(Some(Peer { handle, lock: lock.clone(), socket: socket.clone(), lines, version: None }));
                }
                Err(error) if is_absence(&error) => tokio::time::sleep(RETRY).await,
                Err(source) => return Err(PeerError::Socket { path: socket.clone(), source }),
            }
        }
    };
    match tokio::time::timeout(SILENCE, attempts).await {
        Ok(result) => result,
        // The file says no more than that who holds the lock is not about to delete the instance.
        Err(_) if !instance.paths().pid_file.exists() => Err(PeerError::Silent { lock, socket }),
        Err(_) => match Handle::of_lock_holder(&lock) {
            Ok(Some(handle)) => Ok(Some(Peer { handle, lock, socket, lines: None, version: None })),
            Ok(None) => Err(PeerError::Silent { lock, socket }),
            Err(source) => Err(PeerError::Lock { path: lock, source }),
        },
    }
}

async fn connect(socket: &Path) -> io::Result<(Handle, UnixStream)> {
    let stream = UnixStream::connect(socket).await?;
    Ok((Handle::of_peer(&stream)?, stream))
}

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::NotConnected
            | io::ErrorKind::BrokenPipe
    )
}

impl Peer {
    /// Returns whether the service can be heard and asked. One that cannot has lost its socket.
    pub(crate) fn has_socket(&self) -> bool {
        self.lines.is_some()
    }

    /// Returns the control socket's path.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Returns what the service says next (first: where it is now); `None` when it has gone.
    pub(crate) async fn next(&mut self) -> Result<Option<Message>, PeerError> {
        let Some(lines) = &mut self.lines else { return Err(self.silent()) };
        loop {
            let mut line = String::new();
            match lines.read_line(&mut line).await {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if is_absence(&error) => return Ok(None),
                Err(source) => return Err(PeerError::Socket { path: self.socket.clone(), source }),
            }
            match Message::from_line(&line) {
                Some(Message::Version(version)) => self.version = Some(version),
                Some(message) => return Ok(Some(message)),
                None => {}
            }
        }
    }

    /// Returns the service's version, if it told one before it told anything else.
    pub(crate) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Asks the service to stop. One that has gone, or is about to, need not hear it.
    pub(crate) async fn ask_to_stop(&mut self) -> Result<(), PeerError> {
        let Some(lines) = &mut self.lines else { return Err(self.silent()) };
        match lines.get_mut().write_all(STOP.as_bytes()).await {
            Err(source) if !is_absence(&source) => Err(PeerError::Socket { path: self.socket.clone(), source }),
            _ => Ok(()),
        }
    }

    /// Returns when the service's process has ended.
    pub(crate) async fn gone(&self) -> Result<(), PeerError> {
        self.handle.wait().await.map_err(|source| PeerError::Socket { path: self.socket.clone(), source })
    }

    fn silent(&self) -> PeerError {
        PeerError::Silent { lock: self.lock.clone(), socket: self.socket.clone() }
    }
}
