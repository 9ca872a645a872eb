//! The machine room, as the control plane holds it: the engine, and what the API must know of it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use rdd_api::limavm::{CRD, condition};
use rdd_apiserver::Builder;
use rdd_controllers_lima::kinds::{LimaVm, all_limavms};
use rdd_controllers_lima::{GracePeriods, LimaController, LimaVmAdmission, NameLocks, TemplateAdmission};
use rdd_engine::{Engine, EngineConfig, EngineError, Images, Timing};
use rdd_host::environment;
use rdd_host::instance::Paths;
use rdd_machine::Driver;
use rdd_machine_dir::LogPolicy;
use rdd_reconcile::Client;
use rdd_reconcile::kube::runtime::{WatchStreamExt as _, watcher};
use rdd_template::HostFacts;

/// The name of the controller.
pub(crate) const CONTROLLER: &str = "limavm";

/// How long guests have to power off when the service stops; all at the same time.
const GRACE: Duration = Duration::from_secs(60);
/// How long the controller may then take to tell that they are off.
const TELLING: Duration = Duration::from_secs(5);

/// What the program knows of machines.
#[derive(Clone)]
pub struct MachineOptions {
    /// The hypervisors there are.
    pub drivers: Vec<Arc<dyn Driver>>,
    /// Where disks and kernels come from.
    pub images: Arc<dyn Images>,
    /// The program and the first arguments of a hostagent.
    pub hostagent: Vec<OsString>,
    /// Whether hostagents log in detail.
    pub debug: bool,
}

impl std::fmt::Debug for MachineOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MachineOptions").field("hostagent", &self.hostagent).finish_non_exhaustive()
    }
}

/// Why there are no machines.
#[derive(Debug, thiserror::Error)]
pub enum MachinesError {
    /// The engine could not start.
    #[error("cannot start the engine")]
    Engine(#[source] EngineError),
    /// Where logs go could not be told.
    #[error("cannot use the log directory {path}")]
    LogDir {
        /// The directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// The machine room.
pub(crate) struct Machines {
    engine: Engine,
    locks: NameLocks,
    lima_home: PathBuf,
}

impl Machines {
    /// Opens the room. Machines that run are not touched before somebody wants something of them.
    pub(crate) fn open(paths: &Paths, options: &MachineOptions) -> Result<Machines, MachinesError> {
        let names: Vec<&str> = options.drivers.iter().map(|driver| driver.vm_type()).collect();
        let log_dir = std::path::absolute(&paths.log_dir)
            .map_err(|source| MachinesError::LogDir { path: paths.log_dir.clone(), source })?;
        let config = EngineConfig {
            lima_home: paths.lima_home.clone(),
            hostagent: options.hostagent.clone(),
            debug: options.debug,
            host: HostFacts::detect(&names),
            drivers: options.drivers.clone(),
            images: Arc::clone(&options.images),
            logs: LogPolicy {
                keep_all: environment::keep_logs(),
                title: environment::get_text(environment::LOG_TITLE),
                preserve_in: Some(log_dir),
            },
            timing: Timing::default(),
        };
        let engine = Engine::new(config).map_err(MachinesError::Engine)?;
        Ok(Machines { engine, locks: NameLocks::default(), lima_home: paths.lima_home.clone() })
    }

    /// Adds to the API what machines need: the kind, and who refuses what cannot become one.
    pub(crate) fn extend(&self, builder: Builder) -> Builder {
        let definition = rdd_schema::yaml::parse(CRD).expect("a text of ours that tests read");
        builder
            .definition(definition)
            .plugin(Arc::new(LimaVmAdmission::new(self.lima_home.clone(), self.locks.clone())))
            .plugin(Arc::new(TemplateAdmission::new(self.engine.templates().clone())))
    }

    /// Returns the controller.
    pub(crate) fn controller(&self, client: Client) -> LimaController {
        LimaController::new(client, self.engine.clone(), self.locks.clone(), GracePeriods::default())
    }

    /// Stops every machine, all at the same time, and waits until the API tells so.
    pub(crate) async fn stop_all(&self, client: &Client) {
        self.engine.stop_all(GRACE).await;
        if tokio::time::timeout(TELLING, told_off(client)).await.is_err() {
            tracing::warn!("not every LimaVM tells that its machine is off");
        }
    }
}

/// Returns when no LimaVM tells that it runs.
async fn told_off(client: &Client) {
    let mut running = std::collections::HashSet::new();
    let mut is_complete = false;
    let mut events = std::pin::pin!(watcher(all_limavms(client), watcher::Config::default()).default_backoff());
    while let Ok(Some(event)) = events.try_next().await {
        match event {
            watcher::Event::Init => {}
            watcher::Event::InitApply(vm) | watcher::Event::Apply(vm) => {
                let uid = vm.metadata.uid.clone();
                if is_running(&vm) {
                    running.insert(uid)
                } else {
                    running.remove(&uid)
                };
            }
            watcher::Event::Delete(vm) => {
                running.remove(&vm.metadata.uid);
            }
            watcher::Event::InitDone => is_complete = true,
        }
        if is_complete && running.is_empty() {
            return;
        }
    }
}

fn is_running(vm: &LimaVm) -> bool {
    let conditions = vm.status.iter().flat_map(|status| &status.conditions);
    conditions.filter(|c| c.kind == condition::RUNNING).any(|c| c.status == "True")
}
