//! Floor 50. What was acknowledged is there after any crash: the real service, killed at random moments under load.
//!
//! Many clients create, patch and delete over HTTPS while the service, a child of this test, is killed through its
//! handle and started again. After each start every acknowledged write is there at its revision, what was under way
//! happened wholly or not at all, no revision was given out twice, and a watch that goes on from the last revision it
//! saw missed nothing.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, ResourceExt};
use rand::RngExt;
use rdd_testkit::{Home, wait_until};
use tokio::sync::watch;

const ROUNDS: usize = 4;
const CLIENTS: usize = 6;
const WRITERS_PER_CLIENT: usize = 4;
const PATIENCE: Duration = Duration::from_secs(30);

/// The running service; whatever ends the test ends it too.
struct Service(Child);

impl Service {
    /// Starts the service and returns when it answers that it is ready.
    fn start(home: &Home, runtime: &tokio::runtime::Runtime) -> Self {
        // The file of the service before would lead to nobody, or to somebody else.
        let _ = std::fs::remove_file(home.kubeconfig());
        let mut command = home.rdd_command(&["svc", "serve"]);
        let log = std::fs::File::options().append(true).create(true).open(home.path().join("serve.log"));
        let child = command.stdout(Stdio::null()).stderr(log.expect("a log")).spawn().expect("rdd runs");
        let service = Self(child);
        wait_until("the service is ready", PATIENCE, || {
            let client = client(home, runtime)?;
            let request = http::Request::get("/readyz").body(Vec::new()).expect("a request");
            runtime.block_on(client.request_text(request)).map(drop).map_err(|error| error.to_string())
        });
        service
    }

    fn kill(mut self) {
        self.0.kill().expect("it is our child");
        self.0.wait().expect("it is our child");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn client(home: &Home, runtime: &tokio::runtime::Runtime) -> Result<Client, String> {
    let text = std::fs::read_to_string(home.kubeconfig()).map_err(|error| error.to_string())?;
    let kubeconfig = Kubeconfig::from_yaml(&text).map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|e| e.to_string())?;
        Client::try_from(config).map_err(|error| error.to_string())
    })
}

/// One state of an object: its value, and the revision that wrote it.
type State = Option<(u64, u64)>;

/// What the writers know to be so.
#[derive(Default)]
struct Book {
    /// What was acknowledged last, by name; `None` for deleted.
    acknowledged: BTreeMap<String, State>,
    /// Writes whose answer never came: the value they wanted, `None` to delete.
    in_doubt: BTreeMap<String, Option<u64>>,
    /// Every acknowledged write that has a revision of its own in its answer: revision, name, value.
    written: Vec<(u64, String, u64)>,
    values: u64,
}

impl Book {
    fn next_value(&mut self) -> u64 {
        self.values += 1;
        self.values
    }
}

fn state(map: &ConfigMap) -> (u64, u64) {
    let value = map.data.as_ref().and_then(|data| data.get("v")).and_then(|v| v.parse().ok()).unwrap_or_default();
    (value, map.resource_version().expect("a revision").parse().expect("a number"))
}

/// Writes until an answer does not come.
async fn write(client: Client, book: Arc<Mutex<Book>>, writer: String) {
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    loop {
        let name = format!("{writer}-{}", rand::rng().random_range(0..6));
        let (known, value) = {
            let mut book = book.lock().expect("no panic");
            (book.acknowledged.get(&name).copied().flatten(), book.next_value())
        };
        let data = BTreeMap::from([("v".to_owned(), value.to_string())]);
        let (wanted, outcome) = match known {
            None => {
                let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
                let map = ConfigMap { metadata, data: Some(data), ..ConfigMap::default() };
                (Some(value), api.create(&PostParams::default(), &map).await.map(Some))
            }
            Some(_) if rand::rng().random_bool(0.25) => {
                (None, api.delete(&name, &DeleteParams::default()).await.map(|_| None))
            }
            Some(_) => {
                let patch = Patch::Merge(serde_json::json!({ "data": data }));
                (Some(value), api.patch(&name, &PatchParams::default(), &patch).await.map(Some))
            }
        };
        let mut book = book.lock().expect("no panic");
        match outcome {
            Ok(map) => {
                let state = map.as_ref().map(state);
                if let Some((value, revision)) = state {
                    book.written.push((revision, name.clone(), value));
                }
                book.acknowledged.insert(name, state);
            }
            Err(kube::Error::Api(status)) => panic!("{name} is this writer's alone, and yet: {status:?}"),
            Err(_) => {
                book.in_doubt.insert(name, wanted);
                return;
            }
        }
    }
}

/// What a watch saw: revision, name and, unless deleted, value.
type Seen = Vec<(u64, String, Option<u64>)>;

/// Follows from the revision given, through as many services as come; tells each event.
async fn follow(mut clients: watch::Receiver<Option<Client>>, mut revision: u64, seen: watch::Sender<Seen>) {
    loop {
        let Some(client) = clients.borrow_and_update().clone() else { return };
        let api: Api<ConfigMap> = Api::default_namespaced(client);
        let parameters = WatchParams::default().disable_bookmarks();
        let stream = api.watch(&parameters, &revision.to_string()).await;
        if let Ok(mut stream) = stream.map(Box::pin) {
            while let Ok(Some(event)) = stream.try_next().await {
                let (map, is_there) = match event {
                    WatchEvent::Added(map) | WatchEvent::Modified(map) => (map, true),
                    WatchEvent::Deleted(map) => (map, false),
                    WatchEvent::Bookmark(_) => continue,
                    WatchEvent::Error(status) => panic!("resumed from {revision}: {status:?}"),
                };
                let (value, at) = state(&map);
                assert!(at > revision, "{at} comes after {revision}");
                revision = at;
                seen.send_modify(|seen| seen.push((at, map.name_any(), is_there.then_some(value))));
            }
        }
        if clients.changed().await.is_err() {
            return;
        }
    }
}

/// Compares what is there with what the book says, and takes over how doubts ended.
async fn audit(client: &Client, book: &Mutex<Book>) {
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let list = api.list(&ListParams::default()).await.expect("a list");
    let mut there: BTreeMap<String, (u64, u64)> =
        list.items.iter().map(|map| (map.name_any(), state(map))).filter(|(name, _)| name.starts_with('w')).collect();
    let revision: u64 = list.metadata.resource_version.expect("a revision").parse().expect("a number");
    let mut book = book.lock().expect("no panic");
    let newest = book.written.iter().map(|(revision, ..)| *revision).max().unwrap_or(0);
    assert!(revision >= newest, "the store went back from {newest} to {revision}");
    let in_doubt = std::mem::take(&mut book.in_doubt);
    for (name, wanted) in in_doubt {
        let found = there.get(&name).copied();
        let known = book.acknowledged.get(&name).copied().flatten();
        let happened = found.map(|(value, _)| value) == wanted && found.is_none_or(|(_, at)| at > newest_of(known));
        assert!(found == known || happened, "{name}: wanted {wanted:?} over {known:?}, found {found:?}");
        book.acknowledged.insert(name, found);
    }
    for (name, known) in &book.acknowledged {
        assert_eq!(there.remove(name), *known, "{name}");
    }
    assert!(there.is_empty(), "nobody wrote {there:?}");
}

fn newest_of(state: State) -> u64 {
    state.map_or(0, |(_, revision)| revision)
}

#[test]
fn nothing_acknowledged_is_lost_by_kills() {
    let home = Home::new();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let book = Arc::new(Mutex::new(Book::default()));
    let (give_client, clients) = watch::channel(None);
    let (tell, seen) = watch::channel(Seen::new());
    let mut follower = None;

    for round in 0..=ROUNDS {
        let service = Service::start(&home, &runtime);
        let client = client(&home, &runtime).expect("a client");
        give_client.send_replace(Some(client.clone()));
        let follower = follower.get_or_insert_with(|| {
            let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
            let list = runtime.block_on(api.list(&ListParams::default())).expect("a list");
            let revision = list.metadata.resource_version.expect("a revision").parse().expect("a number");
            runtime.spawn(follow(clients.clone(), revision, tell.clone()))
        });
        runtime.block_on(audit(&client, &book));
        if round == ROUNDS {
            // The watch is through when it has seen a write that came after all others.
            let last = runtime.block_on(async {
                let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
                let metadata = ObjectMeta { name: Some("last".to_owned()), ..ObjectMeta::default() };
                let map = ConfigMap { metadata, ..ConfigMap::default() };
                state(&api.create(&PostParams::default(), &map).await.expect("created")).1
            });
            let mut seen = seen.clone();
            let through = seen.wait_for(|seen| seen.last().is_some_and(|(at, ..)| *at >= last));
            let through = runtime.block_on(async { tokio::time::timeout(PATIENCE, through).await.map(drop) });
            assert!(through.is_ok(), "the watch is not through; finished: {}", follower.is_finished());
            break;
        }
        let acknowledged = book.lock().expect("no panic").written.len();
        let writers: Vec<_> = (0..CLIENTS)
            .flat_map(|c| (0..WRITERS_PER_CLIENT).map(move |w| (c, w)))
            .scan(None, |connection, (c, w)| {
                if w == 0 {
                    *connection = Some(self::client(&home, &runtime).expect("a client"));
                }
                let client = connection.clone().expect("made for the first");
                Some(runtime.spawn(write(client, Arc::clone(&book), format!("w{c}{w}"))))
            })
            .collect();
        // Any moment is as good as another, as long as something is going on.
        wait_until("writes are acknowledged", PATIENCE, || {
            let now = book.lock().expect("no panic").written.len();
            if now >= acknowledged + 50 { Ok(()) } else { Err(now) }
        });
        std::thread::sleep(Duration::from_millis(rand::rng().random_range(0..400)));
        service.kill();
        for writer in writers {
            runtime.block_on(writer).expect("no writer panics");
        }
    }

    let book = book.lock().expect("no panic");
    let seen: BTreeMap<u64, (String, Option<u64>)> =
        seen.borrow().iter().map(|(revision, name, value)| (*revision, (name.clone(), *value))).collect();
    for (revision, name, value) in &book.written {
        assert_eq!(seen.get(revision), Some(&(name.clone(), Some(*value))), "the watch at {revision}");
    }
    let mut revisions: Vec<u64> = book.written.iter().map(|(revision, ..)| *revision).collect();
    let count = revisions.len();
    revisions.sort_unstable();
    revisions.dedup();
    assert_eq!(revisions.len(), count, "a revision was given out twice");
    // What the watch told last of each object is what is there.
    let told: BTreeMap<&String, Option<u64>> = seen.values().map(|(name, value)| (name, *value)).collect();
    for (name, state) in &book.acknowledged {
        assert_eq!(told.get(name).copied().flatten(), state.map(|(value, _)| value), "the watch on {name}");
    }
}
