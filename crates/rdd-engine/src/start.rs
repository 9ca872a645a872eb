//! Starting a machine: taking over what runs, preparing what is off, and a fresh hostagent.

use std::path::PathBuf;

use rdd_host::process::{Handle, Signal};
use rdd_machine_dir::Standing;
use tokio::time::{Instant, timeout, timeout_at};

use crate::actor::{Actor, LookError, signal};
use crate::hostagent::{ANSWER, Hostagent, SpawnError};
use crate::images::PrepareError;
use crate::link;
use crate::seen::Phase;
use crate::template::TemplateProblem;

/// Why a machine did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("instance directory {0:?} does not exist")]
    NoDirectory(PathBuf),
    #[error("cannot read {path:?}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Look(#[from] LookError),
    #[error(transparent)]
    Template(#[from] TemplateProblem),
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    #[error("cannot find out whether the VM runs: {0}")]
    Vm(String),
    #[error("another hostagent holds {0:?} and does not let go")]
    NotReleased(PathBuf),
    #[error(transparent)]
    Spawn(#[from] SpawnError),
}

impl Actor {
    /// Starts a hostagent, which starts the VM or attaches to the one that runs. May be abandoned at
    /// any point before it returns.
    pub(crate) async fn start(&mut self) -> Result<(), StartError> {
        self.run += 1;
        let run = self.run;
        self.seen.publish(Phase::Starting { run, waiting_for: None });
        if self.look()?.is_none() {
            return Err(StartError::NoDirectory(self.dir.path().to_owned()));
        }
        self.take_over().await?;
        let is_unlocked = self.standing()? == Standing::Stopped;
        let has_lost_lock = is_unlocked && self.reach_vm().await.map_err(StartError::Vm)?.is_some();
        if has_lost_lock {
            tracing::warn!(machine = %self.dir.name(), "the VM runs, but its lock was removed");
        } else if is_unlocked {
            // Only while the VM is off: its disks are in use otherwise, and its template can wait.
            let path = self.dir.lima_yaml();
            let text = std::fs::read_to_string(&path).map_err(|source| StartError::Read { path, source })?;
            let (config, warnings) = self.templates.resolve(self.dir.name(), &text)?;
            for warning in warnings {
                tracing::warn!(machine = %self.dir.name(), warning, "template");
            }
            let seen = &self.seen;
            let progress = |text| seen.publish(Phase::Starting { run, waiting_for: Some(text) });
            self.config.images.prepare(&config, &self.dir, &progress).await?;
        }
        match self.standing()? {
            // The socket is all that leads to it.
            Standing::Stopped if has_lost_lock => self.clear_leftovers(Standing::VmOnly),
            standing => self.clear_leftovers(standing),
        }
        self.hostagent = Some(Hostagent::spawn(&self.dir, &self.config, run, &mut self.first_failure)?);
        self.seen.publish(Phase::Starting { run, waiting_for: None });
        Ok(())
    }

    /// Asks a hostagent of an earlier service to let go of its VM, and waits until it is gone.
    async fn take_over(&self) -> Result<(), StartError> {
        let deadline = Instant::now() + self.config.timing.release;
        let socket = self.dir.ha_sock();
        while matches!(self.standing()?, Standing::HostagentOnly | Standing::Running) {
            match link::peer(&socket).await {
                Ok(old) => {
                    tracing::info!(machine = %self.dir.name(), pid = old.pid(), "taking over from a hostagent");
                    match timeout(ANSWER, link::ask_to_release(&socket)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => tracing::warn!(machine = %self.dir.name(), %error, "cannot ask for release"),
                        Err(_elapsed) => tracing::warn!(machine = %self.dir.name(), "no answer to release"),
                    }
                    if !matches!(timeout_at(deadline, old.wait()).await, Ok(Ok(()))) {
                        self.end_hanging(&old).await;
                    }
                }
                // It may be about to end, or about to listen.
                Err(_) if Instant::now() < deadline => tokio::time::sleep(crate::stop::LOOK).await,
                // Its socket is gone, so nobody can ask it any more.
                Err(_) => match link::lock_holder(&self.dir).await {
                    Ok(old) => self.end_hanging(&old).await,
                    Err(error) => {
                        tracing::warn!(machine = %self.dir.name(), %error, "no way to the hostagent");
                        return Err(StartError::NotReleased(self.dir.ha_lock()));
                    }
                },
            }
        }
        Ok(())
    }

    /// Ends a hostagent of an earlier service that cannot be asked. Its VM is not tied to its life, so
    /// this costs the guest nothing.
    pub(crate) async fn end_hanging(&self, old: &Handle) {
        tracing::warn!(machine = %self.dir.name(), pid = old.pid(), "hostagent hangs and is ended");
        signal(old, Signal::Kill);
        let _waited = timeout(self.config.timing.force, old.wait()).await;
    }
}
