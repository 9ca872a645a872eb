//! The service's side of the control socket: a board on which it writes how far it is.
//!
//! Whoever connects hears the service's version, the latest message, and each later one, as lines of JSON
//! ([`rdd_host::ready::Message`]). The connection has a second use: its peer is the service, so it
//! is also the handle by which the service is ended. The one thing a client can say is [`STOP`].

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rdd_host::files;
use rdd_host::ready::{Message, ReadyReporter};
use rdd_reconcile::CancellationToken;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{ReadHalf, WriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The phase of a service that is on its way out.
pub(crate) const STOPPING: &str = "stopping";

/// The line by which a client asks the service to stop. Unlike a signal, it means the same however often it comes: of
/// two stops at once none is taken for the impatience of the other.
pub(crate) const STOP: &str = "{\"stop\":true}\n";

/// Where the service says how far it is.
pub(crate) struct Board {
    parent: ReadyReporter,
    latest: watch::Sender<Message>,
    stop: CancellationToken,
    /// Owns the accepting task; it ends with the board.
    _server: JoinSet<()>,
}

impl Board {
    /// Listens at `socket`. The caller holds the instance's lock, so a socket that is there is a
    /// leftover. With a failure the parent comes back, who must hear of it.
    pub(crate) fn open(
        socket: &Path,
        parent: ReadyReporter,
        version: &str,
        first: Message,
    ) -> Result<Board, (io::Error, ReadyReporter)> {
        let listener = match listen_at(socket) {
            Ok(listener) => listener,
            Err(error) => return Err((error, parent)),
        };
        parent.report(&first);
        let (latest, watched) = watch::channel(first);
        let stop = CancellationToken::new();
        let mut server = JoinSet::new();
        let client = Client { version: Message::Version(version.to_owned()), watched, stop: stop.clone() };
        server.spawn(accept(listener, client));
        Ok(Board { parent, latest, stop, _server: server })
    }

    /// Returns when a client has asked the service to stop; at once, if one has before.
    pub(crate) async fn stop_requested(&self) {
        self.stop.cancelled().await;
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

fn listen_at(socket: &Path) -> io::Result<UnixListener> {
    files::remove_file(socket)?;
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// What is there for a client.
#[derive(Clone)]
struct Client {
    version: Message,
    watched: watch::Receiver<Message>,
    stop: CancellationToken,
}

async fn accept(listener: UnixListener, client: Client) {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    clients.spawn(attend(stream, client.clone()));
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

/// Serves one client, until it has gone.
async fn attend(mut stream: UnixStream, client: Client) {
    let (reader, writer) = stream.split();
    tokio::select! {
        () = tell(writer, &client.version, client.watched) => {}
        () = listen(reader, &client.stop) => {}
    }
}

/// Tells a client everything, until there is nothing more to tell.
async fn tell(mut writer: WriteHalf<'_>, version: &Message, mut watched: watch::Receiver<Message>) {
    watched.mark_changed();
    let mut version = Some(version.to_line());
    while watched.changed().await.is_ok() {
        let line = version.take().unwrap_or_default() + &watched.borrow_and_update().to_line();
        if writer.write_all(line.as_bytes()).await.is_err() {
            // It does not listen. What it asked before it left may still be on its way to us.
            std::future::pending::<()>().await;
        }
    }
}

/// Hears what a client asks for, until it has gone.
async fn listen(mut reader: ReadHalf<'_>, stop: &CancellationToken) {
    let mut first = [0; STOP.len()];
    if reader.read_exact(&mut first).await.is_ok() && first == *STOP.as_bytes() {
        stop.cancel();
    }
    let mut ignored = [0; 64];
    while matches!(reader.read(&mut ignored).await, Ok(1..)) {}
}
