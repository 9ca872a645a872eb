use rdd_api::object;
use rdd_verbs::{Patch, WriteOptions};
use serde_json::json;

use crate::world::{caller, world};

const WRITERS: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_of_many_writers_all_arrive() {
    let world = world().await;
    world.map("a").await;
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..WRITERS {
        let (verbs, target) = (world.verbs.clone(), world.maps().named("a"));
        writers.spawn(async move {
            let patch = Patch::Merge(json!({"data": {format!("k{number}"): "v"}}));
            verbs.patch(&caller(), &target, patch, &WriteOptions::default()).await.expect("patched");
        });
    }
    writers.join_all().await;
    let object = world.verbs.get(&world.maps().named("a")).expect("there");
    assert_eq!(object["data"].as_object().map(serde_json::Map::len), Some(WRITERS));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_updates_from_one_revision_one_wins() {
    let world = world().await;
    let made = world.map("a").await;
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..WRITERS {
        let (verbs, target) = (world.verbs.clone(), world.maps().named("a"));
        let mut body = made.clone().into_value();
        body["data"] = json!({"who": number.to_string()});
        writers.spawn(async move { verbs.update(&caller(), &target, body, &WriteOptions::default()).await });
    }
    let results = writers.join_all().await;
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 1);
    assert!(results.iter().filter_map(|r| r.as_ref().err()).all(|s| s.code == 409 && s.reason.0 == "Conflict"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_creates_of_one_name_one_wins() {
    let world = world().await;
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        let (verbs, target) = (world.verbs.clone(), world.maps());
        writers.spawn(async move {
            verbs.create(&caller(), &target, json!({"metadata": {"name": "a"}}), &WriteOptions::default()).await
        });
    }
    let results = writers.join_all().await;
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patch_with_a_test_is_judged_on_the_latest_state() {
    let world = world().await;
    world.create(&world.maps(), json!({"metadata": {"name": "a"}, "data": {"n": "0"}})).await;
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..WRITERS {
        let (verbs, target) = (world.verbs.clone(), world.maps().named("a"));
        writers.spawn(async move {
            let patch = Patch::Json(json!([{"op": "test", "path": "/data/n", "value": "0"},
                {"op": "replace", "path": "/data/n", "value": format!("{}", number + 1)}]));
            verbs.patch(&caller(), &target, patch, &WriteOptions::default()).await
        });
    }
    let results = writers.join_all().await;
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 1);
    let revision = object::resource_version(&world.verbs.get(&world.maps().named("a")).expect("there")).to_owned();
    assert_eq!(revision, world.revision().to_string());
}

#[tokio::test]
async fn a_write_goes_on_when_its_caller_goes_away() {
    let world = world().await;
    let crds = world.crds();
    let me = caller();
    let options = WriteOptions::default();
    let create = world.verbs.create(&me, &crds, crate::world::widget_crd(), &options);
    // Polled once, and dropped.
    let _ = tokio::time::timeout(std::time::Duration::ZERO, create).await;
    world.verbs.drain().await;
    let crd = world.verbs.get(&crds.named("widgets.example.com")).expect("made");
    assert!(rdd_registry::crd::is_established(&crd));
}
