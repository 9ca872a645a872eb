//! A server's verbs with nothing around them, and short ways to use them.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use rdd_admission::{Chain, Plugin};
use rdd_api::time::ManualClock;
use rdd_api::{GroupVersionResource, Status};
use rdd_registry::Registry;
use rdd_store::{Location, Options, Store};
use rdd_verbs::{
    Caller, DeleteOptions, Deleted, List, ListOptions, Object, Patch, Target, Verbs, WatchEvent, WatchOptions,
    WatchStream, WriteOptions, Written,
};
use serde_json::{Value, json};

pub(crate) struct World {
    pub(crate) verbs: Verbs,
    pub(crate) store: Store,
}

pub(crate) fn caller() -> Caller {
    Caller::system("tester")
}

pub(crate) async fn world() -> World {
    world_with(Vec::new()).await
}

pub(crate) async fn world_with(plugins: Vec<Arc<dyn Plugin>>) -> World {
    let store = Store::open(Location::Memory, Options::default()).expect("memory opens");
    world_over(store, plugins).await
}

pub(crate) async fn world_over(store: Store, plugins: Vec<Arc<dyn Plugin>>) -> World {
    let clock = ManualClock::new("2025-01-01T00:00:00Z".parse().expect("a time"));
    let registry = Arc::new(Registry::with_builtin_kinds());
    let verbs = Verbs::new(store.clone(), registry, Chain::new(plugins), Arc::new(clock));
    verbs.start().await.expect("starts");
    World { verbs, store }
}

/// A CRD for `widgets.example.com` with a status subresource.
pub(crate) fn widget_crd() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "selectableFields": [{"jsonPath": ".spec.color"}],
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "properties": {
                        "spec": {"type": "object", "properties": {
                            "n": {"type": "integer", "default": 1, "maximum": 10},
                            "color": {"type": "string"},
                            "list": {"type": "array", "items": {"type": "string"}},
                        }},
                        "status": {"type": "object", "properties": {"seen": {"type": "integer"}}},
                    },
                }},
            }],
        },
    })
}

impl World {
    /// `configmaps`, or `widgets.example.com/v1`.
    pub(crate) fn target(&self, resource: &str) -> Target {
        let gvr = match resource.split_once('.') {
            None => GroupVersionResource::new("", "v1", resource),
            Some((plural, rest)) => {
                let (group, version) = rest.split_once('/').unwrap_or((rest, "v1"));
                GroupVersionResource::new(group, version, plural)
            }
        };
        self.verbs.target(&gvr).expect("served")
    }

    pub(crate) fn crds(&self) -> Target {
        self.target("customresourcedefinitions.apiextensions.k8s.io")
    }

    /// ConfigMaps of the namespace `default`.
    pub(crate) fn maps(&self) -> Target {
        self.target("configmaps").in_namespace("default")
    }

    pub(crate) fn widgets(&self) -> Target {
        self.target("widgets.example.com").in_namespace("default")
    }

    pub(crate) async fn add_widgets(&self) -> Object {
        self.create(&self.crds(), widget_crd()).await
    }

    pub(crate) async fn try_create(&self, target: &Target, body: Value) -> Result<Written, Status> {
        self.verbs.create(&caller(), target, body, &WriteOptions::default()).await
    }

    pub(crate) async fn create(&self, target: &Target, body: Value) -> Object {
        self.try_create(target, body).await.expect("created").object
    }

    /// Creates a ConfigMap in `default`.
    pub(crate) async fn map(&self, name: &str) -> Object {
        self.create(&self.maps(), json!({"metadata": {"name": name}})).await
    }

    pub(crate) async fn try_update(&self, target: &Target, body: Value) -> Result<Written, Status> {
        self.verbs.update(&caller(), target, body, &WriteOptions::default()).await
    }

    pub(crate) async fn update(&self, target: &Target, body: Value) -> Object {
        self.try_update(target, body).await.expect("updated").object
    }

    pub(crate) async fn try_patch(&self, target: &Target, patch: Patch) -> Result<Written, Status> {
        self.verbs.patch(&caller(), target, patch, &WriteOptions::default()).await
    }

    pub(crate) async fn merge(&self, target: &Target, patch: Value) -> Object {
        self.try_patch(target, Patch::Merge(patch)).await.expect("patched").object
    }

    pub(crate) async fn delete(&self, target: &Target) -> Deleted {
        self.verbs.delete(&caller(), target, &DeleteOptions::default()).await.expect("deleted")
    }

    pub(crate) async fn list(&self, target: &Target, options: &ListOptions) -> List {
        self.verbs.list(target, options).await.expect("listed")
    }

    pub(crate) async fn watch(&self, target: &Target, options: &WatchOptions) -> WatchStream {
        self.verbs.watch(target, options).await.expect("watched")
    }

    /// Waits until something holds, with a deadline.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let wait = async {
            loop {
                // Read before the look, so that a change between the two is not slept through.
                let seen = self.revision();
                if holds() {
                    return;
                }
                self.verbs.changed_after(seen).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("never: {what}"));
    }

    pub(crate) fn revision(&self) -> u64 {
        self.verbs.revision()
    }
}

pub(crate) fn names(list: &List) -> Vec<&str> {
    list.items.iter().map(|o| rdd_api::object::name(o)).collect()
}

/// Returns the next event, as `ADDED a`, with a deadline.
pub(crate) async fn told(stream: &mut WatchStream) -> String {
    match next(stream).await {
        None => "END".to_owned(),
        Some(event) => tell(&event),
    }
}

pub(crate) async fn next(stream: &mut WatchStream) -> Option<WatchEvent> {
    tokio::time::timeout(Duration::from_secs(20), stream.next()).await.expect("an event, or the end, in time")
}

pub(crate) fn tell(event: &WatchEvent) -> String {
    let name = |o: &Object| rdd_api::object::name(o).to_owned();
    match event {
        WatchEvent::Added(o) => format!("ADDED {}", name(o)),
        WatchEvent::Modified(o) => format!("MODIFIED {}", name(o)),
        WatchEvent::Deleted(o) => format!("DELETED {}", name(o)),
        WatchEvent::Bookmark { initial_events_end, .. } => {
            (if *initial_events_end { "BOOKMARK end" } else { "BOOKMARK" }).to_owned()
        }
        WatchEvent::Error(status) => format!("ERROR {} {}", status.code, status.message),
    }
}

/// Checks code, reason and message of a failure.
pub(crate) fn check<T>(result: Result<T, Status>, code: u16, reason: &str, message: &str) -> Status {
    let Err(status) = result else { panic!("expected a failure: {message}") };
    assert_eq!((status.code, status.reason.0.as_ref(), status.message.as_str()), (code, reason, message));
    status
}
