//! What the tests of the engine stand on: a Lima home, a fake hostagent, a fake VM, images on demand.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rdd_driver_fake::FakeDriver;
use rdd_engine::{Engine, EngineConfig, Images, Machine, Phase, PrepareError, Timing, Wanted};
use rdd_host::process::Handle;
use rdd_machine::{MachineConfig, MachineName};
use rdd_machine_dir::{LogPolicy, MachineDir};
use rdd_template::HostFacts;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;

pub(crate) mod hostagent;

/// How long a test waits for anything before it gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Images that come at once, unless a machine's are held back or broken.
#[derive(Default)]
pub(crate) struct TestImages {
    held: Mutex<HashMap<String, Arc<Semaphore>>>,
    broken: Mutex<Option<String>>,
}

impl TestImages {
    /// Holds the images of a machine back until the semaphore has a permit.
    pub(crate) fn hold(&self, name: &str) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.held.lock().expect("no panic").insert(name.to_owned(), Arc::clone(&gate));
        gate
    }

    /// Makes all images fail, or come again.
    pub(crate) fn break_with(&self, error: Option<&str>) {
        *self.broken.lock().expect("no panic") = error.map(str::to_owned);
    }
}

#[async_trait]
impl Images for TestImages {
    async fn prepare(
        &self,
        config: &MachineConfig,
        dir: &MachineDir,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> Result<(), PrepareError> {
        progress("image: 50 %".to_owned());
        let gate = self.held.lock().expect("no panic").get(config.name.as_str()).cloned();
        if let Some(gate) = gate {
            gate.acquire().await.expect("never closed").forget();
        }
        if let Some(error) = self.broken.lock().expect("no panic").clone() {
            return Err(PrepareError(error));
        }
        if dir.disk().exists() {
            return Ok(());
        }
        std::fs::write(dir.disk(), b"a disk").map_err(|e| PrepareError(e.to_string()))
    }
}

/// A Lima home with an engine.
pub(crate) struct House {
    pub(crate) home: TempDir,
    pub(crate) images: Arc<TestImages>,
    pub(crate) engine: Engine,
}

impl House {
    pub(crate) fn new() -> Self {
        let home = tempfile::Builder::new().prefix("rdd").tempdir_in("/tmp").expect("a directory");
        let images = Arc::new(TestImages::default());
        let engine = engine(home.path(), Arc::clone(&images));
        Self { home, images, engine }
    }

    /// Replaces the engine, as a restart of the service does.
    pub(crate) fn renew_engine(&mut self) {
        self.engine = engine(self.home.path(), Arc::clone(&self.images));
    }

    pub(crate) fn machine(&self, name: &str) -> Machine {
        self.engine.machine(&MachineName::new(name).expect("a name"))
    }

    /// Makes a machine with further template text.
    pub(crate) async fn made(&self, name: &str, more: &str) -> Machine {
        let machine = self.machine(name);
        machine.want(Wanted::Exists(template(more).into()));
        until(&machine, |p| matches!(p, Phase::Created { .. })).await;
        machine.finish_creation().expect("finished");
        machine
    }

    /// Ends what runs, as every test must.
    pub(crate) async fn close(self) {
        for dir in rdd_machine_dir::list(self.home.path()).expect("listed") {
            let _gone = std::fs::remove_file(dir.file("misbehave"));
        }
        self.engine.stop_all(Duration::from_millis(300)).await;
        for dir in rdd_machine_dir::list(self.home.path()).expect("listed") {
            let found = rdd_machine_dir::inspect(&dir).expect("looked").expect("there");
            assert_eq!(found.standing, rdd_machine_dir::Standing::Stopped, "{} is left behind", dir.name());
        }
    }
}

/// A test that fails leaves no process behind either.
impl Drop for House {
    fn drop(&mut self) {
        for dir in rdd_machine_dir::list(self.home.path()).unwrap_or_default() {
            for socket in [dir.ha_sock(), dir.file("fake.sock")] {
                let peer = std::os::unix::net::UnixStream::connect(socket).and_then(|s| Handle::of_peer(&s));
                let _killed = peer.and_then(|p| p.kill());
            }
        }
    }
}

fn engine(home: &Path, images: Arc<TestImages>) -> Engine {
    let driver = FakeDriver::new(hostagent::this_program("vm_process"));
    Engine::new(EngineConfig {
        lima_home: home.to_owned(),
        hostagent: hostagent::this_program("hostagent_process"),
        debug: false,
        drivers: vec![Arc::new(driver)],
        images,
        host: HostFacts::detect(&["fake"]),
        logs: LogPolicy::default(),
        timing: Timing {
            first_sign: Duration::from_secs(2),
            release: Duration::from_millis(500),
            stop_margin: Duration::from_millis(500),
            force: Duration::from_secs(2),
            backoff_first: Duration::from_millis(50),
            backoff_limit: Duration::from_secs(60),
            stable_after: Duration::from_secs(60),
        },
    })
    .expect("an engine")
}

/// Returns a template for the fake driver.
pub(crate) fn template(more: &str) -> String {
    format!("vmType: fake\nimages:\n- location: /nowhere/image\nplain: true\n{more}\n")
}

pub(crate) const OFF: Wanted = Wanted::Off { grace: Duration::from_secs(5) };

/// Waits until the machine is in a phase, and returns that.
#[track_caller]
pub(crate) fn until<'a>(
    machine: &'a Machine,
    holds: impl Fn(&Phase) -> bool + Send + Sync + 'a,
) -> impl Future<Output = Phase> + Send + 'a {
    let caller = std::panic::Location::caller();
    async move {
        let mut seen = machine.watch();
        let waited = tokio::time::timeout(PATIENCE, seen.wait_for(|s| holds(&s.phase))).await;
        match waited {
            Ok(seen) => seen.expect("the machine's actor lives").phase.clone(),
            Err(_) => panic!("{caller}: gave up waiting; last seen: {:?}", machine.seen()),
        }
    }
}

/// Waits until the machine runs, and returns the number of the run.
pub(crate) async fn until_running(machine: &Machine) -> u64 {
    match until(machine, |p| matches!(p, Phase::Running { .. })).await {
        Phase::Running { run, .. } => run,
        _ => unreachable!("just seen"),
    }
}

/// Returns the machine's hostagent, as the peer of its socket.
pub(crate) async fn hostagent_of(machine: &Machine) -> Handle {
    let stream = UnixStream::connect(machine.dir().ha_sock()).await.expect("the hostagent listens");
    Handle::of_peer(&stream).expect("a peer")
}

/// Waits until the machine's hostagent answers no more. One that was paused may still answer for a
/// moment: the signal is on its way to its threads.
pub(crate) async fn until_silent(machine: &Machine) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let mut stream = UnixStream::connect(machine.dir().ha_sock()).await.expect("its socket is there");
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("the socket takes it");
        let answer = tokio::time::timeout(Duration::from_millis(200), stream.read_u8()).await;
        if answer.is_err() {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "the hostagent still answers");
    }
}
