use std::sync::Arc;

use rdd_api::object;
use rdd_registry::crd::is_established;
use rdd_verbs::{DeleteOptions, ListOptions, Target, WatchEvent, WatchOptions};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::world::{World, caller, check, next, told, widget_crd, world, world_over};

#[tokio::test]
async fn a_crd_is_established_and_its_kind_served() {
    let world = world().await;
    let mut watch = world.watch(&world.crds(), &WatchOptions::default()).await;
    let mut kinds = world.verbs.registry().changed();
    let made = world.add_widgets().await;
    assert!(is_established(&made) && object::generation(&made) == 1);
    assert_eq!(made["spec"]["names"]["singular"], "widget");
    assert_eq!(made["spec"]["names"]["listKind"], "WidgetList");
    assert_eq!(made["spec"]["conversion"], json!({"strategy": "None"}));
    assert_eq!(made["status"]["storedVersions"], json!(["v1"]));
    assert_eq!(
        made["status"]["acceptedNames"],
        json!({"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList", "shortNames": ["wd"]})
    );
    let Some(WatchEvent::Added(added)) = next(&mut watch).await else { panic!("not added") };
    assert!(!is_established(&added));
    let Some(WatchEvent::Modified(established)) = next(&mut watch).await else { panic!("not modified") };
    assert_eq!(established, made);
    assert!(kinds.has_changed().expect("there"), "served before it is told");
    let found = kinds.borrow_and_update().clone();
    assert!(found.resource("example.com", "v1", "widgets").is_some());
    let groups: Vec<&str> = found.groups().iter().map(|g| g.name.as_str()).collect();
    assert_eq!((groups.first(), groups.last()), (Some(&""), Some(&"example.com")), "custom groups follow the others");

    let widget = world.create(&world.widgets(), json!({"metadata": {"name": "w"}, "spec": {"foo": 1}})).await;
    assert_eq!(widget["spec"], json!({"n": 1}));
    check(
        world.try_create(&world.widgets(), json!({"metadata": {"name": "x"}, "spec": {"n": 11}})).await,
        422,
        "Invalid",
        "Widget.example.com \"x\" is invalid: spec.n: Invalid value: 11: spec.n in body should be less than or equal to 10",
    );
}

/// How a CRD is spoilt, and what is said about it.
type Case<'a> = (&'a dyn Fn(&mut Value), &'a str);

#[tokio::test]
async fn crds_that_do_not_fit_are_refused() {
    let world = world().await;
    let errors = async |change: &dyn Fn(&mut Value)| {
        let mut crd = widget_crd();
        change(&mut crd);
        let status = world.try_create(&world.crds(), crd).await.expect_err("refused");
        assert_eq!(status.code, 422, "{}", status.message);
        let causes = status.details.expect("details").causes;
        causes.into_iter().map(|c| format!("{}: {}", c.field, c.message)).collect::<Vec<_>>().join("\n")
    };
    let cases: [Case; 9] = [
        (&|c| c["metadata"]["name"] = json!("gadgets.example.com"), "must be spec.names.plural+\".\"+spec.group"),
        (
            &|c| c["spec"]["scope"] = json!("Galaxy"),
            "Unsupported value: \"Galaxy\": supported values: \"Cluster\", \"Namespaced\"",
        ),
        (&|c| c["spec"]["versions"] = json!([]), "spec.versions: Required value"),
        (
            &|c| c["spec"]["versions"][0]["storage"] = json!(false),
            "must have exactly one version marked as storage version",
        ),
        (&|c| c["spec"]["versions"][0]["schema"] = json!(null), "schemas are required"),
        (&|c| c["spec"]["preserveUnknownFields"] = json!(true), "cannot set to true"),
        (&|c| c["spec"]["names"]["plural"] = json!("Widgets"), "spec.names.plural"),
        (
            &|c| {
                c["spec"]["versions"][0]["additionalPrinterColumns"] =
                    json!([{"name": "A", "type": "thing", "jsonPath": ".a"}])
            },
            "spec.versions[0].additionalPrinterColumns[0].type",
        ),
        (
            &|c| c["spec"]["versions"][0]["selectableFields"] = json!([{"jsonPath": ".metadata.name"}]),
            "must not point to fields in metadata",
        ),
    ];
    for (change, expect) in cases {
        let found = errors(change).await;
        assert!(found.contains(expect), "expected {expect} in {found}");
    }
    let protected = |c: &mut Value| {
        c["metadata"]["name"] = json!("widgets.my.k8s.io");
        c["spec"]["group"] = json!("my.k8s.io");
    };
    assert!(errors(&protected).await.contains("api-approved.kubernetes.io"));
    assert!(world.verbs.registry().kinds().group("example.com").is_none());
}

#[tokio::test]
async fn a_changed_schema_counts_at_once() {
    let world = world().await;
    let made = world.add_widgets().await;
    world.create(&world.widgets(), json!({"metadata": {"name": "w"}, "spec": {}})).await;
    let target = world.crds().named("widgets.example.com");
    let mut crd = made.clone().into_value();
    let properties = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    crd.pointer_mut(properties).expect("properties")["size"] = json!({"type": "string", "default": "small"});
    let changed = world.update(&target, crd.clone()).await;
    assert_eq!(object::generation(&changed), 2);
    // Old objects get new defaults when read, and are not rewritten.
    let before = world.revision();
    assert_eq!(world.verbs.get(&world.widgets().named("w")).expect("there")["spec"]["size"], "small");
    assert_eq!(world.revision(), before);

    let mut moved = changed.into_value();
    moved["spec"]["scope"] = json!("Cluster");
    let status = world.try_update(&target, moved).await.expect_err("immutable");
    assert!(
        status.message.contains("spec.scope: Invalid value: \"Cluster\": field is immutable"),
        "{}",
        status.message
    );
    crd["metadata"]["resourceVersion"] = json!("");
    assert_eq!(world.try_update(&target, crd).await.expect_err("wants a revision").code, 422);
}

#[tokio::test]
async fn versions_are_served_deprecated_and_taken_away() {
    let world = world().await;
    let mut crd = widget_crd();
    let mut old = crd["spec"]["versions"][0].clone();
    old["name"] = json!("v1beta1");
    old["storage"] = json!(false);
    old["deprecated"] = json!(true);
    crd["spec"]["versions"].as_array_mut().expect("versions").push(old);
    let made = world.create(&world.crds(), crd).await;
    let beta = world.target("widgets.example.com/v1beta1").in_namespace("default");
    let body = json!({"apiVersion": "example.com/v1beta1", "kind": "Widget", "metadata": {"name": "w"}});
    let written = world.try_create(&beta, body).await.expect("created");
    assert_eq!(written.warnings, ["example.com/v1beta1 Widget is deprecated; use example.com/v1 Widget"]);
    assert_eq!(written.object["apiVersion"], "example.com/v1beta1");
    assert_eq!(world.verbs.get(&world.widgets().named("w")).expect("there")["apiVersion"], "example.com/v1");

    let mut watch = world.watch(&beta, &WatchOptions::default()).await;
    assert_eq!(told(&mut watch).await, "ADDED w");
    let mut crd = made.into_value();
    crd["spec"]["versions"][1]["served"] = json!(false);
    let target = world.crds().named("widgets.example.com");
    let changed = world.update(&target, crd).await;
    assert_eq!(told(&mut watch).await, "END");
    assert!(world.verbs.registry().kinds().resource("example.com", "v1beta1", "widgets").is_none());

    let mut crd = changed.into_value();
    crd["spec"]["versions"][0]["storage"] = json!(false);
    crd["spec"]["versions"][1]["storage"] = json!(true);
    let changed = world.update(&target, crd).await;
    assert_eq!(changed["status"]["storedVersions"], json!(["v1", "v1beta1"]));
    let mut crd = changed.into_value();
    crd["spec"]["versions"].as_array_mut().expect("versions").remove(0);
    let status = world.try_update(&target, crd).await.expect_err("still stored");
    assert!(
        status.message.contains("status.storedVersions[0]: Invalid value: \"v1\": missing from spec.versions"),
        "{}",
        status.message
    );
}

#[tokio::test]
async fn two_crds_share_no_names() {
    let world = world().await;
    world.add_widgets().await;
    let mut second = widget_crd();
    second["metadata"]["name"] = json!("gadgets.example.com");
    second["spec"]["names"] = json!({"plural": "gadgets", "kind": "Widget", "listKind": "GadgetList"});
    let made = world.create(&world.crds(), second).await;
    assert!(!is_established(&made));
    assert!(world.verbs.registry().kinds().by_group_resource("example.com", "gadgets").is_none());
    let accepted =
        made["status"]["conditions"].as_array().expect("conditions").iter().find(|c| c["type"] == "NamesAccepted");
    assert_eq!(accepted.expect("told")["reason"], "KindConflict");

    // When the first goes, its names are free.
    finishing(&world, async {
        let first = world.crds().named("widgets.example.com");
        world.delete(&first).await;
        until_gone(&world, &first).await;
        let second = world.crds().named("gadgets.example.com");
        world.until("established", || is_established(&world.verbs.get(&second).expect("there"))).await;
    })
    .await;
    assert!(world.verbs.registry().kinds().by_group_resource("example.com", "gadgets").is_some());
}

#[tokio::test]
async fn a_name_that_another_crd_gives_up_is_taken() {
    let world = world().await;
    let mut first = world.add_widgets().await.into_value();
    let mut second = widget_crd();
    second["metadata"]["name"] = json!("gadgets.example.com");
    second["spec"]["names"] = json!({"plural": "gadgets", "kind": "Gadget", "shortNames": ["wd"]});
    let waiting = world.create(&world.crds(), second.clone()).await;
    assert!(!is_established(&waiting));
    second["metadata"]["name"] = json!("appliances.example.com");
    second["spec"]["names"] = json!({"plural": "appliances", "kind": "Appliance", "shortNames": ["wd"]});
    let third = world.create(&world.crds(), second).await;
    assert!(!is_established(&third));

    first["spec"]["names"]["shortNames"] = json!(["wi"]);
    let changed = world.update(&world.crds().named("widgets.example.com"), first).await;
    assert_eq!(changed["status"]["acceptedNames"]["shortNames"], json!(["wi"]));
    let established = |name: &str| is_established(&world.verbs.get(&world.crds().named(name)).expect("there"));
    let of_both = [established("appliances.example.com"), established("gadgets.example.com")];
    assert_eq!(of_both.iter().filter(|is| **is).count(), 1, "one of the two gets the name, at once");
    let before = world.revision();
    world.merge(&world.crds().named("widgets.example.com"), json!({"metadata": {"labels": {"a": "b"}}})).await;
    assert_eq!(world.revision(), before + 1, "where all is settled nothing is written");
}

/// Puts a CRD into the store as a request leaves it whose second write failed.
async fn put_unsettled(world: &World, change: impl FnOnce(&mut Value)) {
    let target = world.crds();
    let key =
        rdd_store::Key::new(&target.kind.storage.group, &target.kind.storage.resource, None, "widgets.example.com");
    let present = world.store.snapshot().get(&key).expect("there");
    let mut crd: Value = serde_json::from_slice(&present.bytes).expect("JSON");
    change(&mut crd);
    let expect = rdd_store::Expect::Revision(present.revision);
    world.store.put(key, crd.to_string().into(), expect, None).await.expect("put");
}

#[tokio::test]
async fn what_a_request_could_not_settle_is_settled_later() {
    let world = world().await;
    world.add_widgets().await;
    let crd = world.crds().named("widgets.example.com");
    finishing(&world, async {
        put_unsettled(&world, |crd| crd["status"] = json!({"storedVersions": ["v1"]})).await;
        world.until("established again", || is_established(&world.verbs.get(&crd).expect("there"))).await;
        put_unsettled(&world, |crd| {
            crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = json!({"type": "object"});
            crd["metadata"]["generation"] = json!(2);
        })
        .await;
        let generation = || {
            let kinds = world.verbs.registry().kinds();
            let kind = kinds.by_group_resource("example.com", "widgets").expect("served").clone();
            kind.custom.as_ref().expect("custom").stamp.contains("/2/")
        };
        let found = async {
            let mut kinds = world.verbs.registry().changed();
            while !generation() {
                kinds.changed().await.expect("the registry lives");
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), found).await.expect("the new schema counts");
    })
    .await;
}

#[tokio::test]
async fn a_kind_is_not_emptied_before_the_registry_knows_that_it_goes() {
    let world = world().await;
    world.add_widgets().await;
    let crd = world.crds().named("widgets.example.com");
    world.create(&world.widgets(), json!({"metadata": {"name": "w", "finalizers": ["example.com/f"]}})).await;
    finishing(&world, async {
        put_unsettled(&world, |crd| {
            crd["metadata"]["deletionTimestamp"] = json!("2025-01-01T00:00:00Z");
            crd["metadata"]["finalizers"] = json!(["customresourcecleanup.apiextensions.k8s.io"]);
            crd["metadata"]["generation"] = json!(2);
        })
        .await;
        let held = world.widgets().named("w");
        world.until("marked", || object::is_terminating(&world.verbs.get(&held).expect("held"))).await;
        check(
            world.try_create(&world.widgets(), json!({"metadata": {"name": "late"}})).await,
            403,
            "Forbidden",
            "widgets.example.com is forbidden: create not allowed while custom resource definition is terminating",
        );
        world.merge(&held, json!({"metadata": {"finalizers": null}})).await;
        until_gone(&world, &crd).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_behind_by_creates_that_race_with_the_deletion() {
    let world = world().await;
    finishing(&world, async {
        for round in 0..10 {
            world.add_widgets().await;
            let widgets = world.widgets();
            let mut creates = tokio::task::JoinSet::new();
            for number in 0..20 {
                let (verbs, target) = (world.verbs.clone(), widgets.clone());
                creates.spawn(async move {
                    let body = json!({"metadata": {"name": format!("w{number}")}});
                    let _ = verbs.create(&caller(), &target, body, &rdd_verbs::WriteOptions::default()).await;
                });
            }
            let crd = world.crds().named("widgets.example.com");
            world.delete(&crd).await;
            creates.join_all().await;
            until_gone(&world, &crd).await;
            let prefix = rdd_store::Prefix::resource("example.com", "widgets");
            assert_eq!(world.store.snapshot().count(&prefix), 0, "round {round}");
        }
    })
    .await;
}

/// Runs the finisher of deleted kinds for as long as the work takes.
async fn finishing<T>(world: &World, work: impl Future<Output = T>) -> T {
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(world.verbs.clone().run_custom_kinds(async move {
        let _ = stopped.await;
    }));
    let out = work.await;
    drop(stop);
    task.await.expect("ends by itself");
    out
}

async fn until_gone(world: &World, target: &Target) {
    world.until("gone", || world.verbs.get(target).is_err()).await;
}

#[tokio::test]
async fn a_deleted_crd_goes_after_its_objects() {
    let world = world().await;
    world.add_widgets().await;
    world.create(&world.widgets(), json!({"metadata": {"name": "a"}})).await;
    world.create(&world.widgets(), json!({"metadata": {"name": "b", "finalizers": ["example.com/f"]}})).await;
    let (widgets, crd) = (world.widgets(), world.crds().named("widgets.example.com"));
    let mut watch = world
        .watch(&widgets, &WatchOptions { resource_version: world.revision().to_string(), ..WatchOptions::default() })
        .await;
    finishing(&world, async {
        let rdd_verbs::Deleted::Object(marked) = world.delete(&crd).await else { panic!("gone") };
        assert!(object::is_terminating(&marked));
        assert!(object::finalizers(&marked).any(|f| f == "customresourcecleanup.apiextensions.k8s.io"));
        let kind = world.verbs.registry().kinds().by_group_resource("example.com", "widgets").cloned().expect("served");
        assert_eq!(kind.discovery_verbs(), ["delete", "deletecollection", "get", "list", "watch"]);
        check(
            world.try_create(&world.widgets(), json!({"metadata": {"name": "c"}})).await,
            403,
            "Forbidden",
            "widgets.example.com is forbidden: create not allowed while custom resource definition is terminating",
        );
        until_gone(&world, &widgets.clone().named("a")).await;
        assert!(world.verbs.get(&crd).is_ok(), "waits for b");
        let held = widgets.clone().named("b");
        world.until("marked", || object::is_terminating(&world.verbs.get(&held).expect("held"))).await;
        world.merge(&widgets.clone().named("b"), json!({"metadata": {"finalizers": null}})).await;
        until_gone(&world, &crd).await;
    })
    .await;
    for expect in ["DELETED a", "MODIFIED b", "DELETED b", "END"] {
        assert_eq!(told(&mut watch).await, expect);
    }
    assert!(world.verbs.registry().kinds().by_group_resource("example.com", "widgets").is_none());
    // Once more, and it starts empty.
    world.add_widgets().await;
    assert!(world.list(&world.widgets(), &ListOptions::default()).await.items.is_empty());
}

#[tokio::test]
async fn an_empty_kind_goes_at_once() {
    let world = world().await;
    world.add_widgets().await;
    let crd = world.crds().named("widgets.example.com");
    finishing(&world, async {
        world.verbs.delete(&caller(), &crd, &DeleteOptions::default()).await.expect("deleted");
        until_gone(&world, &crd).await;
    })
    .await;
}

#[tokio::test]
async fn a_start_serves_what_is_stored() {
    let first = world().await;
    first.add_widgets().await;
    first.create(&first.widgets(), json!({"metadata": {"name": "w"}})).await;
    let before = first.revision();
    let second = world_over(first.store.clone(), Vec::new()).await;
    assert_eq!(second.revision(), before, "nothing is written that is there");
    let found = second.verbs.get(&second.widgets().named("w")).expect("served again");
    assert_eq!(found, first.verbs.get(&first.widgets().named("w")).expect("there"));
    assert!(!Arc::ptr_eq(first.verbs.registry(), second.verbs.registry()));
}
