//! What is seen of a machine.

use std::sync::Arc;

use rdd_machine::MachineName;
use tokio::sync::{mpsc, watch};

/// What is seen of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Grows with every change.
    pub generation: u64,
    /// Where the machine stands.
    pub phase: Phase,
}

/// Where a machine stands.
///
/// ```text
///              Exists(text)                     On
///  Unknown ──► Creating ──► Created    ──► Starting ──► Running
///     │           │  ▲                      │  ▲ ▲          │ crash
///     │           ▼  │ after a wait         ▼  │ └──────────┤
///     │        CreateFailed                Waiting ◄────────┘ crash again
///     │ Off                                          Off
///     └─────► Stopping ──► Stopped, StopFailed  ◄── Stopping ◄── any of the above
///                  Removed ──► Stopping ──► Absent, RemoveFailed
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Nobody has looked, because nothing was wanted.
    #[default]
    Unknown,
    /// There is no such machine.
    Absent,
    /// Its directory is being made and its image fetched.
    Creating {
        /// How far that is, in words.
        progress: Option<String>,
    },
    /// Creating failed; it is tried again after a while, and at once with another template.
    CreateFailed {
        /// What failed, in words.
        error: String,
    },
    /// It exists, complete, made from this template.
    Created {
        /// The template.
        template: Arc<str>,
    },
    /// It boots, or a fresh hostagent attaches to the VM that runs.
    Starting {
        /// The number of the run, different for each start.
        run: u64,
        /// What is waited for, in words.
        waiting_for: Option<String>,
    },
    /// The guest is ready.
    Running {
        /// The number of the run, different for each start.
        run: u64,
        /// What failed on the way although the guest runs.
        errors: Vec<String>,
    },
    /// The start failed, or the machine crashed more than once; it is tried again after a while.
    Waiting {
        /// What failed, in words.
        error: String,
    },
    /// It is being stopped.
    Stopping {
        /// What is waited for, in words.
        waiting_for: Option<String>,
    },
    /// It is off.
    Stopped {
        /// How it was stopped; `None` if it was off already.
        by: Option<Rung>,
        /// What is worth telling of the stop, in words.
        detail: Option<String>,
    },
    /// It could not be stopped.
    StopFailed {
        /// Why, in words.
        error: String,
    },
    /// It could not be removed.
    RemoveFailed {
        /// Why, in words.
        error: String,
    },
}

/// What ended a machine: the rung of the stop ladder that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// The hostagent stopped it inside the grace period.
    Hostagent,
    /// The VM was told to quit, its disks flushed.
    Quit,
    /// The VM was killed.
    Kill,
}

/// Publishes what is seen of one machine, and its name to those who listen for changes.
pub(crate) struct Publisher {
    name: MachineName,
    seen: watch::Sender<Seen>,
    listeners: Listeners,
}

/// Those who listen for changes of any machine.
pub(crate) type Listeners = Arc<std::sync::Mutex<Vec<mpsc::UnboundedSender<MachineName>>>>;

impl Publisher {
    pub(crate) fn new(name: MachineName, listeners: Listeners) -> Self {
        let seen = watch::Sender::new(Seen { generation: 0, phase: Phase::Unknown });
        Self { name, seen, listeners }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Seen> {
        self.seen.subscribe()
    }

    pub(crate) fn phase(&self) -> Phase {
        self.seen.borrow().phase.clone()
    }

    /// Publishes a phase, if it differs from the last.
    pub(crate) fn publish(&self, phase: Phase) {
        let changed = self.seen.send_if_modified(|seen| {
            if seen.phase == phase {
                return false;
            }
            tracing::debug!(machine = %self.name, ?phase, "seen");
            seen.phase = phase;
            seen.generation += 1;
            true
        });
        if changed {
            let mut listeners = self.listeners.lock().expect("no holder of this lock panics");
            listeners.retain(|listener| listener.send(self.name.clone()).is_ok());
        }
    }
}
