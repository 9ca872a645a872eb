//! A server's verbs, controllers over them that can be stopped and started, and short ways to use both.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rdd_admission::{Chain, Plugin};
use rdd_api::time::SystemClock;
use rdd_api::{GroupVersionResource, object};
use rdd_registry::Registry;
use rdd_store::{Location, Options, Store};
use rdd_verbs::{Caller, DeleteOptions, ListOptions, Object, Patch, Target, Verbs, WriteOptions};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) struct World {
    pub(crate) verbs: Verbs,
    controllers: JoinSet<()>,
    stop: CancellationToken,
}

pub(crate) fn caller() -> Caller {
    Caller::system("tester")
}

/// A server without controllers.
pub(crate) async fn world(plugins: Vec<Arc<dyn Plugin>>) -> World {
    let store = Store::open(Location::Memory, Options::default()).expect("memory opens");
    let registry = Arc::new(Registry::with_builtin_kinds());
    let verbs = Verbs::new(store, registry, Chain::new(plugins), Arc::new(SystemClock));
    verbs.start().await.expect("starts");
    World { verbs, controllers: JoinSet::new(), stop: CancellationToken::new() }
}

pub(crate) type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

impl World {
    /// Runs a controller.
    pub(crate) fn run<F: Future<Output = ()> + Send + 'static>(&mut self, controller: impl FnOnce(Verbs, Stop) -> F) {
        let stop: Stop = Box::pin(self.stop.clone().cancelled_owned());
        self.controllers.spawn(controller(self.verbs.clone(), stop));
    }

    /// Stops the controllers, each of which must end by itself.
    pub(crate) async fn stop(&mut self) {
        self.stop.cancel();
        let ended = async {
            while let Some(ended) = self.controllers.join_next().await {
                ended.expect("a controller ends in good order");
            }
        };
        tokio::time::timeout(Duration::from_secs(20), ended).await.expect("controllers stop when told");
        self.stop = CancellationToken::new();
    }

    /// `configmaps`, or `widgets.example.com`.
    pub(crate) fn target(&self, resource: &str) -> Target {
        let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
        self.verbs.target(&GroupVersionResource::new(group, "v1", plural)).expect("served")
    }

    /// ConfigMaps of the namespace `default`.
    pub(crate) fn maps(&self) -> Target {
        self.target("configmaps").in_namespace("default")
    }

    pub(crate) async fn create(&self, target: &Target, body: Value) -> Object {
        self.verbs.create(&caller(), target, body, &WriteOptions::default()).await.expect("created").object
    }

    /// Creates an object with owners.
    pub(crate) async fn owned(&self, target: &Target, name: &str, owners: &[Value]) -> Object {
        self.create(target, json!({"metadata": {"name": name, "ownerReferences": owners}})).await
    }

    pub(crate) async fn merge(&self, target: &Target, patch: Value) -> Object {
        let options = WriteOptions::default();
        self.verbs.patch(&caller(), target, Patch::Merge(patch), &options).await.expect("patched").object
    }

    pub(crate) async fn delete(&self, target: &Target, policy: &str) {
        let options = DeleteOptions { propagation_policy: Some(policy.to_owned()), ..DeleteOptions::default() };
        self.verbs.delete(&caller(), target, &options).await.expect("deleted");
    }

    /// Makes a kind `Widget`, or another one of that pattern.
    pub(crate) async fn add_kind(&self, plural: &str, kind: &str, scope: &str) {
        let schema = json!({"openAPIV3Schema": {"type": "object"}});
        let body = json!({
            "metadata": {"name": format!("{plural}.example.com")},
            "spec": {
                "group": "example.com", "scope": scope, "names": {"plural": plural, "kind": kind},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}],
            },
        });
        self.create(&self.target("customresourcedefinitions.apiextensions.k8s.io"), body).await;
    }

    pub(crate) fn there(&self, target: &Target) -> bool {
        self.verbs.get(target).is_ok()
    }

    pub(crate) fn owners(&self, target: &Target) -> Vec<String> {
        let object = self.verbs.get(target).expect("it is there");
        let list = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        list.into_iter().flatten().map(|o| o["name"].as_str().expect("a name").to_owned()).collect()
    }

    pub(crate) async fn names(&self, target: &Target) -> Vec<String> {
        let list = self.verbs.list(target, &ListOptions::default()).await.expect("listed");
        list.items.iter().map(|o| object::name(o).to_owned()).collect()
    }

    /// Waits until something holds, with a deadline.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let wait = async {
            loop {
                // Read before the look, so that a change between the two is not slept through.
                let seen = self.verbs.revision();
                if holds() {
                    return;
                }
                self.verbs.changed_after(seen).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap_or_else(|_| panic!("never: {what}"));
    }

    pub(crate) async fn until_gone(&self, target: &Target) {
        self.until(&format!("{:?} is gone", target.name), || !self.there(target)).await;
    }
}

/// Returns a reference to an owner that a foreground deletion of the owner waits for.
pub(crate) fn owner(object: &Object) -> Value {
    json!({
        "apiVersion": object::api_version(object), "kind": object::kind(object), "name": object::name(object),
        "uid": object::uid(object), "blockOwnerDeletion": true,
    })
}
