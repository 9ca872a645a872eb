//! What is on disk is what the next process serves.

use rdd_api::object;
use rdd_registry::crd::is_established;
use rdd_store::{Expect, Key, Location, Options, Store};
use rdd_verbs::{ListOptions, WatchOptions};
use serde_json::json;

use crate::world::{names, told, widget_crd, world, world_over};

#[tokio::test]
async fn a_server_goes_on_where_it_was() {
    let dir = tempfile::tempdir().expect("a directory");
    let open = || Store::open(Location::File(dir.path().join("db")), Options::default()).expect("opens");
    let first = world_over(open(), Vec::new()).await;
    first.add_widgets().await;
    let made = first.create(&first.widgets(), json!({"metadata": {"name": "a"}, "spec": {"n": 2}})).await;
    let then = first.revision();
    first.create(&first.widgets(), json!({"metadata": {"name": "b"}})).await;
    first.delete(&first.widgets().named("b")).await;
    let last = first.revision();
    first.verbs.drain().await;
    first.store.close().await;

    let second = world_over(open(), Vec::new()).await;
    assert_eq!(second.revision(), last);
    assert_eq!(second.verbs.get(&second.widgets().named("a")).expect("there"), made);
    let options = WatchOptions { resource_version: then.to_string(), ..WatchOptions::default() };
    let mut watch = second.watch(&second.widgets(), &options).await;
    assert_eq!(told(&mut watch).await, "ADDED b");
    assert_eq!(told(&mut watch).await, "DELETED b");
    let exact = ListOptions {
        resource_version: (last - 1).to_string(),
        resource_version_match: "Exact".to_owned(),
        ..ListOptions::default()
    };
    assert_eq!(names(&second.list(&second.widgets(), &exact).await), ["a", "b"]);
    second.store.close().await;
}

#[tokio::test]
async fn a_crd_that_was_cut_off_halfway_is_finished() {
    let first = world().await;
    let mut crd = widget_crd();
    crd["metadata"]["uid"] = json!("u");
    crd["metadata"]["generation"] = json!(1);
    let key = Key::new("apiextensions.k8s.io", "customresourcedefinitions", None, "widgets.example.com");
    first.store.put(key, crd.to_string().into(), Expect::Absent, None).await.expect("written");
    let second = world_over(first.store.clone(), Vec::new()).await;
    let crd = second.verbs.get(&second.crds().named("widgets.example.com")).expect("there");
    assert!(is_established(&crd));
    let made = second.create(&second.widgets(), json!({"metadata": {"name": "w"}})).await;
    assert_eq!(object::api_version(&made), "example.com/v1");
}
