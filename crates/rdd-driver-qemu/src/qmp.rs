//! A client for QEMU's control protocol: JSON lines; commands carry an id, events come in between.
//!
//! # Guarantees
//!
//! - A command that was not sent because the connection had ended is sent over a new one.
//! - The process at the other end is held by a handle from the connection's own peer, so it is the
//!   one that answers here.
//!
//! # Caveats
//!
//! QEMU serves one client per socket; a second one waits until the first has gone.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdd_host::process::Handle;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{broadcast, oneshot, watch};
use tokio::time::timeout;

/// Why a command has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// Nobody listens, or the socket cannot be used.
    #[error("cannot connect to {path}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The peer does not speak QMP.
    #[error("{0} is not QMP")]
    Protocol(String),
    /// It took too long.
    #[error("no answer to {operation} within {} s", limit.as_secs_f32())]
    TimedOut {
        /// What was asked.
        operation: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The connection ended before the answer.
    #[error("connection ended")]
    Closed,
    /// QEMU refused.
    #[error("{description}")]
    Refused {
        /// QEMU's class, as in `CommandNotFound`.
        class: String,
        /// QEMU's words.
        description: String,
    },
}

/// Something that happened in the VM.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// QEMU's name, as in `SHUTDOWN`.
    pub name: String,
    /// What belongs to it.
    pub data: Value,
}

/// How long a command may take: QEMU answers at once unless its main loop hangs.
const ANSWER: Duration = Duration::from_secs(5);

/// A client of one VM.
pub struct Qmp {
    path: PathBuf,
    connection: tokio::sync::Mutex<Option<Arc<Connection>>>,
    shared: Arc<Shared>,
}

/// What outlives a connection.
struct Shared {
    events: broadcast::Sender<Event>,
    /// Why the VM shut down, as of its `SHUTDOWN` event.
    shutdown: watch::Sender<Option<String>>,
}

impl Qmp {
    /// Connects, negotiates, and returns the client and the process at the other end.
    pub async fn connect(path: &Path, limit: Duration) -> Result<(Qmp, Handle), QmpError> {
        let mut qmp = Self::later(path);
        let (connection, process) = Connection::open(path, limit, &qmp.shared).await?;
        *qmp.connection.get_mut() = Some(Arc::new(connection));
        Ok((qmp, process))
    }

    /// Returns a client that connects when it has something to say. For a VM that did not answer.
    pub fn later(path: &Path) -> Qmp {
        let shared = Arc::new(Shared { events: broadcast::channel(64).0, shutdown: watch::channel(None).0 });
        Qmp { path: path.to_owned(), connection: tokio::sync::Mutex::new(None), shared }
    }

    /// Sends a command and returns its result.
    pub async fn execute(&self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        let connection = {
            let mut current = self.connection.lock().await;
            match &*current {
                Some(open) if !open.is_closed() => open.clone(),
                _ => current.insert(Arc::new(Connection::open(&self.path, ANSWER, &self.shared).await?.0)).clone(),
            }
        };
        connection.execute(command, arguments).await
    }

    /// Returns the events from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.shared.events.subscribe()
    }

    /// Returns why the VM shut down, if it said so: `guest-shutdown`, `host-qmp-quit`, ...
    pub fn shutdown_reason(&self) -> Option<String> {
        self.shared.shutdown.borrow().clone()
    }

    /// Returns when the present connection has ended, so that everything that came over it is known.
    pub async fn drained(&self) {
        let connection = self.connection.lock().await.clone();
        if let Some(connection) = connection {
            let mut closed = connection.closed.clone();
            let _ = closed.wait_for(|closed| *closed).await;
        }
    }
}

type Answer = Result<Value, QmpError>;
type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Answer>>>>;

struct Connection {
    writer: tokio::sync::Mutex<OwnedWriteHalf>,
    waiting: Waiting,
    next_id: AtomicU64,
    closed: watch::Receiver<bool>,
    reader: tokio::task::JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// One line from QEMU.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "QMP")]
    greeting: Option<Value>,
    #[serde(rename = "return")]
    result: Option<Value>,
    error: Option<ErrorBody>,
    id: Option<u64>,
    event: Option<String>,
    #[serde(default)]
    data: Value,
}

#[derive(Deserialize)]
struct ErrorBody {
    class: String,
    desc: String,
}

impl Connection {
    async fn open(path: &Path, limit: Duration, shared: &Arc<Shared>) -> Result<(Connection, Handle), QmpError> {
        let failed = |source| QmpError::Connect { path: path.to_owned(), source };
        let open = async {
            let stream = UnixStream::connect(path).await.map_err(failed)?;
            let process = Handle::of_peer(&stream).map_err(failed)?;
            let (reader, writer) = stream.into_split();
            let mut reader = BufReader::new(reader);
            let greeting = next_line(&mut reader).await?.ok_or(QmpError::Closed)?;
            if greeting.greeting.is_none() {
                return Err(QmpError::Protocol(path.display().to_string()));
            }
            let waiting = Waiting::default();
            let (ended, closed) = watch::channel(false);
            let task = tokio::spawn(read(reader, waiting.clone(), shared.clone(), ended));
            let writer = tokio::sync::Mutex::new(writer);
            let connection = Connection { writer, waiting, next_id: AtomicU64::new(1), closed, reader: task };
            connection.execute("qmp_capabilities", json!({})).await?;
            Ok((connection, process))
        };
        timeout(limit, open).await.map_err(|_| QmpError::TimedOut { operation: "greeting".into(), limit })?
    }

    fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    async fn execute(&self, command: &str, arguments: Value) -> Answer {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        lock(&self.waiting).insert(id, sender);
        // The reader may have given up between the look and the insertion.
        if self.is_closed() {
            lock(&self.waiting).remove(&id);
            return Err(QmpError::Closed);
        }
        let mut line = json!({"execute": command, "arguments": arguments, "id": id}).to_string();
        line.push('\n');
        let exchange = async {
            let written = self.writer.lock().await.write_all(line.as_bytes()).await;
            if written.is_err() {
                return Err(QmpError::Closed);
            }
            receiver.await.unwrap_or(Err(QmpError::Closed))
        };
        let answer = timeout(ANSWER, exchange).await;
        lock(&self.waiting).remove(&id);
        answer.unwrap_or_else(|_| Err(QmpError::TimedOut { operation: command.to_owned(), limit: ANSWER }))
    }
}

/// Reads until the connection ends; then everybody who waits is told.
async fn read(mut reader: BufReader<OwnedReadHalf>, waiting: Waiting, shared: Arc<Shared>, ended: watch::Sender<bool>) {
    while let Ok(Some(line)) = next_line(&mut reader).await {
        if let Some(name) = line.event {
            if name == "SHUTDOWN" {
                let reason = line.data["reason"].as_str().unwrap_or("shutdown").to_owned();
                shared.shutdown.send_replace(Some(reason));
            }
            let _ = shared.events.send(Event { name, data: line.data });
            continue;
        }
        let answer = match (line.result, line.error) {
            (_, Some(error)) => Err(QmpError::Refused { class: error.class, description: error.desc }),
            (result, None) => Ok(result.unwrap_or_default()),
        };
        if let Some(sender) = line.id.and_then(|id| lock(&waiting).remove(&id)) {
            let _ = sender.send(answer);
        }
    }
    ended.send_replace(true);
    lock(&waiting).clear();
}

/// Returns the next line that is JSON of the expected shape; `None` at the end.
async fn next_line(reader: &mut BufReader<OwnedReadHalf>) -> Result<Option<Line>, QmpError> {
    let mut text = String::new();
    loop {
        text.clear();
        match reader.read_line(&mut text).await {
            Ok(0) | Err(_) => return Ok(None),
            Ok(_) if text.trim().is_empty() => {}
            Ok(_) => {
                return serde_json::from_str(&text).map(Some).map_err(|_| QmpError::Protocol(text.trim().to_owned()));
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing panics while it is locked, and if it did the map would still be whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
