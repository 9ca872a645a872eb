//! What the tests of the bridge stand on: an API server in this process, the controller, the engine,
//! real hostagents and fake VMs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use rdd_api::condition;
use rdd_api::limavm::{CRD, LimaVmStatus, TEMPLATE_KEY, template_configmap_name};
use rdd_apiserver::{ApiServer, UserInfo};
use rdd_controllers_lima::kinds::{LimaVm, all_limavms, limavms};
use rdd_controllers_lima::{GracePeriods, LimaController, LimaVmAdmission, NameLocks, TemplateAdmission};
use rdd_driver_fake::FakeDriver;
use rdd_engine::{CachedImages, Engine, EngineConfig, Timing};
use rdd_host::process::Handle;
use rdd_hostagent::HostagentArgs;
use rdd_machine::{Driver, MachineName};
use rdd_machine_dir::{LogPolicy, MachineDir};
use rdd_reconcile::k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use rdd_reconcile::k8s_openapi::api::events::v1::Event;
use rdd_reconcile::kube::api::{DeleteParams, ListParams, PostParams};
use rdd_reconcile::kube::runtime::WatchStreamExt;
use rdd_reconcile::kube::runtime::watcher::{self, watcher};
use rdd_reconcile::{Api, CancellationToken, Client, ClientError, ObjectMeta, Patch, PatchParams};
use rdd_template::HostFacts;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// How long a test waits for anything before it gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// Returns the command that runs the test `test` of this program with further words.
fn this_program(test: &str) -> Vec<OsString> {
    let program = std::env::current_exe().expect("this program has a path").into_os_string();
    vec![program, "--exact".into(), test.into(), "--nocapture".into(), "--".into()]
}

/// Returns the words after `--`, if this process was started by [`this_program`].
pub(crate) fn words() -> Option<Vec<OsString>> {
    let mut words = std::env::args_os().skip_while(|w| w != "--");
    words.next()?;
    Some(words.collect())
}

fn drivers() -> Vec<Arc<dyn Driver>> {
    vec![Arc::new(FakeDriver::new(this_program("vm_process")))]
}

/// Runs a real hostagent with the fake driver, and returns its exit status.
pub(crate) fn hostagent(words: &[OsString]) -> i32 {
    let value = |flag: &str| {
        let at = words.iter().position(|w| w == flag)?;
        words.get(at + 1).map(PathBuf::from)
    };
    let name = words.last().and_then(|n| n.to_str()).expect("a name");
    let args = HostagentArgs {
        name: MachineName::new(name).expect("a machine's name"),
        lima_home: PathBuf::from(std::env::var_os("LIMA_HOME").expect("the Lima home")),
        pid_file: value("--pidfile"),
        socket: value("--socket").expect("a socket"),
        debug: false,
        timing: rdd_hostagent::Timing::default(),
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    match runtime.block_on(rdd_hostagent::run(&args, &drivers())) {
        Ok(_) => 0,
        Err(_) => 1,
    }
}

/// An API server with everything that LimaVMs need.
pub(crate) struct World {
    pub(crate) home: TempDir,
    pub(crate) client: Client,
    pub(crate) engine: Engine,
    server: ApiServer,
    locks: NameLocks,
    controller: Option<(JoinHandle<()>, CancellationToken)>,
}

impl World {
    /// Makes the world and starts the controller.
    pub(crate) async fn new() -> Self {
        let mut world = Self::without_controller().await;
        world.start_controller();
        world
    }

    pub(crate) async fn without_controller() -> Self {
        let home = tempfile::Builder::new().prefix("rdd").tempdir_in("/tmp").expect("a directory");
        std::fs::write(home.path().join("image.raw"), vec![0; 1 << 20]).expect("written");
        let engine = engine(home.path());
        let locks = NameLocks::default();
        let definition = rdd_schema::yaml::parse(CRD).expect("the CRD is YAML");
        let server = ApiServer::builder()
            .definition(definition)
            .plugin(Arc::new(LimaVmAdmission::new(home.path().join("lima"), locks.clone())))
            .plugin(Arc::new(TemplateAdmission::new(engine.templates().clone())))
            .start()
            .await
            .expect("a server");
        let client = Client::new(server.service(UserInfo::system_masters("test")), "default");
        Self { home, client, engine, server, locks, controller: None }
    }

    pub(crate) fn start_controller(&mut self) {
        let grace = GracePeriods { stop: Duration::from_secs(10), delete: Duration::from_secs(10) };
        let controller = LimaController::new(self.client.clone(), self.engine.clone(), self.locks.clone(), grace);
        let stop = CancellationToken::new();
        self.controller = Some((tokio::spawn(controller.run(stop.clone())), stop));
    }

    pub(crate) async fn stop_controller(&mut self) {
        if let Some((task, stop)) = self.controller.take() {
            stop.cancel();
            task.await.expect("the controller ends in order");
        }
    }

    /// Replaces engine and controller, as a service does that was killed and started again.
    pub(crate) async fn restart_service(&mut self) {
        self.stop_controller().await;
        self.engine.leave_all().await;
        self.engine = engine(self.home.path());
        self.start_controller();
    }

    /// Ends what runs, as every test must.
    pub(crate) async fn close(mut self) {
        self.engine.stop_all(Duration::from_secs(2)).await;
        self.stop_controller().await;
        self.server.clone().shutdown().await;
    }

    /// Returns a template that can run here.
    pub(crate) fn template(&self, more: &str) -> String {
        let image = self.home.path().join("image.raw");
        format!("vmType: fake\nimages:\n- location: {}\ndisk: 4MiB\n{more}\n", image.display())
    }

    pub(crate) fn limavms(&self, namespace: &str) -> Api<LimaVm> {
        limavms(&self.client, namespace)
    }

    pub(crate) fn configmaps(&self, namespace: &str) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub(crate) fn dir(&self, name: &str) -> MachineDir {
        MachineDir::new(&self.home.path().join("lima"), &MachineName::new(name).expect("a name"))
    }

    pub(crate) async fn make_namespace(&self, name: &str) {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        Api::all(self.client.clone()).create(&PostParams::default(), &namespace).await.expect("made");
    }

    pub(crate) async fn make_template(&self, namespace: &str, name: &str, text: &str) {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let data = Some([(TEMPLATE_KEY.to_owned(), text.to_owned())].into());
        let map = ConfigMap { metadata, data, ..ConfigMap::default() };
        self.configmaps(namespace).create(&PostParams::default(), &map).await.expect("made");
    }

    /// Creates a LimaVM from the template `source` of the same namespace.
    pub(crate) async fn create(
        &self,
        namespace: &str,
        name: &str,
        source: &str,
        running: bool,
    ) -> Result<(), ClientError> {
        self.create_with(namespace, name, source, running, &PostParams::default()).await
    }

    pub(crate) async fn create_with(
        &self,
        namespace: &str,
        name: &str,
        source: &str,
        running: bool,
        options: &PostParams,
    ) -> Result<(), ClientError> {
        let vm = json!({
            "apiVersion": "lima.rancherdesktop.io/v1alpha1", "kind": "LimaVM",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"templateRef": {"name": source}, "running": running},
        });
        let vm: LimaVm = serde_json::from_value(vm).expect("a LimaVM");
        self.limavms(namespace).create(options, &vm).await.map(drop)
    }

    pub(crate) async fn patch(&self, name: &str, patch: &Value) {
        let patched = self.limavms("default").patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.expect("patched");
    }

    pub(crate) async fn set_running(&self, name: &str, running: bool) {
        self.patch(name, &json!({"spec": {"running": running}})).await;
    }

    /// Replaces the text of the VM's own template.
    pub(crate) async fn edit(&self, name: &str, text: &str) -> Result<ConfigMap, ClientError> {
        let patch = json!({"data": {TEMPLATE_KEY: text}});
        let copy = template_configmap_name(name);
        self.configmaps("default").patch(&copy, &PatchParams::default(), &Patch::Merge(&patch)).await
    }

    pub(crate) async fn delete(&self, name: &str) {
        self.limavms("default").delete(name, &DeleteParams::default()).await.expect("accepted");
    }

    pub(crate) async fn status(&self, name: &str) -> LimaVmStatus {
        self.limavms("default").get(name).await.expect("it exists").status.unwrap_or_default()
    }

    /// Waits until the status is as wanted, and returns it.
    pub(crate) async fn until(&self, name: &str, what: &str, holds: impl Fn(&LimaVmStatus) -> bool) -> LimaVmStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status(name).await;
            if holds(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "gave up waiting until {what}; last seen: {status:#?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn until_running(&self, name: &str, count: i32) -> LimaVmStatus {
        let what = format!("{name} runs for the {count}th time");
        self.until(name, &what, |s| s.restart_count >= count && is(s, "Running", "True", "Started")).await
    }

    pub(crate) async fn until_stopped(&self, name: &str) -> LimaVmStatus {
        self.until(name, &format!("{name} is stopped"), |s| is(s, "Running", "False", "Stopped")).await
    }

    pub(crate) async fn until_gone(&self, name: &str) {
        let deadline = Instant::now() + PATIENCE;
        while let Some(vm) = self.limavms("default").get_opt(name).await.expect("asked") {
            assert!(Instant::now() < deadline, "gave up waiting until {name} is gone; last seen: {vm:#?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for an event about a changed condition; events are recorded after the change itself.
    pub(crate) async fn until_told(&self, name: &str, action: &str, note: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let told = self.events(name).await;
            if told.iter().any(|(a, n)| a == action && n.starts_with(note)) {
                return;
            }
            assert!(Instant::now() < deadline, "no event {action} {note:?} in {told:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns action and note of the events about changed conditions of a LimaVM.
    pub(crate) async fn events(&self, name: &str) -> Vec<(String, String)> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), "default");
        let listed = api.list(&ListParams::default()).await.expect("listed");
        let about = |e: &Event| e.regarding.as_ref().and_then(|r| r.name.as_deref()) == Some(name);
        let told = listed.items.into_iter().filter(|e| about(e) && e.reason.as_deref() == Some("ConditionChanged"));
        told.map(|e| (e.action.unwrap_or_default(), e.note.unwrap_or_default())).collect()
    }

    /// Records the status of a LimaVM at every change from now on.
    pub(crate) fn record(&self, name: &str) -> Recording {
        let api = all_limavms(&self.client);
        let name = name.to_owned();
        let (sender, changes) = tokio::sync::mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let mut events = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
            while let Some(event) = events.next().await {
                if let Ok(watcher::Event::Apply(vm) | watcher::Event::InitApply(vm)) = event
                    && vm.metadata.name.as_deref() == Some(&name)
                {
                    let _ended = sender.send(vm.status.unwrap_or_default());
                }
            }
        });
        Recording { task, changes, last: None }
    }

    /// Kills the process that listens on a socket of the machine.
    pub(crate) async fn kill(&self, socket: &Path) {
        let stream = tokio::net::UnixStream::connect(socket).await.expect("it listens");
        Handle::of_peer(&stream).expect("a peer").kill().expect("killed");
    }

    pub(crate) fn vm_pid(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir(name).driver_pid("fake")).expect("a VM runs")
    }
}

/// A test that fails leaves no process behind either.
impl Drop for World {
    fn drop(&mut self) {
        for dir in rdd_machine_dir::list(&self.home.path().join("lima")).unwrap_or_default() {
            for socket in [dir.ha_sock(), dir.file("fake.sock")] {
                let peer = std::os::unix::net::UnixStream::connect(socket).and_then(|s| Handle::of_peer(&s));
                let _killed = peer.and_then(|p| p.kill());
            }
        }
    }
}

/// What a LimaVM's status was, one after the other.
pub(crate) struct Recording {
    task: JoinHandle<()>,
    changes: tokio::sync::mpsc::UnboundedReceiver<LimaVmStatus>,
    last: Option<String>,
}

impl Recording {
    /// Waits for the next states of `Running`, each change once, as `status/reason`.
    pub(crate) async fn sees(&mut self, expected: &[&str]) {
        let mut seen: Vec<String> = Vec::new();
        while seen.len() < expected.len() {
            let next = tokio::time::timeout(PATIENCE, self.changes.recv()).await;
            let Ok(Some(status)) = next else { panic!("gave up waiting for {expected:?}; seen: {seen:?}") };
            if let Some(c) = condition::find(&status.conditions, "Running") {
                let text = format!("{}/{}", c.status, c.reason);
                if self.last.as_ref() != Some(&text) {
                    self.last = Some(text.clone());
                    seen.push(text);
                }
            }
        }
        assert_eq!(seen, expected);
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn engine(home: &Path) -> Engine {
    Engine::new(EngineConfig {
        lima_home: home.join("lima"),
        hostagent: this_program("hostagent_process"),
        debug: false,
        drivers: drivers(),
        images: Arc::new(CachedImages(rdd_image::Cache::new(home.join("cache")))),
        host: HostFacts::detect(&["fake"]),
        logs: LogPolicy::default(),
        timing: Timing {
            backoff_first: Duration::from_millis(100),
            backoff_limit: Duration::from_secs(2),
            ..Timing::default()
        },
    })
    .expect("an engine")
}

/// Returns whether a condition is as said.
pub(crate) fn is(status: &LimaVmStatus, kind: &str, value: &str, reason: &str) -> bool {
    condition::find(&status.conditions, kind).is_some_and(|c| c.status == value && c.reason == reason)
}

/// Returns the message of a condition.
pub(crate) fn message(status: &LimaVmStatus, kind: &str) -> String {
    condition::find(&status.conditions, kind).map(|c| c.message.clone()).unwrap_or_default()
}

/// Returns what the API says to a refused request.
pub(crate) fn refusal(result: Result<impl Sized, ClientError>) -> (u16, String) {
    match result {
        Err(ClientError::Api(status)) => (status.code, status.message),
        Err(other) => panic!("not an API error: {other}"),
        Ok(_) => panic!("it was accepted"),
    }
}
