//! A simulated VM, as its hostagent holds it.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rdd_host::process::{Child, Handle, Signal};
use rdd_machine::DriverError;
use rdd_machine::driver::{Vm, VmExit};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::control::{Command, Message, Request};

/// As for QEMU: a main loop that does not answer by then hangs.
const ANSWER: Duration = Duration::from_secs(5);

/// The VM's process, reached in one of two ways.
pub(crate) enum Process {
    Child(Child),
    Peer(Handle),
}

impl Process {
    fn pid(&self) -> u32 {
        match self {
            Self::Child(child) => child.pid(),
            Self::Peer(handle) => handle.pid(),
        }
    }

    /// Waits for the end and returns its words, if the status is known and bad.
    async fn wait(&self) -> Option<String> {
        match self {
            Self::Child(child) => child.wait().await.ok().filter(|s| !s.success()).map(|s| s.to_string()),
            Self::Peer(handle) => {
                handle.ended().await;
                None
            }
        }
    }
}

/// A connection to the control socket, greeted.
pub(crate) struct Control {
    writer: tokio::sync::Mutex<OwnedWriteHalf>,
    waiting: Arc<Mutex<HashMap<u64, oneshot::Sender<()>>>>,
    next_id: AtomicU64,
    /// Why the VM ends, once it said so; `Some(None)` when the connection ended without a word.
    last_words: watch::Receiver<Option<Option<String>>>,
    reader: tokio::task::JoinHandle<()>,
}

impl Drop for Control {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Control {
    /// Connects; returns the process at the other end and the port that leads to the guest.
    pub(crate) async fn connect(path: &Path, limit: Duration) -> std::io::Result<(Self, Handle, u16)> {
        let connect = async {
            let stream = UnixStream::connect(path).await?;
            let process = Handle::of_peer(&stream)?;
            let (reader, writer) = stream.into_split();
            let mut lines = BufReader::new(reader).lines();
            let Some(Message::Hello { ssh_port }) = next(&mut lines).await else {
                return Err(std::io::Error::other("no greeting"));
            };
            let waiting = Arc::<Mutex<HashMap<_, _>>>::default();
            let (told, last_words) = watch::channel(None);
            let reader = tokio::spawn(read(lines, waiting.clone(), told));
            let writer = tokio::sync::Mutex::new(writer);
            Ok((Self { writer, waiting, next_id: AtomicU64::new(1), last_words, reader }, process, ssh_port))
        };
        timeout(limit, connect).await?
    }

    async fn ask(&self, command: Command, operation: &str) -> Result<(), DriverError> {
        let failed = |reason: &str| DriverError::Control { operation: operation.into(), reason: reason.into() };
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, heard) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sender);
        let mut line = serde_json::to_string(&Request { id, command }).expect("a struct of plain values");
        line.push('\n');
        let exchange = async {
            self.writer.lock().await.write_all(line.as_bytes()).await.map_err(|e| failed(&e.to_string()))?;
            let mut ended = self.last_words.clone();
            tokio::select! {
                // The answer may have come just before the end.
                biased;
                answer = heard => answer.map_err(|_| failed("connection ended")),
                _ = ended.wait_for(Option::is_some) => Err(failed("connection ended")),
            }
        };
        timeout(ANSWER, exchange).await.unwrap_or_else(|_| Err(failed("no answer")))
    }
}

async fn next(lines: &mut Lines<BufReader<OwnedReadHalf>>) -> Option<Message> {
    let line = lines.next_line().await.ok()??;
    serde_json::from_str(&line).ok()
}

async fn read(
    mut lines: Lines<BufReader<OwnedReadHalf>>,
    waiting: Arc<Mutex<HashMap<u64, oneshot::Sender<()>>>>,
    told: watch::Sender<Option<Option<String>>>,
) {
    let mut last_words = None;
    while let Some(message) = next(&mut lines).await {
        match message {
            Message::Heard { id } => {
                let sender = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                if let Some(sender) = sender {
                    let _ = sender.send(());
                }
            }
            Message::Ends { reason } => last_words = Some(reason),
            Message::Hello { .. } => {}
        }
    }
    told.send_replace(Some(last_words));
}

/// A simulated VM. Dropping it lets go of it.
pub(crate) struct FakeVm {
    process: Arc<Process>,
    /// None if the VM did not answer.
    control: Option<Control>,
    ssh_port: u16,
    exit: watch::Receiver<Option<VmExit>>,
    watcher: tokio::task::JoinHandle<()>,
}

impl Drop for FakeVm {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

impl FakeVm {
    /// Takes hold of a VM. `leftovers` are removed when it has ended.
    pub(crate) fn new(process: Process, control: Option<Control>, ssh_port: u16, leftovers: Vec<PathBuf>) -> Self {
        let process = Arc::new(process);
        let (ended, exit) = watch::channel(None);
        let watched = process.clone();
        let silence = || watch::channel(Some(None)).1;
        let words = control.as_ref().map_or_else(silence, |control| control.last_words.clone());
        let watcher = tokio::spawn(async move {
            let status = watched.wait().await;
            let mut words = words;
            let reason = match timeout(Duration::from_millis(500), words.wait_for(Option::is_some)).await {
                Ok(Ok(reason)) => reason.clone().flatten(),
                _ => None,
            };
            for path in leftovers {
                let _ = std::fs::remove_file(path);
            }
            ended.send_replace(Some(match (reason, status) {
                (Some(reason), None) => VmExit { orderly: true, description: reason },
                (_, Some(status)) => VmExit { orderly: false, description: status },
                (None, None) => VmExit { orderly: false, description: "the VM process ended without a word".into() },
            }));
        });
        Self { process, control, ssh_port, exit, watcher }
    }

    async fn ask(&self, command: Command, operation: &str) -> Result<(), DriverError> {
        match &self.control {
            Some(control) => control.ask(command, operation).await,
            None => Err(DriverError::Control { operation: operation.into(), reason: "no answer".into() }),
        }
    }
}

#[async_trait]
impl Vm for FakeVm {
    fn pid(&self) -> Option<u32> {
        Some(self.process.pid())
    }

    fn ssh_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ssh_port).into()
    }

    async fn wait(&self) -> VmExit {
        let mut exit = self.exit.clone();
        let ended = exit.wait_for(Option::is_some).await.ok().and_then(|exit| exit.clone());
        // The watcher is aborted only by our own drop, and then nobody waits here.
        ended.expect("the watcher ends with the VM")
    }

    async fn power_down(&self) -> Result<(), DriverError> {
        self.ask(Command::PowerDown, "power down").await
    }

    async fn quit(&self) -> Result<(), DriverError> {
        match self.ask(Command::Quit, "quit").await {
            // It may be gone before its answer is.
            Err(_) if self.control.as_ref().is_some_and(|control| control.last_words.borrow().is_some()) => Ok(()),
            asked => asked,
        }
    }

    async fn kill(&self) -> Result<(), DriverError> {
        let killed = match &*self.process {
            Process::Child(child) => child.signal(Signal::Kill),
            Process::Peer(handle) => handle.signal(Signal::Kill),
        };
        killed.map_err(|e| DriverError::Control { operation: "kill the VM process".into(), reason: e.to_string() })
    }
}
