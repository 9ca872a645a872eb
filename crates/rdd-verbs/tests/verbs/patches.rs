use rdd_api::object;
use rdd_verbs::{FieldValidation, Patch, WriteOptions};
use serde_json::json;

use crate::world::{caller, check, world};

#[tokio::test]
async fn each_kind_of_patch_is_applied() {
    let world = world().await;
    let target = world.maps().named("a");
    let body = json!({"metadata": {"name": "a", "finalizers": ["example.com/a"]}, "data": {"x": "1", "y": "2"}});
    world.create(&world.maps(), body).await;
    let merged = world.merge(&target, json!({"data": {"x": null, "z": "3"}})).await;
    assert_eq!(merged["data"], json!({"y": "2", "z": "3"}));

    let patch = Patch::Json(json!([{"op": "test", "path": "/data/y", "value": "2"},
        {"op": "replace", "path": "/data/y", "value": "9"}]));
    let patched = world.try_patch(&target, patch).await.expect("patched").object;
    assert_eq!(patched["data"], json!({"y": "9", "z": "3"}));

    // The strategic patch merges finalizers as a set, where the merge patch would replace them.
    let patch = Patch::Strategic(json!({"metadata": {"finalizers": ["example.com/b"]}, "data": {"y": null}}));
    let patched = world.try_patch(&target, patch).await.expect("patched").object;
    assert_eq!(patched["metadata"]["finalizers"], json!(["example.com/a", "example.com/b"]));
    assert_eq!(patched["data"], json!({"z": "3"}));
}

#[tokio::test]
async fn no_patch_makes_an_object_that_cannot_be_read() {
    let world = world().await;
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let version = json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
    let body = json!({
        "metadata": {"name": "frees.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "frees", "kind": "Free"},
            "versions": [version],
        },
    });
    world.create(&world.crds(), body).await;
    let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!({"a": inner}));
    let target = world.target("frees.example.com").in_namespace("default");
    world.create(&target, json!({"metadata": {"name": "f"}, "x": nested(110)})).await;
    let one = target.named("f");
    let before = world.verbs.get(&one).expect("there");
    let below = format!("/x{}/b", "/a".repeat(109));
    for value in [nested(10), nested(100)] {
        let patch = Patch::Json(json!([{"op": "add", "path": below, "value": value}]));
        let code = world.try_patch(&one, patch).await.expect_err("too deep").code;
        assert!(code == 400 || code == 413, "{code}");
    }
    assert_eq!(world.verbs.get(&one).expect("there"), before);
    let shallow = Patch::Json(json!([{"op": "add", "path": below, "value": nested(5)}]));
    world.try_patch(&one, shallow).await.expect("patched");
}

#[tokio::test]
async fn patches_that_do_not_fit_are_refused() {
    let world = world().await;
    world.add_widgets().await;
    world.create(&world.widgets(), json!({"metadata": {"name": "w"}})).await;
    let made = world.map("a").await;
    let target = world.maps().named("a");
    let failed = Patch::Json(json!([{"op": "test", "path": "/data/y", "value": "2"}]));
    check(
        world.try_patch(&target, failed).await,
        422,
        "Invalid",
        "the server rejected our request due to an error in our request",
    );
    assert_eq!(world.try_patch(&target, Patch::Merge(json!([]))).await.expect_err("no object").code, 400);
    assert_eq!(world.try_patch(&target, Patch::Json(json!({}))).await.expect_err("no list").code, 400);
    let renamed = Patch::Merge(json!({"metadata": {"name": "b"}}));
    assert_eq!(world.try_patch(&target, renamed).await.expect_err("renamed").code, 400);
    check(
        world.try_patch(&world.maps().named("gone"), Patch::Merge(json!({"data": {}}))).await,
        404,
        "NotFound",
        "configmaps \"gone\" not found",
    );
    check(
        world.try_patch(&world.maps().named("gone"), Patch::Merge(json!({"metadata": {"uid": "u"}}))).await,
        409,
        "Conflict",
        "Operation cannot be fulfilled on configmaps \"gone\": uid mismatch: the provided object specified uid u, and \
         no existing object was found",
    );
    world.merge(&target, json!({"data": {"k": "v"}})).await;
    let old =
        Patch::Merge(json!({"metadata": {"resourceVersion": object::resource_version(&made)}, "data": {"k": "w"}}));
    assert_eq!(world.try_patch(&target, old).await.expect_err("too old").code, 409);

    let widget = world.widgets().named("w");
    let strategic = world.try_patch(&widget, Patch::Strategic(json!({}))).await.expect_err("custom");
    assert_eq!((strategic.code, strategic.reason.0.as_ref()), (415, "UnsupportedMediaType"));
}

#[tokio::test]
async fn strictness_about_a_patch_is_told_in_its_own_way() {
    let world = world().await;
    world.map("a").await;
    let options = WriteOptions { field_validation: FieldValidation::Strict, ..WriteOptions::default() };
    let patch = Patch::Merge(json!({"spec": {"foo": 1}}));
    let status = world.verbs.patch(&caller(), &world.maps().named("a"), patch, &options).await.expect_err("refused");
    assert_eq!(status.code, 422);
    let cause = &status.details.expect("details").causes[0];
    assert_eq!(cause.field, "patch");
    assert!(cause.message.contains("strict decoding error: unknown field \"spec\""), "{}", cause.message);
}

#[tokio::test]
async fn revision_and_uid_cannot_be_patched_away() {
    let world = world().await;
    let made = world.map("a").await;
    let patch =
        json!({"metadata": {"resourceVersion": null, "uid": null, "creationTimestamp": null}, "data": {"k": "v"}});
    let patched = world.merge(&world.maps().named("a"), patch).await;
    assert_eq!(object::uid(&patched), object::uid(&made));
    assert_eq!(patched["metadata"]["creationTimestamp"], made["metadata"]["creationTimestamp"]);
}
