use rdd_api::object;
use rdd_store::Expect;
use rdd_verbs::{Patch, WriteOptions};
use serde_json::{Value, json};

use crate::world::{caller, check, world};

const MODIFIED: &str = "the object has been modified; please apply your changes to the latest version and try again";

#[tokio::test]
async fn an_object_grows_no_further_than_a_body_can() {
    let world = world().await;
    world.add_widgets().await;
    let target = world.widgets().named("w");
    let large = "x".repeat(2 * 1024 * 1024);
    let finalizers = json!(["example.com/a"]);
    let body = json!({"metadata": {"name": "w", "finalizers": finalizers}, "spec": {"color": large}});
    world.create(&world.widgets(), body.clone()).await;
    let before = world.revision();
    let message = "Request entity too large: limit is 3145728";
    let more = json!({"spec": {"list": [large]}});
    for dry_run in [true, false] {
        let options = WriteOptions { dry_run, ..WriteOptions::default() };
        let patched = world.verbs.patch(&caller(), &target, Patch::Merge(more.clone()), &options).await;
        check(patched, 413, "RequestEntityTooLarge", message);
    }
    let twice = json!({"metadata": {"name": "v"}, "spec": {"color": large, "list": [large]}});
    check(world.try_create(&world.widgets(), twice).await, 413, "RequestEntityTooLarge", message);
    assert_eq!(world.revision(), before);

    // One that an older server let grow can be made smaller, and can go.
    let key = rdd_store::Key::new("example.com", "widgets", Some("default"), "w");
    let entry = world.store.snapshot().get(&key).expect("there");
    let mut stored: Value = serde_json::from_slice(&entry.bytes).expect("JSON");
    stored["spec"]["list"] = json!([large, "y"]);
    world.store.put(key, stored.to_string().into(), Expect::Revision(entry.revision), None).await.expect("put");
    // More than its managed fields, which give way first.
    let grown = Patch::Merge(json!({"metadata": {"annotations": {"a": "b".repeat(4096)}}}));
    check(world.try_patch(&target, grown).await, 413, "RequestEntityTooLarge", message);
    let smaller = world.merge(&target, json!({"spec": {"list": [large]}})).await;
    assert_eq!(smaller["spec"]["list"].as_array().map(Vec::len), Some(1));
    world.delete(&target).await;
    world.merge(&target, json!({"metadata": {"finalizers": null}})).await;
    assert!(world.verbs.get(&target).is_err());
}

#[tokio::test]
async fn identity_stays_and_the_revision_must_fit() {
    let world = world().await;
    let made = world.map("a").await;
    let target = world.maps().named("a");
    let mut body = made.clone().into_value();
    body["data"] = json!({"k": "1"});
    body["metadata"]["creationTimestamp"] = json!("2000-01-01T00:00:00Z");
    let changed = world.update(&target, body.clone()).await;
    assert_eq!(changed["metadata"]["creationTimestamp"], "2025-01-01T00:00:00Z");
    assert_eq!(object::uid(&changed), object::uid(&made));
    assert_ne!(object::resource_version(&changed), object::resource_version(&made));

    let message = format!("Operation cannot be fulfilled on configmaps \"a\": {MODIFIED}");
    check(world.try_update(&target, body.clone()).await, 409, "Conflict", &message);
    // ConfigMaps may be replaced without looking.
    body["metadata"] = json!({"name": "a"});
    body["data"] = json!({"k": "2"});
    let changed = world.update(&target, body.clone()).await;
    assert_eq!(object::uid(&changed), object::uid(&made));

    body["metadata"] = json!({"name": "a", "uid": "other"});
    let status = world.try_update(&target, body.clone()).await.expect_err("another uid");
    assert_eq!((status.code, status.reason.0.as_ref()), (409, "Conflict"));
    assert!(status.message.contains("Precondition failed: UID in precondition: other, UID in object meta: "));

    body["metadata"] = json!({"name": "b"});
    check(
        world.try_update(&target, body).await,
        400,
        "BadRequest",
        "the name of the object (b) does not match the name on the URL (a)",
    );
    let gone = world.maps().named("gone");
    check(
        world.try_update(&gone, json!({"metadata": {"name": "gone"}})).await,
        404,
        "NotFound",
        "configmaps \"gone\" not found",
    );
}

#[tokio::test]
async fn some_kinds_want_a_revision_and_some_are_made_by_put() {
    let world = world().await;
    world.add_widgets().await;
    world.create(&world.widgets(), json!({"metadata": {"name": "w"}})).await;
    let status = check(
        world.try_update(&world.widgets().named("w"), json!({"metadata": {"name": "w"}})).await,
        422,
        "Invalid",
        "widgets.example.com \"w\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update",
    );
    assert_eq!(status.details.expect("details").kind, "widgets");

    let lease = world.target("leases.coordination.k8s.io").in_namespace("default").named("l");
    let body = json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "me", "leaseDurationSeconds": 5}});
    let written = world.try_update(&lease, body).await.expect("made");
    assert!(written.created);
    let held = written.object.into_value();
    world.delete(&lease).await;
    let status = world.try_update(&lease, held).await.expect_err("it was somebody's lease, and is not any more");
    assert_eq!(status.code, 409);
    world.try_update(&lease, json!({"metadata": {"name": "l"}})).await.expect("made anew");
    let status = world
        .try_update(&lease, json!({"metadata": {"name": "l"}, "spec": {"leaseDurationSeconds": 0}}))
        .await
        .expect_err("no revision");
    assert_eq!(status.code, 422);
}

#[tokio::test]
async fn a_write_that_changes_nothing_makes_no_revision() {
    let world = world().await;
    let made =
        world.create(&world.maps(), json!({"metadata": {"name": "a", "labels": {"x": "y"}}, "data": {"k": "v"}})).await;
    let before = world.revision();
    let target = world.maps().named("a");
    let same = world.update(&target, made.clone().into_value()).await;
    assert_eq!(same, made);
    let same =
        world.update(&target, json!({"metadata": {"name": "a", "labels": {"x": "y"}}, "data": {"k": "v"}})).await;
    assert_eq!(same, made);
    let same = world.merge(&target, json!({"data": {"k": "v"}})).await;
    assert_eq!(same, made);
    assert_eq!(world.revision(), before);
}

#[tokio::test]
async fn generation_counts_what_is_wanted() {
    let world = world().await;
    world.add_widgets().await;
    let target = world.widgets().named("w");
    let made = world
        .create(&world.widgets(), json!({"metadata": {"name": "w"}, "spec": {"n": 2}, "status": {"seen": 1}}))
        .await;
    assert_eq!((object::generation(&made), made.get("status")), (1, None));

    let labelled = world.merge(&target, json!({"metadata": {"labels": {"a": "b"}}})).await;
    assert_eq!(object::generation(&labelled), 1);
    let changed = world.merge(&target, json!({"spec": {"n": 3}, "status": {"seen": 9}})).await;
    assert_eq!((object::generation(&changed), changed.get("status")), (2, None));

    let status = target.clone().subresource("status");
    let mut body = changed.clone().into_value();
    body["status"] = json!({"seen": 5});
    body["spec"] = json!({"n": 9});
    body["metadata"]["labels"] = json!({"not": "taken"});
    let seen = world.update(&status, body).await;
    assert_eq!(seen["status"], json!({"seen": 5}));
    assert_eq!((object::generation(&seen), &seen["spec"]["n"]), (2, &json!(3)));
    assert_eq!(seen["metadata"]["labels"], json!({"a": "b"}));

    let main = world.merge(&target, json!({"status": {"seen": 6}})).await;
    assert_eq!(main["status"], json!({"seen": 5}));
    let scale = world.verbs.get(&target.clone().subresource("scale"));
    check(scale, 404, "NotFound", "widgets.example.com \"w\" not found");
    let none = world.maps().named("a").subresource("status");
    assert_eq!(world.verbs.get(&none).expect_err("no such subresource").code, 404);
}

#[tokio::test]
async fn a_dry_run_keeps_the_revision() {
    let world = world().await;
    let made = world.map("a").await;
    let before = world.revision();
    let options = WriteOptions { dry_run: true, ..WriteOptions::default() };
    let body = json!({"metadata": {"name": "a"}, "data": {"k": "v"}});
    let written = world.verbs.update(&caller(), &world.maps().named("a"), body, &options).await.expect("fine");
    assert_eq!(written.object["data"], json!({"k": "v"}));
    assert_eq!(object::resource_version(&written.object), object::resource_version(&made));
    assert_eq!(world.revision(), before);
}

#[tokio::test]
async fn immutable_config_maps_stay() {
    let world = world().await;
    world.create(&world.maps(), json!({"metadata": {"name": "a"}, "data": {"k": "v"}, "immutable": true})).await;
    check(
        world
            .try_update(
                &world.maps().named("a"),
                json!({"metadata": {"name": "a"}, "data": {"k": "w"}, "immutable": true}),
            )
            .await,
        422,
        "Invalid",
        "ConfigMap \"a\" is invalid: data: Forbidden: field is immutable when `immutable` is set",
    );
}
