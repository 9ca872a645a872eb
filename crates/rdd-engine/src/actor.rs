//! The actor of one machine: the only one that creates, starts, stops and removes it.
//!
//! It reads its orders as a level. What can wait for long (a download, a boot, a backoff) is
//! abandoned when they change; a stop, once begun, is finished, which takes no longer than its
//! deadline.

use std::fs::File;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rdd_host::logs::chain;
use rdd_host::process::{Handle, Signal};
use rdd_machine::Vm;
use rdd_machine_dir::logs::FirstFailure;
use rdd_machine_dir::{Inspection, MachineDir, Standing, inspect};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::EngineConfig;
use crate::crashes::Crashes;
use crate::hostagent::{Hostagent, News};
use crate::seen::{Phase, Publisher, Rung};
use crate::template::Templates;
use crate::wanted::{Last, Orders, Wanted};

/// How long to wait before a stop or a removal that failed is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(5);

pub(crate) struct Actor {
    pub(crate) dir: MachineDir,
    pub(crate) config: Arc<EngineConfig>,
    pub(crate) templates: Templates,
    pub(crate) seen: Arc<Publisher>,
    pub(crate) orders: watch::Receiver<Orders>,
    pub(crate) hostagent: Option<Hostagent>,
    /// The VM's lock, open but not taken, since its hostagent told of it: the way to a VM whose directory
    /// was removed.
    vm_lock: Option<File>,
    pub(crate) crashes: Crashes,
    pub(crate) first_failure: FirstFailure,
    pub(crate) run: u64,
    encouraged: u64,
    disk: Arc<tokio::sync::Mutex<()>>,
}

impl Actor {
    pub(crate) fn new(
        dir: MachineDir,
        config: Arc<EngineConfig>,
        templates: Templates,
        seen: Arc<Publisher>,
        orders: watch::Receiver<Orders>,
    ) -> Self {
        let crashes = Crashes::default();
        Self {
            dir,
            config,
            templates,
            seen,
            orders,
            hostagent: None,
            vm_lock: None,
            crashes,
            first_failure: FirstFailure::default(),
            run: 0,
            encouraged: 0,
            disk: Arc::default(),
        }
    }

    /// Follows the orders until the last one, or until nobody can give any more.
    pub(crate) async fn follow_orders(mut self) {
        // Without anybody to give orders there is nobody to work for; the machine runs on.
        while self.orders.has_changed().is_ok() {
            let orders = self.orders.borrow_and_update().clone();
            if orders.encouraged != self.encouraged {
                self.encouraged = orders.encouraged;
                self.crashes.encourage();
            }
            match orders.last {
                Some(Last::Leave) => return,
                Some(Last::Stop { grace }) => {
                    self.turn_off(grace).await;
                    return;
                }
                None => {}
            }
            match orders.wanted {
                Wanted::Nothing => {}
                Wanted::Exists(template) => {
                    self.exist(template).await;
                    continue;
                }
                Wanted::On => {
                    self.stay_on().await;
                    continue;
                }
                Wanted::Off { grace } => {
                    self.crashes.forget();
                    self.first_failure.forget();
                    if !self.turn_off(grace).await {
                        self.pause(TRY_AGAIN).await;
                        continue;
                    }
                }
                Wanted::Removed { grace } => {
                    self.crashes.forget();
                    if !self.remove(grace).await {
                        self.pause(TRY_AGAIN).await;
                        continue;
                    }
                }
            }
            if self.orders.changed().await.is_err() {
                return;
            }
        }
    }

    /// Returns when the orders change, without taking note of it.
    pub(crate) fn interrupted(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut orders = self.orders.clone();
        async move {
            // An error means that nobody can give orders any more, which is an interruption too.
            let _either = orders.changed().await;
        }
    }

    /// Waits, or less long if the orders change.
    pub(crate) async fn pause(&self, time: Duration) {
        self.pause_until(Instant::now() + time).await;
    }

    async fn pause_until(&self, until: Instant) {
        let _either = tokio::time::timeout_at(until, self.interrupted()).await;
    }

    /// Makes or removes the machine's directory in a thread of its own. Whoever waits for it may give
    /// up; the thread does not, so the next such work begins after it.
    pub(crate) async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, tokio::task::JoinError> {
        let alone = Arc::clone(&self.disk).lock_owned().await;
        let work = move || {
            let _alone = alone;
            work()
        };
        tokio::task::spawn_blocking(work).await
    }

    /// Ends a VM without hostagent whose directory somebody removed: it has no disk any more, and nothing
    /// in the file system leads to it. To be called when a hostagent has ended.
    pub(crate) async fn end_lost_vm(&mut self) {
        let Some(lock) = self.vm_lock.take() else { return };
        if self.dir.driver_lock().try_exists().unwrap_or(true) {
            return;
        }
        if !matches!(self.reach_vm().await, Ok(None)) {
            // Only its lock was removed. It can be attached to, and be looked for again later.
            self.vm_lock = Some(lock);
            return;
        }
        let found = tokio::task::spawn_blocking(move || Handle::of_holder(&lock)).await;
        let Ok(Ok(Some(vm))) = found else { return };
        tracing::warn!(machine = %self.dir.name(), pid = vm.pid(), "the VM has lost its directory and is ended");
        signal(&vm, Signal::Kill);
        let _waited = tokio::time::timeout(self.config.timing.force, vm.wait()).await;
    }

    /// Looks at the machine's directory; `None` if there is none. What cannot be looked at may be a
    /// machine that runs: nothing may be concluded from an error.
    pub(crate) fn look(&self) -> Result<Option<Inspection>, LookError> {
        inspect(&self.dir).map_err(|source| LookError { path: self.dir.path().to_owned(), source })
    }

    pub(crate) fn standing(&self) -> Result<Standing, LookError> {
        Ok(self.look()?.map_or(Standing::Stopped, |i| i.standing))
    }

    /// Asks the drivers for the machine's VM, which has no hostagent. A VM may run whose lock somebody
    /// removed: its socket answers.
    pub(crate) async fn reach_vm(&self) -> Result<Option<Box<dyn Vm>>, String> {
        let mut failures = Vec::new();
        for (driver, config) in self.templates.holders(&self.dir) {
            match driver.attach(&config).await {
                Ok(Some(vm)) => return Ok(Some(vm)),
                Ok(None) => {}
                Err(error) => failures.push(chain(&error)),
            }
        }
        if failures.is_empty() { Ok(None) } else { Err(failures.join("; ")) }
    }

    /// Keeps the machine running until the orders change.
    async fn stay_on(&mut self) {
        let mut interrupted = std::pin::pin!(self.interrupted());
        loop {
            let Some(hostagent) = &mut self.hostagent else {
                if let Some((until, error)) = self.crashes.wait(Instant::now()) {
                    self.seen.publish(Phase::Waiting { error });
                    tokio::select! {
                        () = &mut interrupted => return,
                        () = tokio::time::sleep_until(until) => {}
                    }
                }
                let started = tokio::select! {
                    () = &mut interrupted => return,
                    started = self.start() => started,
                };
                if let Err(error) = started {
                    let error = chain(&error);
                    tracing::warn!(machine = %self.dir.name(), error, "start failed");
                    self.crashes.failed(error, None, Instant::now(), &self.config.timing);
                }
                continue;
            };
            tokio::select! {
                () = &mut interrupted => return,
                news = hostagent.next() => self.hear(news).await,
            }
        }
    }

    async fn hear(&mut self, news: News) {
        let Some(hostagent) = &mut self.hostagent else { return };
        let run = hostagent.run;
        if matches!(&news, News::Status(status) if status.ssh_local_port != 0)
            && let Ok(lock) = File::open(self.dir.driver_lock())
        {
            self.vm_lock = Some(lock);
        }
        match news {
            News::Status(status) if status.exiting => {}
            News::Status(status) if status.running => {
                hostagent.ready_since.get_or_insert_with(Instant::now);
                self.seen.publish(Phase::Running { run, errors: status.errors });
            }
            News::Status(status) => self.seen.publish(Phase::Starting { run, waiting_for: status.progress }),
            News::Silent => {
                // It neither spoke nor took its lock, so it has no VM. Its end is the next news.
                let log = self.dir.ha_stderr_log();
                let text = format!("hostagent did not create PID file within timeout (see {})", log.display());
                if let Err(error) = hostagent.child.kill() {
                    tracing::warn!(machine = %self.dir.name(), %error, "cannot end a hostagent that hangs");
                }
                self.hostagent = None;
                self.first_failure.failed();
                self.crashes.failed(text, None, Instant::now(), &self.config.timing);
            }
            News::Ended { reason, orderly } => {
                let ran_for = hostagent.ready_since.map(|since| since.elapsed());
                self.hostagent = None;
                if ran_for.is_some_and(|time| time >= self.config.timing.stable_after) {
                    self.first_failure.forget();
                }
                self.first_failure.failed();
                self.end_lost_vm().await;
                let standing = self.standing();
                tracing::warn!(machine = %self.dir.name(), reason, orderly, ?standing, "hostagent ended");
                self.crashes.failed(reason, ran_for, Instant::now(), &self.config.timing);
            }
        }
    }

    /// Stops the machine and publishes the outcome; returns whether it is off.
    async fn turn_off(&mut self, grace: Duration) -> bool {
        let before = self.seen.phase();
        match self.stop(grace).await {
            // Nothing happened, so what was said of the last stop stays true.
            Ok(None) if matches!(before, Phase::Stopped { .. }) => true,
            Ok(None) => {
                self.seen.publish(Phase::Stopped { by: None, detail: None });
                true
            }
            Ok(Some(Outcome { rung, detail })) => {
                self.seen.publish(Phase::Stopped { by: Some(rung), detail });
                true
            }
            Err(error) => {
                tracing::warn!(machine = %self.dir.name(), error, "stop failed");
                self.seen.publish(Phase::StopFailed { error });
                false
            }
        }
    }
}

/// The machine's directory could not be looked at.
#[derive(Debug, thiserror::Error)]
#[error("cannot look at {path:?}")]
pub(crate) struct LookError {
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

/// How a machine was stopped.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) rung: Rung,
    pub(crate) detail: Option<String>,
}

pub(crate) fn signal(process: &Handle, signal: Signal) {
    if let Err(error) = process.signal(signal) {
        tracing::warn!(pid = process.pid(), ?signal, %error, "cannot signal a hostagent");
    }
}
