//! Server-side apply, and who owns what after other writes.

use std::sync::Arc;

use rdd_admission::{Admit, Attributes, Plugin};
use rdd_api::{GroupResource, Status, object};
use rdd_verbs::{FieldValidation, Patch, Target, WriteOptions, Written};
use serde_json::{Value, json};

use crate::world::{World, caller, check, world, world_with};

fn by(manager: &str) -> WriteOptions {
    WriteOptions { field_manager: manager.to_owned(), ..WriteOptions::default() }
}

async fn try_apply(
    world: &World,
    target: &Target,
    manager: &str,
    config: Value,
    force: bool,
) -> Result<Written, Status> {
    let mut config = config;
    config["apiVersion"] = json!(target.kind.api_version(&target.version));
    config["kind"] = json!(target.kind.kind);
    world.verbs.patch(&caller(), target, Patch::Apply { config, force }, &by(manager)).await
}

async fn apply(world: &World, target: &Target, manager: &str, config: Value) -> Value {
    try_apply(world, target, manager, config, false).await.expect("applied").object.into_value()
}

/// Returns what a manager owns, as `Apply v1`, by its subresource.
fn owned(object: &Value, manager: &str) -> Vec<(String, Value)> {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
    let own = entries.filter(|entry| entry["manager"] == manager);
    own.map(|entry| {
        let text = |key: &str| entry[key].as_str().unwrap_or_default();
        assert_eq!(entry["fieldsType"], "FieldsV1");
        assert_eq!(entry["time"], "2025-01-01T00:00:00Z");
        let name = format!("{} {} {}", text("operation"), text("apiVersion"), text("subresource"));
        (name.trim_end().to_owned(), entry["fieldsV1"].clone())
    })
    .collect()
}

#[tokio::test]
async fn an_apply_creates_changes_and_does_nothing() {
    let world = world().await;
    let target = world.maps().named("a");
    let config = json!({"metadata": {"labels": {"x": "y"}}, "data": {"k": "1"}});
    let written = try_apply(&world, &target, "m", config.clone(), false).await.expect("applied");
    assert!(written.created);
    let fields = json!({"f:data": {"f:k": {}}, "f:metadata": {"f:labels": {"f:x": {}}}});
    assert_eq!(owned(&written.object, "m"), [("Apply v1".to_owned(), fields)]);

    let before = world.revision();
    let again = try_apply(&world, &target, "m", config, false).await.expect("applied");
    assert!(!again.created);
    assert_eq!((world.revision(), &again.object), (before, &written.object), "the same again is no write");

    let changed = apply(&world, &target, "m", json!({"data": {"l": "2"}})).await;
    assert_eq!(changed["data"], json!({"l": "2"}));
    assert_eq!(changed["metadata"].get("labels"), None);
}

#[tokio::test]
async fn a_conflict_names_the_other_manager() {
    let world = world().await;
    world.add_widgets().await;
    let target = world.widgets().named("w");
    let body = json!({"metadata": {"name": "w"}, "spec": {"n": 2, "color": "red"}});
    world.verbs.create(&caller(), &world.widgets(), body, &by("hand")).await.expect("created");
    let config = json!({"spec": {"n": 3, "color": "blue"}});
    let status = check(
        try_apply(&world, &target, "m", config.clone(), false).await,
        409,
        "Conflict",
        "Apply failed with 2 conflicts: conflicts with \"hand\" using example.com/v1 at 2025-01-01T00:00:00Z:\n\
         - .spec.color\n- .spec.n",
    );
    let causes = status.details.expect("details").causes;
    assert_eq!(causes[0].reason, "FieldManagerConflict");
    assert_eq!(causes[0].field, ".spec.color");
    assert_eq!(causes[0].message, "conflict with \"hand\" using example.com/v1 at 2025-01-01T00:00:00Z");
    let forced = try_apply(&world, &target, "m", config, true).await.expect("forced").object;
    assert_eq!(forced["spec"]["n"], 3);
    assert_eq!(owned(&forced, "hand"), [("Update example.com/v1".to_owned(), json!({"f:spec": {}}))]);
    check(
        try_apply(&world, &target, "n", json!({"spec": {"n": 4}}), false).await,
        409,
        "Conflict",
        "Apply failed with 1 conflict: conflict with \"m\": .spec.n",
    );
}

#[tokio::test]
async fn bodies_that_are_no_configurations_are_refused() {
    let world = world().await;
    world.add_widgets().await;
    let target = world.widgets().named("w");
    let patch = |config: Value, manager: &'static str| {
        let (verbs, target) = (world.verbs.clone(), target.clone());
        async move { verbs.patch(&caller(), &target, Patch::Apply { config, force: false }, &by(manager)).await }
    };
    let good = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}});
    let with = |path: &str, value: Value| {
        let mut config = good.clone();
        match path.rsplit_once('/') {
            Some((above, key)) => config.pointer_mut(above).expect("there")[key] = value,
            None => config[path] = value,
        }
        config
    };
    check(
        patch(good.clone(), "").await,
        422,
        "Invalid",
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
    );
    check(
        patch(with("apiVersion", json!("example.com/v2")), "m").await,
        400,
        "BadRequest",
        "Incorrect version specified in apply patch. Specified patch version: example.com/v2, expected: example.com/v1",
    );
    check(
        patch(with("/metadata/name", json!("v")), "m").await,
        400,
        "BadRequest",
        "the name of the object (v) does not match the name on the URL (w)",
    );
    check(
        patch(with("/metadata/managedFields", json!([])), "m").await,
        400,
        "BadRequest",
        "metadata.managedFields must be nil",
    );
    check(
        patch(with("spec", json!({"foo": 1})), "m").await,
        500,
        "",
        "failed to create typed patch object (default/w; example.com/v1, Kind=Widget): .spec.foo: field not declared in \
         schema",
    );
    assert_eq!(patch(with("kind", json!("Gadget")), "m").await.expect_err("refused").code, 400);
    assert_eq!(patch(with("/metadata/uid", json!("u")), "m").await.expect_err("nothing there").code, 409);
    assert_eq!(patch(with("/metadata/resourceVersion", json!("1")), "m").await.expect_err("nothing there").code, 409);
    assert!(world.verbs.get(&target).is_err(), "nothing was made");
    patch(good, "m").await.expect("applied");
}

#[tokio::test]
async fn the_revision_of_a_configuration_is_a_lock() {
    let world = world().await;
    let target = world.maps().named("a");
    let made = apply(&world, &target, "m", json!({"data": {"k": "1"}})).await;
    let revision = object::resource_version(&made).to_owned();
    world.merge(&target, json!({"data": {"l": "1"}})).await;
    let config = json!({"metadata": {"resourceVersion": revision}, "data": {"k": "2"}});
    assert_eq!(try_apply(&world, &target, "m", config, false).await.expect_err("too old").code, 409);
}

#[tokio::test]
async fn each_endpoint_owns_its_part() {
    let world = world().await;
    world.add_widgets().await;
    let target = world.widgets().named("w");
    let status = target.clone().subresource("status");
    let config = json!({"spec": {"n": 2}, "status": {"seen": 1}});
    let made = apply(&world, &target, "m", config.clone()).await;
    assert_eq!(made.get("status"), None, "status has an endpoint of its own");
    let seen = apply(&world, &status, "m", config.clone()).await;
    assert_eq!(seen["status"]["seen"], 1);
    assert_eq!(
        owned(&seen, "m"),
        [
            ("Apply example.com/v1".to_owned(), json!({"f:spec": {"f:n": {}}})),
            ("Apply example.com/v1 status".to_owned(), json!({"f:status": {"f:seen": {}}})),
        ]
    );
    world.verbs.patch(&caller(), &status, Patch::Merge(json!({"status": {"seen": 5}})), &by("c")).await.expect("ok");
    // What is in status is nobody's conflict at the main endpoint.
    apply(&world, &target, "m", config.clone()).await;
    let error = try_apply(&world, &status, "m", config, false).await.expect_err("a conflict");
    assert_eq!(
        error.message,
        "Apply failed with 1 conflict: conflict with \"c\" with subresource \"status\" using example.com/v1 at \
         2025-01-01T00:00:00Z: .status.seen"
    );
}

#[tokio::test]
async fn writes_are_owned_by_whoever_made_them() {
    let world = world().await;
    let target = world.maps().named("a");
    let body = json!({"metadata": {"name": "a", "labels": {"x": "y"}}, "data": {"k": "1"}});
    let made = world.verbs.create(&caller(), &world.maps(), body, &by("first")).await.expect("created").object;
    let fields = json!({"f:data": {".": {}, "f:k": {}}, "f:metadata": {"f:labels": {".": {}, "f:x": {}}}});
    assert_eq!(owned(&made, "first"), [("Update v1".to_owned(), fields)]);

    // The name of the program stands in for a manager that is not named.
    let next = world.merge(&target, json!({"data": {"k": "2", "l": "1"}})).await;
    assert_eq!(owned(&next, "rdd"), [("Update v1".to_owned(), json!({"f:data": {"f:k": {}, "f:l": {}}}))]);
    assert_eq!(owned(&next, "first")[0].1["f:data"], json!({}), "the map itself");

    // Whoever sends none leaves them; whoever sends an empty list ends the tracking.
    let mut body = next.into_value();
    object::metadata_mut(&mut body).remove("managedFields");
    let same = world.update(&target, body.clone()).await;
    assert_eq!(owned(&same, "rdd").len(), 1);
    body["metadata"]["managedFields"] = json!([]);
    let reset = world.update(&target, body).await;
    assert_eq!(reset["metadata"].get("managedFields"), None);
    let untracked = world.merge(&target, json!({"data": {"k": "3"}})).await;
    assert_eq!(untracked["metadata"].get("managedFields"), None);
    let tracked = apply(&world, &target, "m", json!({"data": {"k": "3"}})).await;
    assert_eq!(owned(&tracked, "before-first-apply").len(), 1);
    assert_eq!(owned(&tracked, "m").len(), 1);
}

#[tokio::test]
async fn a_dry_run_applies_nothing() {
    let world = world().await;
    let target = world.maps().named("a");
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "1"}});
    let options = WriteOptions { dry_run: true, ..by("m") };
    let patch = Patch::Apply { config, force: false };
    let written = world.verbs.patch(&caller(), &target, patch, &options).await.expect("as if");
    assert_eq!((written.created, &written.object["data"]["k"]), (true, &json!("1")));
    assert!(world.verbs.get(&target).is_err());
}

#[tokio::test]
async fn what_stands_twice_in_a_configuration_is_told() {
    let world = world().await;
    let target = world.maps().named("a");
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "1"}});
    let mut options = WriteOptions { decode_errors: vec!["duplicate field \"data.k\"".to_owned()], ..by("m") };
    let patch = Patch::Apply { config, force: false };
    options.field_validation = FieldValidation::Strict;
    check(
        world.verbs.patch(&caller(), &target, patch.clone(), &options).await,
        400,
        "BadRequest",
        "error strict decoding patch: duplicate field \"data.k\"",
    );
    options.field_validation = FieldValidation::Warn;
    let written = world.verbs.patch(&caller(), &target, patch, &options).await.expect("applied");
    assert_eq!(written.warnings, ["duplicate field \"data.k\""]);
}

#[tokio::test]
async fn two_who_apply_at_once_both_have_their_way() {
    let world = world().await;
    let target = world.maps().named("a");
    let one = |n: usize| {
        let (verbs, target) = (world.verbs.clone(), target.clone());
        tokio::spawn(async move {
            let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {format!("k{n}"): "v"}});
            verbs.patch(&caller(), &target, Patch::Apply { config, force: false }, &by(&format!("m{n}"))).await
        })
    };
    let all: Vec<_> = (0..16).map(one).collect();
    for task in all {
        task.await.expect("ended").expect("applied");
    }
    let object = world.verbs.get(&target).expect("there");
    assert_eq!(object["data"].as_object().map(serde_json::Map::len), Some(16));
    assert_eq!(object["metadata"]["managedFields"].as_array().map(Vec::len), Some(16));
}

#[tokio::test]
async fn who_scales_owns_the_replicas() {
    let world = world().await;
    let mut crd = crate::world::widget_crd();
    let version = &mut crd["spec"]["versions"][0];
    version["subresources"]["scale"] = json!({"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.seen"});
    world.create(&world.crds(), crd).await;
    let target = world.widgets().named("w");
    let scale = target.clone().subresource("scale");
    apply(&world, &target, "m", json!({"spec": {"n": 2}})).await;
    let patch = Patch::Merge(json!({"spec": {"replicas": 3}}));
    world.verbs.patch(&caller(), &scale, patch, &by("kubectl-scale")).await.expect("scaled");
    let object = world.verbs.get(&target).expect("there").into_value();
    let n = json!({"f:spec": {"f:n": {}}});
    assert_eq!(owned(&object, "kubectl-scale"), [("Update example.com/v1 scale".to_owned(), n.clone())]);
    assert_eq!(try_apply(&world, &target, "m", json!({"spec": {"n": 2}}), false).await.expect_err("lost").code, 409);

    let config = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": 4}});
    let patch = |force| Patch::Apply { config: config.clone(), force };
    let refused = world.verbs.patch(&caller(), &scale, patch(false), &by("auto")).await.expect_err("a conflict");
    assert!(refused.message.contains("\"kubectl-scale\" with subresource \"scale\""), "{}", refused.message);
    let scaled = world.verbs.patch(&caller(), &scale, patch(true), &by("auto")).await.expect("scaled").object;
    assert_eq!((&scaled["kind"], &scaled["spec"]["replicas"]), (&json!("Scale"), &json!(4)));
    let object = world.verbs.get(&target).expect("there").into_value();
    assert_eq!(owned(&object, "auto"), [("Apply example.com/v1 scale".to_owned(), n)]);
    assert!(owned(&object, "kubectl-scale").is_empty());
}

/// Refuses every create as if the object were there, moves objects, and writes their managed fields.
struct Meddler;

#[async_trait::async_trait]
impl Plugin for Meddler {
    fn name(&self) -> &str {
        "Meddler"
    }
    fn handles(&self, request: &Attributes) -> bool {
        request.resource.resource == "configmaps"
    }
    async fn admit(&self, request: &mut Attributes, _context: &Admit) -> Result<(), Status> {
        let name = request.name.clone();
        if name == "taken" {
            return Err(Status::already_exists(&GroupResource::new("", "configmaps"), &name));
        }
        if let Some(object) = &mut request.object {
            object["metadata"]["managedFields"] = json!([{"manager": "meddler"}]);
            if name == "moved" {
                object["metadata"]["namespace"] = json!("kube-system");
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_plugin_neither_loops_nor_moves_nor_owns() {
    let world = world_with(vec![Arc::new(Meddler)]).await;
    let map = |name: &str| world.maps().named(name);
    let refused = try_apply(&world, &map("taken"), "m", json!({"data": {}}), false).await.expect_err("refused");
    assert_eq!(refused.message, "configmaps \"taken\" already exists");
    assert_eq!(try_apply(&world, &map("moved"), "m", json!({"data": {}}), false).await.expect_err("refused").code, 500);
    let made = apply(&world, &map("a"), "m", json!({"data": {"k": "1"}})).await;
    assert_eq!(owned(&made, "m").len(), 1);
    let changed = world.merge(&map("a"), json!({"data": {"l": "1"}})).await;
    assert_eq!((owned(&changed, "m").len(), owned(&changed, "rdd").len()), (1, 1));
}
