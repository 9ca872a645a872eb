use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use rdd_admission::{Admit, Attributes, Operation, Plugin, async_trait};
use rdd_api::{Status, object};
use rdd_controllers_core::gc;
use rdd_verbs::Target;
use serde_json::{Value, json};

use crate::world::{World, owner, world};

async fn running() -> World {
    let mut world = world(Vec::new()).await;
    world.run(gc::run);
    world
}

fn named(name: &str, world: &World) -> Target {
    world.maps().named(name)
}

/// Shows, by an object that is collected, that the collector has seen everything up to now, and more than once.
async fn settled(world: &World) {
    for round in 0..3 {
        let name = format!("sentinel-{round}");
        let gone = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "never", "uid": "never"});
        world.owned(&world.maps(), &name, &[gone]).await;
        world.until_gone(&named(&name, world)).await;
    }
}

#[tokio::test]
async fn what_an_owner_leaves_behind_is_collected() {
    let mut world = running().await;
    world.add_kind("widgets", "Widget", "Namespaced").await;
    let widgets = world.target("widgets.example.com").in_namespace("default");
    let root = world.create(&widgets, json!({"metadata": {"name": "root"}})).await;
    let child = world.owned(&world.maps(), "child", &[owner(&root)]).await;
    world.owned(&world.target("secrets").in_namespace("default"), "grandchild", &[owner(&child)]).await;
    world.owned(&world.maps(), "other", &[]).await;
    world.delete(&widgets.named("root"), "Background").await;
    world.until_gone(&named("child", &world)).await;
    world.until_gone(&world.target("secrets").in_namespace("default").named("grandchild")).await;
    assert!(world.there(&named("other", &world)));
    world.stop().await;
}

#[tokio::test]
async fn a_cluster_scoped_owner_owns_in_every_namespace() {
    let mut world = running().await;
    world.add_kind("clusters", "Cluster", "Cluster").await;
    let clusters = world.target("clusters.example.com");
    let cluster = world.create(&clusters, json!({"metadata": {"name": "c"}})).await;
    world.owned(&world.maps(), "a", &[owner(&cluster)]).await;
    world.owned(&clusters, "dependent", &[owner(&cluster)]).await;
    settled(&world).await;
    assert!(world.there(&named("a", &world)));
    world.delete(&clusters.clone().named("c"), "Background").await;
    world.until_gone(&named("a", &world)).await;
    world.until_gone(&clusters.named("dependent")).await;
    world.stop().await;
}

#[tokio::test]
async fn one_living_owner_is_enough() {
    let mut world = running().await;
    let (a, b) = (world.owned(&world.maps(), "a", &[]).await, world.owned(&world.maps(), "b", &[]).await);
    let child = world.owned(&world.maps(), "child", &[owner(&a), owner(&b)]).await;
    let target = named("child", &world);
    world.delete(&named("a", &world), "Background").await;
    world.until("the dangling reference is gone", || world.owners(&target) == ["b"]).await;
    // A foreground deletion does not take what somebody else owns either, nor wait for it.
    let c = world.owned(&world.maps(), "c", &[]).await;
    world.merge(&target, json!({"metadata": {"ownerReferences": [owner(&b), owner(&c)]}})).await;
    world.delete(&named("c", &world), "Foreground").await;
    world.until_gone(&named("c", &world)).await;
    assert_eq!(world.owners(&target), ["b"]);
    assert_eq!(object::uid(&world.verbs.get(&target).expect("it lives")), object::uid(&child));
    world.stop().await;
}

#[tokio::test]
async fn a_namesake_is_no_owner() {
    let mut world = world(Vec::new()).await;
    let old = world.owned(&world.maps(), "owner", &[]).await;
    world.owned(&world.maps(), "child", &[owner(&old)]).await;
    world.delete(&named("owner", &world), "Background").await;
    let new = world.owned(&world.maps(), "owner", &[]).await;
    world.owned(&world.maps(), "stays", &[owner(&new)]).await;
    // All of that happened while no collector ran.
    world.run(gc::run);
    world.until_gone(&named("child", &world)).await;
    settled(&world).await;
    assert!(world.there(&named("stays", &world)) && world.there(&named("owner", &world)));
    world.stop().await;
}

#[tokio::test]
async fn a_foreground_deletion_ends_with_the_owner() {
    let mut world = running().await;
    let root = world.owned(&world.maps(), "root", &[]).await;
    let child = world.owned(&world.maps(), "child", &[owner(&root)]).await;
    let held = json!({"name": "held", "finalizers": ["example.com/f"], "ownerReferences": [owner(&child)]});
    world.create(&world.maps(), json!({"metadata": held})).await;
    let mut loose = owner(&root);
    loose["blockOwnerDeletion"] = json!(false);
    let metadata = json!({"name": "loose", "finalizers": ["example.com/f"], "ownerReferences": [loose]});
    world.create(&world.maps(), json!({"metadata": metadata})).await;

    world.delete(&named("root", &world), "Foreground").await;
    let terminating = |name: &str| world.verbs.get(&named(name, &world)).is_ok_and(|o| object::is_terminating(&o));
    world.until("all wait", || ["root", "child", "held", "loose"].into_iter().all(terminating)).await;
    settled(&world).await;
    assert!(world.there(&named("root", &world)) && world.there(&named("child", &world)));
    let marked = world.verbs.get(&named("child", &world)).expect("it waits");
    assert_eq!(object::finalizers(&marked).collect::<Vec<_>>(), ["foregroundDeletion"], "it has a dependent itself");
    // Who comes now goes, too.
    world.owned(&world.maps(), "late", &[owner(&root)]).await;
    world.until_gone(&named("late", &world)).await;

    world.merge(&named("held", &world), json!({"metadata": {"finalizers": null}})).await;
    world.until_gone(&named("root", &world)).await;
    assert!(!world.there(&named("child", &world)) && !world.there(&named("held", &world)));
    assert!(world.there(&named("loose", &world)), "what does not block is not waited for");
    world.stop().await;
}

#[tokio::test]
async fn an_orphaning_deletion_leaves_the_dependents() {
    let mut world = running().await;
    let (a, b) = (world.owned(&world.maps(), "a", &[]).await, world.owned(&world.maps(), "b", &[]).await);
    for number in 0..100 {
        let both = [owner(&a), owner(&b)];
        world.owned(&world.maps(), &format!("child-{number}"), &both[..1 + number % 2]).await;
    }
    world.delete(&named("a", &world), "Orphan").await;
    world.until_gone(&named("a", &world)).await;
    settled(&world).await;
    for number in 0..100 {
        let left: &[&str] = if number % 2 == 0 { &[] } else { &["b"] };
        assert_eq!(world.owners(&named(&format!("child-{number}"), &world)), left, "{number}");
    }
    world.stop().await;
}

#[tokio::test]
async fn deletions_without_dependents_do_not_wait() {
    let mut world = running().await;
    for policy in ["Orphan", "Foreground"] {
        world.owned(&world.maps(), "a", &[]).await;
        world.delete(&named("a", &world), policy).await;
        world.until_gone(&named("a", &world)).await;
    }
    world.stop().await;
}

#[tokio::test]
async fn an_owner_of_another_namespace_is_none() {
    let mut world = running().await;
    world.create(&world.target("namespaces"), json!({"metadata": {"name": "other"}})).await;
    let other = world.target("configmaps").in_namespace("other");
    let there = world.create(&other, json!({"metadata": {"name": "owner"}})).await;
    let child = world.owned(&world.maps(), "child", &[owner(&there)]).await;
    world.until_gone(&named("child", &world)).await;
    assert!(world.there(&other.clone().named("owner")));
    let events = world.target("events").in_namespace("default");
    let list = world.verbs.list(&events, &rdd_verbs::ListOptions::default()).await.expect("listed");
    let [event] = list.items.as_slice() else { panic!("{:?}", list.items) };
    assert_eq!(
        (&event["reason"], &event["involvedObject"]["name"]),
        (&json!("OwnerRefInvalidNamespace"), &json!("child"))
    );
    let uid = object::uid(&there);
    let text = format!(
        "ownerRef [v1/ConfigMap, namespace: default, name: owner, uid: {uid}] does not exist in namespace \"default\""
    );
    assert_eq!(
        (event["message"].as_str(), event["involvedObject"]["uid"].as_str()),
        (Some(&*text), Some(object::uid(&child)))
    );
    // It is not waited for either.
    world.owned(&world.maps(), "child", &[owner(&there)]).await;
    world.delete(&other.clone().named("owner"), "Foreground").await;
    world.until_gone(&other.named("owner")).await;
    world.stop().await;
}

#[tokio::test]
async fn cluster_scoped_objects_have_no_owners_in_namespaces() {
    let mut world = running().await;
    world.add_kind("clusters", "Cluster", "Cluster").await;
    let clusters = world.target("clusters.example.com");
    let map = world.owned(&world.maps(), "owner", &[]).await;
    world.owned(&clusters, "c", &[owner(&map)]).await;
    world.delete(&named("owner", &world), "Foreground").await;
    world.until_gone(&named("owner", &world)).await;
    settled(&world).await;
    let left = world.verbs.get(&clusters.named("c")).expect("nobody can say that its owner is gone");
    assert!(!object::is_terminating(&left));
    world.stop().await;
}

#[tokio::test]
async fn circles_do_not_wait_for_themselves() {
    let mut world = running().await;
    for (length, deleted) in [(1, 1), (2, 1), (2, 2), (3, 1), (3, 3), (7, 2)] {
        let name = |at: usize| format!("ring-{}", at % length);
        let mut made = Vec::new();
        for at in 0..length {
            made.push(world.owned(&world.maps(), &name(at), &[]).await);
        }
        for (at, made) in made.iter().enumerate() {
            let target = named(&name(at + 1), &world);
            world.merge(&target, json!({"metadata": {"ownerReferences": [owner(made)]}})).await;
        }
        let targets: Vec<Target> = (0..length).map(|at| named(&name(at), &world)).collect();
        join_all(targets[..deleted].iter().map(|target| world.delete(target, "Foreground"))).await;
        for target in &targets {
            world.until_gone(target).await;
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn what_was_begun_is_finished_after_a_restart() {
    let mut world = world(Vec::new()).await;
    for policy in ["Foreground", "Orphan"] {
        let root = world.owned(&world.maps(), "root", &[]).await;
        world.owned(&world.maps(), &format!("child-{}", policy.to_lowercase()), &[owner(&root)]).await;
        world.delete(&named("root", &world), policy).await;
        assert!(world.there(&named("root", &world)), "it waits for a collector");
        for _ in 0..2 {
            world.run(gc::run);
            world.until_gone(&named("root", &world)).await;
            world.stop().await;
        }
        assert_eq!(world.there(&named(&format!("child-{}", policy.to_lowercase()), &world)), policy == "Orphan");
    }
}

#[tokio::test]
async fn kinds_come_and_go() {
    let mut world = running().await;
    world.run(|verbs, stop| verbs.run_custom_kinds(stop));
    world.add_kind("widgets", "Widget", "Namespaced").await;
    let widgets = world.target("widgets.example.com").in_namespace("default");
    let made = world.create(&widgets, json!({"metadata": {"name": "w"}})).await;
    world.owned(&world.maps(), "of-the-widget", &[owner(&made)]).await;
    let crd = world.target("customresourcedefinitions.apiextensions.k8s.io").named("widgets.example.com");
    world.delete(&crd, "Background").await;
    world.until_gone(&named("of-the-widget", &world)).await;
    world.until_gone(&crd).await;

    // Whether such an owner lives nobody can say, until its kind is there.
    let unknown = json!({"apiVersion": "example.com/v1", "kind": "Widget", "name": "x", "uid": "x"});
    world.owned(&world.maps(), "of-the-unknown", &[unknown]).await;
    settled(&world).await;
    assert!(world.there(&named("of-the-unknown", &world)));
    world.add_kind("widgets", "Widget", "Namespaced").await;
    world.until_gone(&named("of-the-unknown", &world)).await;
    world.stop().await;
}

/// Refuses so many deletions of `child`.
struct Refusing(AtomicUsize);

#[async_trait]
impl Plugin for Refusing {
    fn name(&self) -> &str {
        "refusing"
    }
    fn handles(&self, request: &Attributes) -> bool {
        request.operation == Operation::Delete && request.name == "child"
    }
    async fn validate(&self, request: &Attributes, _context: &Admit) -> Result<(), Status> {
        let left = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_ok() { Err(request.forbidden("not yet")) } else { Ok(()) }
    }
}

#[tokio::test]
async fn a_refused_deletion_is_tried_again() {
    let refusing = Arc::new(Refusing(AtomicUsize::new(2)));
    let mut world = world(vec![refusing.clone()]).await;
    world.run(gc::run);
    let root = world.owned(&world.maps(), "root", &[]).await;
    world.owned(&world.maps(), "child", &[owner(&root)]).await;
    world.delete(&named("root", &world), "Background").await;
    world.until_gone(&named("child", &world)).await;
    assert_eq!(refusing.0.load(Ordering::SeqCst), 0);
    world.stop().await;
}

#[tokio::test]
async fn what_is_in_order_is_left_alone() {
    let mut world = running().await;
    let root = world.owned(&world.maps(), "root", &[]).await;
    world.owned(&world.maps(), "child", &[owner(&root)]).await;
    settled(&world).await;
    let before = world.verbs.revision();
    world.stop().await;
    world.run(gc::run);
    world.merge(&named("child", &world), json!({"data": {"a": "b"}})).await;
    settled(&world).await;
    // Three sentinels came and went beside the patch.
    assert_eq!(world.verbs.revision(), before + 1 + 6);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_dependents_are_no_burden() {
    const MANY: usize = 5000;
    let mut world = running().await;
    let root = world.owned(&world.maps(), "root", &[]).await;
    let reference = owner(&root);
    for batch in (0..MANY).collect::<Vec<_>>().chunks(500) {
        join_all(batch.iter().map(|number| {
            let (maps, references) = (world.maps(), [reference.clone()]);
            let world = &world;
            async move { world.owned(&maps, &format!("child-{number}"), &references).await }
        }))
        .await;
    }
    let start = Instant::now();
    world.delete(&named("root", &world), "Foreground").await;
    world.until_gone(&named("root", &world)).await;
    let left = world.names(&world.maps()).await;
    assert!(left.is_empty(), "{} are left", left.len());
    // Measured at a few seconds without optimisation; whoever looked at all of them for each would take minutes.
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    world.stop().await;
}

#[tokio::test]
async fn events_are_nobodys_dependents() {
    let mut world = running().await;
    let events = world.target("events").in_namespace("default");
    let gone = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "never", "uid": "never"});
    let body: Value = json!({
        "metadata": {"name": "e", "ownerReferences": [gone]},
        "involvedObject": {"kind": "ConfigMap", "name": "a", "namespace": "default"},
    });
    world.create(&events, body).await;
    settled(&world).await;
    assert!(world.there(&events.clone().named("e")));
    world.delete(&events.clone().named("e"), "Foreground").await;
    assert!(!world.there(&events.named("e")), "they do not wait either");
    world.stop().await;
}
