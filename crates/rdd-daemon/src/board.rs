//! The service's side of the control socket: a board on which it writes how far it is.
//!
//! Whoever connects hears the latest message, and each later one, as lines of JSON
//! ([`rdd_host::ready::Message`]). The connection has a second use: its peer is the service, so it
//! is also the handle by which the service is stopped. Nothing is read from a client.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rdd_host::files;
use rdd_host::ready::{Message, ReadyReporter};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The phase of a service that is on its way out.
pub(crate) const STOPPING: &str = "stopping";

/// Where the service says how far it is.
pub(crate) struct Board {
    parent: ReadyReporter,
    latest: watch::Sender<Message>,
    /// Owns the accepting task; it ends with the board.
    _server: JoinSet<()>,
}

impl Board {
    /// Listens at `socket`. The caller holds the instance's lock, so a socket that is there is a
    /// leftover.
    pub(crate) fn open(socket: &Path, parent: ReadyReporter, first: Message) -> io::Result<Board> {
        files::remove_file(socket)?;
        let listener = UnixListener::bind(socket)?;
        std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
        parent.report(&first);
        let (latest, watched) = watch::channel(first);
        let mut server = JoinSet::new();
        server.spawn(accept(listener, watched));
        Ok(Board { parent, latest, _server: server })
    }

    /// Says something to everybody.
    pub(crate) fn say(&self, message: Message) {
        // The parent last: whoever asks after it has heard that we are ready hears the same.
        self.latest.send_replace(message.clone());
        self.parent.report(&message);
    }

    /// Says which phase has begun.
    pub(crate) fn phase(&self, phase: &str) {
        self.say(Message::Phase(phase.to_owned()));
    }
}

async fn accept(listener: UnixListener, watched: watch::Receiver<Message>) {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    clients.spawn(tell(stream, watched.clone()));
                }
                Err(error) => {
                    tracing::warn!("cannot accept on the control socket: {error}");
                    // Out of descriptors, most likely: trying again at once would spin.
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            },
            Some(_) = clients.join_next() => {}
        }
    }
}

/// Tells one client everything, until it has gone.
async fn tell(mut stream: UnixStream, mut watched: watch::Receiver<Message>) {
    let (mut reader, mut writer) = stream.split();
    let mut ignored = [0; 64];
    watched.mark_changed();
    loop {
        tokio::select! {
            changed = watched.changed() => {
                if changed.is_err() {
                    return;
                }
                let line = watched.borrow_and_update().to_line();
                if writer.write_all(line.as_bytes()).await.is_err() {
                    return;
                }
            }
            read = reader.read(&mut ignored) => {
                if matches!(read, Ok(0) | Err(_)) {
                    return;
                }
            }
        }
    }
}
