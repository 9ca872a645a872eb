//! A machine as its user holds it.

use std::io;
use std::sync::Arc;

use rdd_machine::MachineName;
use rdd_machine_dir::{Inspection, MachineDir, inspect};
use tokio::sync::watch;

use crate::seen::{Publisher, Seen};
use crate::template::{TemplateProblem, Templates};
use crate::wanted::{Last, Orders, Wanted};

/// A machine: by it one says what is wanted and reads what is seen. Cheap to clone.
///
/// # Guarantees
///
/// No call waits for the machine: what takes time happens in its actor, and shows in [`Seen`].
#[derive(Clone)]
pub struct Machine {
    pub(crate) dir: MachineDir,
    pub(crate) templates: Templates,
    pub(crate) orders: Arc<watch::Sender<Orders>>,
    pub(crate) seen: Arc<Publisher>,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Machine").field(self.dir.name()).finish()
    }
}

/// Why a template was not written. The present one stays.
#[derive(Debug, thiserror::Error)]
pub enum WriteTemplateError {
    /// The machine could not start with it.
    #[error(transparent)]
    Refused(#[from] TemplateProblem),
    /// It could not be written.
    #[error("write lima.yaml")]
    Io(#[source] io::Error),
}

impl Machine {
    /// Returns the name.
    pub fn name(&self) -> &MachineName {
        self.dir.name()
    }

    /// Returns where the machine's files lie.
    pub fn dir(&self) -> &MachineDir {
        &self.dir
    }

    /// Says what is wanted from now on.
    pub fn want(&self, wanted: Wanted) {
        self.orders.send_if_modified(|orders| {
            let changed = orders.wanted != wanted;
            orders.wanted = wanted;
            changed
        });
    }

    /// Returns what was wanted last.
    pub fn wanted(&self) -> Wanted {
        self.orders.borrow().wanted.clone()
    }

    /// Returns whether the engine ends, so that nothing is started any more.
    pub fn is_ending(&self) -> bool {
        self.orders.borrow().last.is_some()
    }

    /// Returns what is seen now.
    pub fn seen(&self) -> Seen {
        self.watch().borrow().clone()
    }

    /// Returns what is seen, as it changes.
    pub fn watch(&self) -> watch::Receiver<Seen> {
        self.seen.subscribe()
    }

    /// Looks at the machine's directory; `None` if there is none.
    pub fn inspect(&self) -> io::Result<Option<Inspection>> {
        inspect(&self.dir)
    }

    /// Replaces the template, provided that the machine could start with it. It takes effect at the
    /// next start. A machine that waits after a failure tries again at once.
    pub fn write_template(&self, text: &str) -> Result<(), WriteTemplateError> {
        self.templates.resolve(self.dir.name(), text)?;
        self.dir.write_template(text).map_err(WriteTemplateError::Io)?;
        self.encourage();
        Ok(())
    }

    /// Lets a machine that waits after a failure try again at once.
    pub fn encourage(&self) {
        self.orders.send_modify(|orders| orders.encouraged += 1);
    }

    /// Says that the world knows that the machine exists: it is complete from now on.
    pub fn finish_creation(&self) -> io::Result<()> {
        self.dir.finish_preparing()
    }

    pub(crate) fn give_last_order(&self, last: Last) {
        self.orders.send_modify(|orders| orders.last = Some(last));
    }
}
