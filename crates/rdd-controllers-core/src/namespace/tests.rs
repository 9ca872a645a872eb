use std::sync::Arc;
use std::time::Duration;

use rdd_admission::Chain;
use rdd_api::time::SystemClock;
use rdd_registry::Registry;
use rdd_store::{Location, Options, Store};
use tokio::sync::oneshot;

use super::*;

/// A server with the controller running; stopped in the end by its own handle.
struct Running {
    verbs: Verbs,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

async fn running() -> Running {
    let store = Store::open(Location::Memory, Options::default()).expect("memory opens");
    let verbs = Verbs::new(store, Arc::new(Registry::with_builtin_kinds()), Chain::default(), Arc::new(SystemClock));
    verbs.start().await.expect("starts");
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(run(verbs.clone(), async move {
        let _ = stopped.await;
    }));
    Running { verbs, stop, task }
}

impl Running {
    fn target(&self, resource: &str) -> Target {
        self.verbs.target(&GroupVersionResource::new("", "v1", resource)).expect("served")
    }

    async fn create(&self, resource: &str, namespace: &str, body: Value) {
        let target = self.target(resource).in_namespace(namespace);
        self.verbs.create(&caller(), &target, body, &WriteOptions::default()).await.expect("created");
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let wait = async {
            loop {
                let seen = self.verbs.revision();
                if holds() {
                    return;
                }
                self.verbs.changed_after(seen).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("never: {what}"));
    }

    async fn end(self) {
        drop(self.stop);
        self.task.await.expect("ends by itself");
    }
}

#[tokio::test]
async fn a_deleted_namespace_goes_with_its_contents() {
    let world = running().await;
    world.create("namespaces", "", json!({"metadata": {"name": "a"}})).await;
    world.create("configmaps", "a", json!({"metadata": {"name": "c"}})).await;
    world.create("configmaps", "default", json!({"metadata": {"name": "c"}})).await;
    let namespace = world.target("namespaces").named("a");
    world.verbs.delete(&caller(), &namespace, &DeleteOptions::default()).await.expect("deleted");
    world.until("gone", || world.verbs.get(&namespace).is_err()).await;
    assert!(world.verbs.get(&world.target("configmaps").in_namespace("a").named("c")).is_err());
    assert!(world.verbs.get(&world.target("configmaps").in_namespace("default").named("c")).is_ok());
    world.end().await;
}

#[tokio::test]
async fn contents_that_own_each_other_go_too() {
    let world = running().await;
    world.create("namespaces", "", json!({"metadata": {"name": "a"}})).await;
    let maps = world.target("configmaps").in_namespace("a");
    let owned_by = |name: &str, uid: &str| json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid}]);
    let uid = |name: &str| object::uid(&world.verbs.get(&maps.clone().named(name)).expect("there")).to_owned();
    world.create("configmaps", "a", json!({"metadata": {"name": "x", "finalizers": ["foregroundDeletion"]}})).await;
    let y = json!({"metadata": {"name": "y", "finalizers": ["orphan"], "ownerReferences": owned_by("x", &uid("x"))}});
    world.create("configmaps", "a", y).await;
    let patch = rdd_verbs::Patch::Merge(json!({"metadata": {"ownerReferences": owned_by("y", &uid("y"))}}));
    let options = WriteOptions::default();
    world.verbs.patch(&caller(), &maps.clone().named("x"), patch, &options).await.expect("patched");
    let namespace = world.target("namespaces").named("a");
    world.verbs.delete(&caller(), &namespace, &DeleteOptions::default()).await.expect("deleted");
    world.until("gone", || world.verbs.get(&namespace).is_err()).await;
    world.end().await;
}

#[tokio::test]
async fn finalizers_of_contents_are_waited_for_and_told() {
    let world = running().await;
    world.create("namespaces", "", json!({"metadata": {"name": "a"}})).await;
    world.create("configmaps", "a", json!({"metadata": {"name": "c", "finalizers": ["example.com/f"]}})).await;
    let namespace = world.target("namespaces").named("a");
    world.verbs.delete(&caller(), &namespace, &DeleteOptions::default()).await.expect("deleted");
    let told = || {
        let namespace = world.verbs.get(&namespace).expect("still there");
        let conditions = namespace.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
        conditions.iter().any(|c| {
            c["type"] == "NamespaceFinalizersRemaining"
                && c["message"]
                    == "Some content in the namespace has finalizers remaining: example.com/f in 1 resource instances"
        })
    };
    world.until("told", told).await;

    let contents = world.target("configmaps").in_namespace("a").named("c");
    let mut held = world.verbs.get(&contents).expect("held").into_value();
    assert!(object::is_terminating(&held));
    held["metadata"]["finalizers"] = json!([]);
    world.verbs.update(&caller(), &contents, held, &WriteOptions::default()).await.expect("let go");
    world.until("gone", || world.verbs.get(&namespace).is_err()).await;
    world.end().await;
}

#[tokio::test]
async fn nothing_is_left_behind_by_creates_that_race_with_the_deletion() {
    let world = running().await;
    for round in 0..10 {
        let name = format!("n{round}");
        world.create("namespaces", "", json!({"metadata": {"name": name}})).await;
        let target = world.target("configmaps").in_namespace(&name);
        let mut creates = tokio::task::JoinSet::new();
        for number in 0..20 {
            let (verbs, target) = (world.verbs.clone(), target.clone());
            creates.spawn(async move {
                let body = json!({"metadata": {"name": format!("c{number}")}});
                let _ = verbs.create(&caller(), &target, body, &WriteOptions::default()).await;
            });
        }
        let namespace = world.target("namespaces").named(&name);
        world.verbs.delete(&caller(), &namespace, &DeleteOptions::default()).await.expect("deleted");
        creates.join_all().await;
        world.until("gone", || world.verbs.get(&namespace).is_err()).await;
        let left = world.verbs.list(&target, &ListOptions::default()).await.expect("listed");
        assert!(left.items.is_empty(), "round {round}: {:?}", left.items);
    }
    world.end().await;
}
