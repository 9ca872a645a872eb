//! Stopping and removing a machine.
//!
//! ```text
//!  ask the hostagent, with a grace period ─► demand it ─► end the hostagent
//!        │ it has its own ladder inside: ACPI, SSH, quit, kill      │
//!        ▼                                                          ▼
//!       off ◄── kill ◄── quit ◄── ACPI, with what is left of the grace period
//! ```
//!
//! The lower row is for a VM without hostagent. Each rung has a share of one deadline.

use std::time::Duration;

use rdd_host::files;
use rdd_host::logs::chain;
use rdd_host::process::Signal;
use rdd_machine::{DriverError, Vm};
use rdd_machine_dir::{RemoveError, Standing, logs};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::actor::{Actor, Outcome, signal};
use crate::hostagent::{ANSWER, Hostagent};
use crate::link;
use crate::seen::{Phase, Rung};

/// The pause between two looks at a lock whose holder cannot be waited for.
pub(crate) const LOOK: Duration = Duration::from_millis(50);
/// How a hostagent's last words begin when nothing about the stop is worth telling.
const ORDERLY: &str = "the guest powered off";
/// A guest that still boots loses the request to power off, so it is repeated.
const POWER_DOWN_AGAIN: Duration = Duration::from_secs(3);

impl Actor {
    /// Stops the machine. Returns the rung that was reached, `None` if it was off already.
    pub(crate) async fn stop(&mut self, grace: Duration) -> Result<Option<Outcome>, String> {
        if self.hostagent.is_none() && self.is_off().await? {
            self.clear_leftovers(Standing::Stopped);
            return Ok(None);
        }
        self.seen.publish(Phase::Stopping { waiting_for: None });
        let grace_ends = Instant::now() + grace;
        let mut outcome = Outcome { rung: Rung::Hostagent, detail: None };
        if let Some(mut hostagent) = self.hostagent.take() {
            self.stop_child(&mut hostagent, grace, grace_ends).await;
            self.end_lost_vm().await;
            outcome.detail = hostagent.last_words().filter(|words| !words.starts_with(ORDERLY)).map(str::to_owned);
        } else if matches!(self.now()?, Standing::HostagentOnly | Standing::Running) {
            self.stop_foreign(grace, grace_ends).await?;
        }
        if self.now()? == Standing::VmOnly || !self.is_off().await? {
            outcome.rung = self.stop_vm(grace_ends).await?;
            outcome.detail = match outcome.rung {
                Rung::Hostagent => None,
                Rung::Quit => Some("the guest did not power off in time, the VM was told to quit".to_owned()),
                Rung::Kill => Some("the guest did not power off in time, the VM was killed".to_owned()),
            };
        }
        if !self.is_off().await? {
            return Err("instance still running after stop attempt".to_owned());
        }
        self.clear_leftovers(Standing::Stopped);
        Ok(Some(outcome))
    }

    /// Returns whether neither a lock nor a socket tells of hostagent or VM.
    async fn is_off(&self) -> Result<bool, String> {
        if self.now()? != Standing::Stopped {
            return Ok(false);
        }
        // Without a directory there is no socket.
        let is_gone = self.look().map_err(|e| chain(&e))?.is_none();
        Ok(is_gone || self.reach_vm().await?.is_none())
    }

    /// Returns what the locks say now, or why they say nothing.
    fn now(&self) -> Result<Standing, String> {
        self.standing().map_err(|e| chain(&e))
    }

    async fn stop_child(&self, hostagent: &mut Hostagent, grace: Duration, grace_ends: Instant) {
        let timing = &self.config.timing;
        let socket = self.dir.ha_sock();
        let name = self.dir.name();
        let tell = |waiting_for: Option<String>| {
            // That it stops is said by the phase.
            let waiting_for = waiting_for.filter(|words| words != "stopping");
            self.seen.publish(Phase::Stopping { waiting_for });
        };
        if !asked(timeout(reaction(grace), link::ask_to_stop(&socket, grace, false)).await) {
            // It may not listen yet; the signal means the same.
            if let Err(error) = hostagent.child.signal(Signal::Terminate) {
                tracing::warn!(machine = %name, %error, "cannot signal the hostagent");
            }
            let mut spoke = false;
            let hear = |words| {
                spoke = true;
                tell(words);
            };
            if hostagent.ended_by(Instant::now() + reaction(grace), hear).await {
                return;
            }
            if !spoke {
                // It hangs. The time that is left is better spent on asking the guest without it.
                tracing::warn!(machine = %name, "hostagent hangs and is ended");
                self.end_child(hostagent).await;
                return;
            }
        }
        if hostagent.ended_by(grace_ends + timing.stop_margin, tell).await {
            return;
        }
        tracing::warn!(machine = %name, "hostagent did not stop in time");
        tell(Some("the guest did not power off in time, its hostagent is told to end it".to_owned()));
        if asked(timeout(ANSWER, link::ask_to_stop(&socket, Duration::ZERO, true)).await)
            && hostagent.ended_by(Instant::now() + timing.force, tell).await
        {
            return;
        }
        self.end_child(hostagent).await;
    }

    async fn end_child(&self, hostagent: &mut Hostagent) {
        if let Err(error) = hostagent.child.kill() {
            tracing::warn!(machine = %self.dir.name(), %error, "cannot end the hostagent");
        }
        hostagent.ended_by(Instant::now() + self.config.timing.force, |_| ()).await;
    }

    /// Stops a hostagent that an earlier service started.
    async fn stop_foreign(&self, grace: Duration, grace_ends: Instant) -> Result<(), String> {
        let timing = &self.config.timing;
        let socket = self.dir.ha_sock();
        let deadline = grace_ends + timing.stop_margin;
        let listens_by = Instant::now() + timing.release.min(grace);
        let holds = || Ok::<_, String>(matches!(self.now()?, Standing::HostagentOnly | Standing::Running));
        while holds()? {
            let (old, until) = match link::peer(&socket).await {
                Ok(old) if asked(timeout(reaction(grace), link::ask_to_stop(&socket, grace, false)).await) => {
                    (old, deadline)
                }
                Ok(old) => {
                    signal(&old, Signal::Terminate);
                    (old, Instant::now() + reaction(grace))
                }
                // It may be about to end, or about to listen.
                Err(_) if Instant::now() < listens_by => {
                    sleep(LOOK).await;
                    continue;
                }
                // Its socket is gone, but it may still hear a signal.
                Err(_) => match link::lock_holder(&self.dir).await {
                    Ok(old) => {
                        signal(&old, Signal::Terminate);
                        (old, deadline)
                    }
                    Err(_) if !holds()? => break,
                    Err(error) => {
                        return Err(format!(
                            "a hostagent holds {:?} and cannot be reached: {error}",
                            self.dir.ha_lock()
                        ));
                    }
                },
            };
            if matches!(timeout_at(until, old.wait()).await, Ok(Ok(()))) {
                continue;
            }
            self.end_hanging(&old).await;
            if holds()? {
                return Err("a hostagent could not be ended".to_owned());
            }
        }
        Ok(())
    }

    /// Stops a VM that has no hostagent.
    async fn stop_vm(&self, grace_ends: Instant) -> Result<Rung, String> {
        let unreachable = match self.reach_vm().await {
            Ok(Some(vm)) => return self.stop_attached(&*vm, grace_ends).await,
            Ok(None) => String::new(),
            Err(error) => format!("{error}; "),
        };
        if self.now()? == Standing::Stopped {
            return Ok(Rung::Quit);
        }
        Err(format!("{unreachable}{:?} is held, but the VM cannot be reached", self.dir.driver_lock()))
    }

    async fn stop_attached(&self, vm: &dyn Vm, grace_ends: Instant) -> Result<Rung, String> {
        let force = self.config.timing.force;
        let name = self.dir.name();
        let tell = |stage: &str| self.seen.publish(Phase::Stopping { waiting_for: Some(stage.to_owned()) });
        tell("the guest is asked to power off");
        while Instant::now() < grace_ends {
            told(name, "power down", vm.power_down().await);
            let until = grace_ends.min(Instant::now() + POWER_DOWN_AGAIN);
            if timeout_at(until, vm.wait()).await.is_ok() {
                return Ok(Rung::Hostagent);
            }
        }
        tell("the guest did not power off in time, the VM is told to quit");
        told(name, "quit", vm.quit().await);
        if timeout(force, vm.wait()).await.is_ok() {
            return Ok(Rung::Quit);
        }
        tell("the VM does not quit and is killed");
        told(name, "kill", vm.kill().await);
        match timeout(force, vm.wait()).await {
            Ok(_) => Ok(Rung::Kill),
            Err(_elapsed) => Err("the VM does not end, even when killed".to_owned()),
        }
    }

    /// Removes the machine and publishes the outcome; returns whether it is gone.
    pub(crate) async fn remove(&mut self, grace: Duration) -> bool {
        match self.try_remove(grace).await {
            Ok(()) => {
                self.seen.publish(Phase::Absent);
                true
            }
            Err(error) => {
                tracing::warn!(machine = %self.dir.name(), error, "removal failed");
                self.seen.publish(Phase::RemoveFailed { error });
                false
            }
        }
    }

    async fn try_remove(&mut self, grace: Duration) -> Result<(), String> {
        // Asked before the guest is stopped: what stays should stay as it is.
        if self.dir.is_protected() {
            let error = RemoveError::Protected(self.dir.name().to_string(), self.dir.protected());
            return Err(error.to_string());
        }
        // A file in the place of the directory: no machine lives in it.
        let is_file = std::fs::symlink_metadata(self.dir.path()).is_ok_and(|found| found.is_file());
        if !is_file {
            self.stop(grace).await?;
        }
        // A creation that was given up may still be under way.
        self.on_disk(|| ()).await.map_err(|e| e.to_string())?;
        if !is_file && self.look().map_err(|e| chain(&e))?.is_some() {
            for (driver, config) in self.templates.holders(&self.dir) {
                driver.release(&config).await.map_err(|e| chain(&e))?;
            }
            logs::preserve(&self.dir, &self.config.logs);
        }
        let dir = self.dir.clone();
        let removed = self.on_disk(move || rdd_machine_dir::remove(&dir)).await;
        removed.map_err(|e| e.to_string())?.map_err(|e| chain(&e))
    }

    /// Removes what processes that are gone left in the directory: PID files and sockets, or whatever
    /// is in their place. While a VM lives, only what belongs to hostagents; while a hostagent lives,
    /// nothing.
    pub(crate) fn clear_leftovers(&self, standing: Standing) {
        let is_left = |name: &str| match standing {
            Standing::Stopped => [".pid", ".sock", ".tmp"].iter().any(|end| name.ends_with(end)),
            Standing::VmOnly => name == "ha.pid" || name == "ha.sock",
            Standing::HostagentOnly | Standing::Running => false,
        };
        let Ok(entries) = std::fs::read_dir(self.dir.path()) else { return };
        for entry in entries.filter_map(Result::ok) {
            if !entry.file_name().to_str().is_some_and(is_left) {
                continue;
            }
            let path = entry.path();
            let is_dir = entry.file_type().is_ok_and(|t| t.is_dir());
            let removed = if is_dir { files::remove_dir_all(&path) } else { files::remove_file(&path).map(drop) };
            if let Err(error) = removed {
                tracing::warn!(?path, %error, "cannot remove a leftover");
            }
        }
    }
}

fn asked<E: std::fmt::Display>(answer: Result<Result<(), E>, tokio::time::error::Elapsed>) -> bool {
    match answer {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::debug!(%error, "hostagent not asked");
            false
        }
        Err(_elapsed) => false,
    }
}

/// Returns how long a hostagent may take to answer, and again to react to a signal. Most of the grace period is the
/// guest's.
fn reaction(grace: Duration) -> Duration {
    ANSWER.min(grace / 4)
}

fn told(machine: &rdd_machine::MachineName, what: &str, result: Result<(), DriverError>) {
    if let Err(error) = result {
        tracing::warn!(%machine, what, error = chain(&error), "the VM could not be told");
    }
}
