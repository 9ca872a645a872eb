//! The controller: what wakes it, and the pass from look to report.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use rdd_api::limavm::{TEMPLATE_LABEL, template_configmap_name};
use rdd_engine::{Engine, Machine};
use rdd_host::logs::chain;
use rdd_machine::MachineName;
use rdd_reconcile::k8s_openapi::api::core::v1::ConfigMap;
use rdd_reconcile::kube::runtime::watcher;
use rdd_reconcile::{
    Api, Backoff, CancellationToken, Client, ClientError, Controller, Next, Nudge, ObjectKey, Reconcile, Recorder,
    ResourceExt, trigger,
};

use crate::act::{ActError, Hands};
use crate::kinds::{LimaVm, all_limavms};
use crate::names::{Claims, NameLocks};
use crate::observe::{self, CopyFacts, MachineFacts, Objects, Snapshot, VmFacts, uid};
use crate::plan::{GONE_FOR_GOOD, GracePeriods, Step, plan};
use crate::report;

/// Why a pass failed.
#[derive(Debug, thiserror::Error)]
pub enum LimaError {
    /// The LimaVM could not be read.
    #[error("read the LimaVM and its template")]
    Observe(#[source] ClientError),
    /// The machine's directory could not be looked at.
    #[error("{0}")]
    Look(String),
    /// A step could not be done.
    #[error(transparent)]
    Act(#[from] ActError),
}

/// The LimaVM controller.
pub struct LimaController {
    client: Client,
    engine: Engine,
    recorder: Recorder,
    locks: NameLocks,
    grace: GracePeriods,
    claims: Claims,
    /// Wakes this controller, once it runs.
    nudge: OnceLock<Nudge<ObjectKey>>,
    told: Mutex<HashMap<String, u64>>,
    /// Why the machines of LimaVMs could not be written, by the LimaVM's uid.
    unwritten: Mutex<HashMap<String, String>>,
    /// Since when the machines of LimaVMs are not there any more, by the LimaVM's uid.
    gone: Mutex<HashMap<String, Instant>>,
}

impl std::fmt::Debug for LimaController {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LimaController").field("engine", &self.engine).finish_non_exhaustive()
    }
}

impl LimaController {
    /// Makes the controller. The locks are those of the admission plugin.
    pub fn new(client: Client, engine: Engine, locks: NameLocks, grace: GracePeriods) -> Self {
        let recorder = Recorder::new(client.clone(), "limavm-controller");
        Self {
            client,
            engine,
            recorder,
            locks,
            grace,
            claims: Claims::default(),
            nudge: OnceLock::new(),
            told: Mutex::default(),
            gone: Mutex::default(),
            unwritten: Mutex::default(),
        }
    }

    /// Runs until `stop` is cancelled. Machines run on; it is for the owner of the engine to stop
    /// them.
    pub async fn run(self, stop: CancellationToken) {
        let this = Arc::new(self);
        let limavms = trigger::watch(all_limavms(&this.client), watcher::Config::default(), |vm| [ObjectKey::of(vm)]);
        let labelled = watcher::Config::default().labels(&format!("{TEMPLATE_LABEL}=true"));
        let copies = trigger::watch(Api::<ConfigMap>::all(this.client.clone()), labelled, |copy: &ConfigMap| {
            let name = copy.name_any();
            let vm = name.strip_suffix("-template").map(str::to_owned);
            vm.map(|vm| ObjectKey::new(copy.namespace().unwrap_or_default(), vm))
        });
        let (nudge, nudges) = Nudge::new();
        let _first = this.nudge.set(nudge.clone());
        let controller = Controller::new("limavm", Arc::clone(&this))
            .triggered_by(limavms)
            .triggered_by(copies)
            .triggered_by(nudges)
            .backoff(Backoff { first: Duration::from_millis(5), limit: Duration::from_secs(60) });
        let mut changes = this.engine.changes();
        let forward = async {
            while let Some(name) = changes.recv().await {
                if let Some(key) = this.claims.holder(&name) {
                    nudge.nudge(key);
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = controller.run(stop) => {}
            () = forward => {}
        }
    }

    fn machine(&self, key: &ObjectKey, objects: &Objects) -> Result<Machine, String> {
        let name = MachineName::new(key.name.clone()).map_err(|e| e.to_string())?;
        if !has_a_say(objects) && self.claims.holder(&name).as_ref() != Some(key) {
            return Err("no LimaVM, no machine".to_owned());
        }
        let machine = self.engine.machine(&name);
        machine.dir().check_length().map_err(|e| e.to_string())?;
        Ok(machine)
    }

    fn snapshot(&self, key: &ObjectKey, objects: &Objects, machine: &Result<Machine, String>) -> Snapshot {
        let vm_uid = objects.vm.as_ref().map(uid);
        let taken_by = match (machine, vm_uid) {
            (Ok(machine), Some(uid)) if has_a_say(objects) => self.claims.claim(machine.name(), key, uid),
            (Ok(machine), _) => self.claims.holder(machine.name()).filter(|holder| holder != key),
            (Err(_), _) => None,
        };
        let facts = machine.as_ref().map(MachineFacts::of).map_err(Clone::clone);
        let mut copy = objects.copy.as_ref().map(|c| CopyFacts::of(c, vm_uid));
        let vm = objects.vm.as_ref().map(VmFacts::of);
        if let (Some(copy), Some(_), Ok(machine), Ok(facts)) = (&mut copy, &vm, machine, &facts) {
            let is_new = facts.on_disk().is_some_and(|disk| disk.template.as_ref() != Some(&copy.text));
            if is_new {
                let judged = self.engine.templates().resolve(machine.name(), &copy.text);
                copy.problem = judged.err().map(|e| e.to_string());
            }
        }
        let is_absent = facts.as_ref().is_ok_and(MachineFacts::is_absent);
        let gone_for_good = vm_uid.is_some_and(|uid| self.gone_for_good(uid, is_absent));
        let told_run = vm_uid.and_then(|uid| self.told().get(uid).copied());
        Snapshot {
            now: Timestamp::now(),
            vm,
            copy,
            machine: facts,
            told_run,
            template_name: template_configmap_name(&key.name),
            taken_by: taken_by.map(|k| k.namespace),
            unwritten: vm_uid.and_then(|uid| self.unwritten().get(uid).cloned()),
            gone_for_good,
        }
    }

    fn unwritten(&self) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
        self.unwritten.lock().expect("no holder of this lock panics")
    }

    /// Notes how a write to the machine's directory went, and tells what is new of that.
    async fn wrote(&self, vm: &LimaVm, failure: Option<&ActError>) {
        let Some(error) = failure else {
            self.unwritten().remove(uid(vm));
            return;
        };
        let problem = chain(error);
        let before = self.unwritten().insert(uid(vm).to_owned(), problem.clone());
        if before.as_ref() != Some(&problem) {
            report::warn(&self.recorder, vm, "WriteFailed", &problem).await;
        }
    }

    /// Notes whether a LimaVM's machine is there; returns whether it has been away for long.
    fn gone_for_good(&self, uid: &str, is_absent: bool) -> bool {
        let mut gone = self.gone.lock().expect("no holder of this lock panics");
        if is_absent {
            return gone.entry(uid.to_owned()).or_insert_with(Instant::now).elapsed() >= GONE_FOR_GOOD;
        }
        gone.remove(uid);
        false
    }

    fn told(&self) -> std::sync::MutexGuard<'_, HashMap<String, u64>> {
        self.told.lock().expect("no holder of this lock panics")
    }

    /// Forgets an object that is gone, or is let go.
    fn forget(&self, key: &ObjectKey, objects: &Objects) {
        if let Some(vm) = &objects.vm {
            self.told().remove(uid(vm));
            self.gone_for_good(uid(vm), false);
            self.unwritten().remove(uid(vm));
        }
        if let Ok(name) = MachineName::new(key.name.clone()) {
            if self.claims.holder(&name).as_ref() == Some(key) {
                self.engine.forget(&name);
            }
            if let Some((uid, refused)) = self.claims.give_up(&name, key) {
                self.told().remove(&uid);
                self.unwritten().remove(&uid);
                self.gone_for_good(&uid, false);
                if let Some(nudge) = self.nudge.get() {
                    refused.into_iter().for_each(|other| nudge.nudge(other));
                }
            }
        }
    }
}

/// Returns whether a LimaVM is there that may say what becomes of its machine: one that is being deleted
/// and has lost our finalizer may not.
fn has_a_say(objects: &Objects) -> bool {
    objects.vm.as_ref().map(VmFacts::of).is_some_and(|vm| vm.finalizer || !vm.deleting)
}

#[async_trait]
impl Reconcile for LimaController {
    type Key = ObjectKey;
    type Error = LimaError;

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, LimaError> {
        let objects = observe::read(&self.client, key).await.map_err(LimaError::Observe)?;
        let machine = self.machine(key, &objects);
        let seen = self.snapshot(key, &objects, &machine);
        let steps = plan(&seen, self.grace);
        let hands = Hands {
            client: &self.client,
            recorder: &self.recorder,
            locks: &self.locks,
            key,
            machine: machine.as_ref().ok(),
            objects: &objects,
        };
        let mut next = Next::Wait;
        // A write that failed is tried again, and told; the other steps do not wait for it.
        let mut failed = None;
        for step in &steps {
            tracing::trace!(limavm = %key, ?step, "step");
            let taken = hands.take(step).await;
            if let (Step::WriteTemplate(_) | Step::FinishCreation, Some(vm)) = (step, &objects.vm) {
                self.wrote(vm, taken.as_ref().err()).await;
                if let Err(error) = taken {
                    failed = Some(error);
                    continue;
                }
            } else {
                taken?;
            }
            match step {
                Step::Report(report) => {
                    if let (Some(run), Some(vm)) = (report.run, &objects.vm) {
                        self.told().insert(uid(vm).to_owned(), run);
                    }
                }
                // No watch shows these; what follows from them is for the next pass.
                Step::Want(_) | Step::WriteTemplate(_) | Step::FinishCreation => next = Next::After(Duration::ZERO),
                Step::LookAgain(time) => next = Next::After(*time),
                Step::LetGo | Step::GiveUp => self.forget(key, &objects),
                _ => {}
            }
        }
        if let Some(error) = failed {
            return Err(error.into());
        }
        if steps.is_empty()
            && let Some(vm) = &objects.vm
            && self.unwritten().remove(uid(vm)).is_some()
        {
            // Nothing is to be written any more, and the next pass tells so.
            next = Next::After(Duration::ZERO);
        }
        match seen.machine {
            Ok(MachineFacts { disk: Err(problem), .. }) => Err(LimaError::Look(problem)),
            _ => Ok(next),
        }
    }

    fn is_ordinary(&self, error: &LimaError) -> bool {
        matches!(error, LimaError::Act(error) if error.is_conflict())
    }
}
