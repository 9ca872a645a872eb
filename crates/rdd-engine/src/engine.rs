//! The engine: all machines of one Lima home.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdd_machine::MachineName;
use rdd_machine_dir::{Inspection, MachineDir, Standing, inspect, list, sweep};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::actor::Actor;
use crate::config::EngineConfig;
use crate::machine::Machine;
use crate::seen::{Listeners, Publisher};
use crate::template::Templates;
use crate::wanted::{Last, Orders};

/// Why the engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The Lima home could not be made or read.
    #[error("cannot use the directory of the machines {path:?}")]
    Home {
        /// The Lima home.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// All machines of one Lima home. Cheap to clone.
///
/// # Assumptions
///
/// There is one engine per Lima home: whoever makes it holds the lock of the instance. Its methods
/// are called inside a tokio runtime.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    config: Arc<EngineConfig>,
    templates: Templates,
    listeners: Listeners,
    actors: Mutex<Actors>,
}

#[derive(Default)]
struct Actors {
    by_name: HashMap<MachineName, (Machine, JoinHandle<()>)>,
    last: Option<Last>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl Engine {
    /// Makes the engine and removes what interrupted work left in the Lima home. Machines are not
    /// touched until something is wanted of them.
    pub fn new(config: EngineConfig) -> Result<Self, EngineError> {
        let failed = |source| EngineError::Home { path: config.lima_home.clone(), source };
        rdd_host::files::make_private_dir(&config.lima_home).map_err(failed)?;
        let swept = sweep(&config.lima_home).map_err(failed)?;
        if swept > 0 {
            tracing::info!(swept, "leftovers of interrupted work removed");
        }
        let templates = Templates::new(config.lima_home.clone(), config.host.clone(), &config.drivers);
        Ok(Self(Arc::new(Inner {
            config: Arc::new(config),
            templates,
            listeners: Listeners::default(),
            actors: Mutex::default(),
        })))
    }

    /// Returns what reads templates for this host, for those who refuse bad ones early.
    pub fn templates(&self) -> &Templates {
        &self.0.templates
    }

    /// Returns a machine, which need not exist.
    pub fn machine(&self, name: &MachineName) -> Machine {
        let mut actors = self.0.actors.lock().expect("no holder of this lock panics");
        if let Some((machine, _)) = actors.by_name.get(name) {
            return machine.clone();
        }
        let dir = MachineDir::new(&self.0.config.lima_home, name);
        let orders = watch::Sender::new(Orders { last: actors.last, ..Orders::default() });
        let seen = Arc::new(Publisher::new(name.clone(), Arc::clone(&self.0.listeners)));
        let actor = Actor::new(
            dir.clone(),
            Arc::clone(&self.0.config),
            self.0.templates.clone(),
            Arc::clone(&seen),
            orders.subscribe(),
        );
        let task = tokio::spawn(actor.follow_orders());
        let machine = Machine { dir, templates: self.0.templates.clone(), orders: Arc::new(orders), seen };
        actors.by_name.insert(name.clone(), (machine.clone(), task));
        machine
    }

    /// Forgets a machine that is gone. Its actor ends when nobody holds the machine any more.
    pub fn forget(&self, name: &MachineName) {
        self.0.actors.lock().expect("no holder of this lock panics").by_name.remove(name);
    }

    /// Returns the names of machines as they change. Ends when the receiver is dropped.
    pub fn changes(&self) -> mpsc::UnboundedReceiver<MachineName> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.0.listeners.lock().expect("no holder of this lock panics").push(sender);
        receiver
    }

    /// Stops every machine that runs, all at the same time, each guest with this long to power off;
    /// returns when all are off, or could not be stopped. Nothing starts any more.
    pub async fn stop_all(&self, grace: Duration) {
        // A machine that nobody asked about since our start runs on all the same.
        for dir in list(&self.0.config.lima_home).unwrap_or_default() {
            // What cannot be looked at may run, and so may what has a socket: its lock may have been removed.
            let is_off = |found: Inspection| found.standing == Standing::Stopped && !has_socket(&dir);
            if !inspect(&dir).is_ok_and(|found| found.is_none_or(is_off)) {
                self.machine(dir.name());
            }
        }
        self.end(Last::Stop { grace }).await;
    }

    /// Lets go of every machine: they run on, and another engine may take over.
    pub async fn leave_all(&self) {
        self.end(Last::Leave).await;
    }

    async fn end(&self, last: Last) {
        let tasks: Vec<_> = {
            let mut actors = self.0.actors.lock().expect("no holder of this lock panics");
            actors.last = Some(last);
            for (machine, _) in actors.by_name.values() {
                machine.give_last_order(last);
            }
            actors.by_name.values_mut().map(|(_, task)| std::mem::replace(task, tokio::spawn(async {}))).collect()
        };
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a machine's actor failed");
            }
        }
    }
}

fn has_socket(dir: &MachineDir) -> bool {
    let entries = std::fs::read_dir(dir.path()).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.path().extension().is_some_and(|end| end == "sock"))
}
