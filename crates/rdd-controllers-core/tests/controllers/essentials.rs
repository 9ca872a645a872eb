use std::sync::Arc;

use rdd_admission::{Admit, Attributes, Operation, Plugin, async_trait};
use rdd_api::{Status, object};
use rdd_controllers_core::essentials;
use rdd_verbs::Target;
use serde_json::{Value, json};

use crate::world::{World, world};

fn account(world: &World, namespace: &str) -> Target {
    world.target("serviceaccounts").in_namespace(namespace).named("default")
}

fn authority(world: &World, namespace: &str) -> Target {
    world.target("configmaps").in_namespace(namespace).named("kube-root-ca.crt")
}

async fn until_both(world: &World, namespace: &str) {
    let (account, authority) = (account(world, namespace), authority(world, namespace));
    world.until(&format!("{namespace} has both"), || world.there(&account) && world.there(&authority)).await;
}

fn run(world: &mut World, pem: &'static str) {
    world.run(|verbs, stop| essentials::run(verbs, pem.into(), stop));
}

async fn make(world: &World, namespace: &str) {
    world.create(&world.target("namespaces"), json!({"metadata": {"name": namespace}})).await;
}

#[tokio::test]
async fn every_namespace_has_an_account_and_the_authority() {
    let mut world = world(Vec::new()).await;
    make(&world, "before").await;
    run(&mut world, "PEM");
    make(&world, "after").await;
    for namespace in ["default", "kube-system", "kube-public", "kube-node-lease", "before", "after"] {
        until_both(&world, namespace).await;
    }
    let made = world.verbs.get(&authority(&world, "after")).expect("made");
    assert_eq!(made["data"], json!({"ca.crt": "PEM"}));
    world.stop().await;
}

#[tokio::test]
async fn what_is_deleted_comes_back() {
    let mut world = world(Vec::new()).await;
    run(&mut world, "PEM");
    until_both(&world, "default").await;
    for target in [account(&world, "default"), authority(&world, "default")] {
        let uid = |object: Option<Value>| object.map(|o| object::uid(&o).to_owned());
        let now = || uid(world.verbs.get(&target).ok().map(|o| o.into_value()));
        let before = now();
        world.delete(&target, "Background").await;
        world.until("another one is there", || now().is_some() && now() != before).await;
    }
    world.merge(&authority(&world, "default"), json!({"data": {"ca.crt": "forged", "more": "x"}})).await;
    let restored =
        || world.verbs.get(&authority(&world, "default")).is_ok_and(|o| o["data"] == json!({"ca.crt": "PEM"}));
    world.until("the authority is restored", restored).await;
    world.stop().await;
}

#[tokio::test]
async fn a_restart_writes_only_what_is_not_so() {
    let mut world = world(Vec::new()).await;
    run(&mut world, "PEM");
    let all = ["default", "kube-system", "kube-public", "kube-node-lease"];
    for namespace in all {
        until_both(&world, namespace).await;
    }
    world.stop().await;
    make(&world, "meanwhile").await;
    let before = world.verbs.revision();
    run(&mut world, "PEM");
    until_both(&world, "meanwhile").await;
    assert_eq!(world.verbs.revision(), before + 2);
    world.stop().await;
    // The server has another authority now.
    run(&mut world, "NEW");
    for namespace in all {
        let target = authority(&world, namespace);
        world.until("renewed", || world.verbs.get(&target).is_ok_and(|o| o["data"]["ca.crt"] == "NEW")).await;
    }
    world.stop().await;
}

#[tokio::test]
async fn a_terminating_namespace_is_left_to_go() {
    let mut world = world(Vec::new()).await;
    world.run(|verbs, stop| rdd_controllers_core::run(verbs, "PEM".into(), stop));
    for round in 0..10 {
        let name = format!("n{round}");
        make(&world, &name).await;
        if round % 2 == 0 {
            until_both(&world, &name).await;
        }
        let namespace = world.target("namespaces").named(name.clone());
        world.delete(&namespace, "Foreground").await;
        world.until_gone(&namespace).await;
        assert!(!world.there(&account(&world, &name)) && !world.there(&authority(&world, &name)));
    }
    world.stop().await;
}

/// Refuses everything new in the namespace `kube-public`.
struct Closed;

#[async_trait]
impl Plugin for Closed {
    fn name(&self) -> &str {
        "closed"
    }
    fn handles(&self, request: &Attributes) -> bool {
        request.operation == Operation::Create
            && request.resource.resource != "namespaces"
            && request.namespace.as_deref() == Some("kube-public")
    }
    async fn validate(&self, request: &Attributes, _context: &Admit) -> Result<(), Status> {
        Err(request.forbidden("closed"))
    }
}

#[tokio::test]
async fn one_that_fails_is_in_nobodys_way() {
    let mut world = world(vec![Arc::new(Closed)]).await;
    run(&mut world, "PEM");
    make(&world, "z").await;
    until_both(&world, "z").await;
    assert!(!world.there(&account(&world, "kube-public")));
    world.stop().await;
}
