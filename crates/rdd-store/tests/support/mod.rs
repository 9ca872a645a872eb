//! What the suites share: stores in both places, and a child that runs one test of this binary.

#![expect(dead_code, reason = "each suite uses its part")]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rdd_store::{Event, Key, Location, Options, Store, Watch};
use tempfile::TempDir;

/// How long a test waits for what must come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A place for a store, which outlives the store.
pub(crate) struct Place {
    pub(crate) location: Location,
    pub(crate) directory: TempDir,
}

impl Place {
    pub(crate) fn file() -> Place {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Place { location: Location::File(directory.path().join("state.db")), directory }
    }

    pub(crate) fn memory() -> Place {
        Place { location: Location::Memory, directory: tempfile::tempdir().expect("a temporary directory") }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("state.db")
    }

    pub(crate) fn open(&self) -> Store {
        self.open_with(Options::default())
    }

    pub(crate) fn open_with(&self, options: Options) -> Store {
        Store::open(self.location.clone(), options).expect("the store opens")
    }
}

/// Runs the same test over a file and in memory.
pub(crate) fn both<F: Future<Output = ()>>(test: impl Fn(Place) -> F) {
    for place in [Place::file(), Place::memory()] {
        run(test(place));
    }
}

pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(test);
}

pub(crate) fn key(name: &str) -> Key {
    Key::new("", "configmaps", Some("default"), name)
}

/// Returns the next event, or says where the watch stood.
pub(crate) async fn next(watch: &mut Watch) -> Arc<Event> {
    match tokio::time::timeout(DEADLINE, watch.next()).await {
        Ok(event) => event.expect("the watch goes on"),
        Err(_) => panic!("no event came: {watch:?}"),
    }
}

/// Starts this test binary again, to run one ignored test with its output on a pipe.
pub(crate) fn child(test: &str, environment: &[(&str, &str)]) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("our own path"));
    arguments(&mut command, test, environment);
    command.spawn().expect("the child starts")
}

pub(crate) fn arguments(command: &mut Command, test: &str, environment: &[(&str, &str)]) {
    command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
    command.envs(environment.iter().copied()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
}
