use rdd_api::object;
use rdd_verbs::{DeleteOptions, Deleted, ListOptions, WatchOptions};
use serde_json::json;

use crate::world::{caller, check, names, next, tell, told, world};

#[tokio::test]
async fn without_finalizers_an_object_is_gone_at_once() {
    let world = world().await;
    let made = world.map("a").await;
    let mut watch = world
        .watch(
            &world.maps(),
            &WatchOptions { resource_version: world.revision().to_string(), ..WatchOptions::default() },
        )
        .await;
    let Deleted::Gone { name, uid } = world.delete(&world.maps().named("a")).await else { panic!("not gone") };
    assert_eq!((name.as_str(), uid.as_str()), ("a", object::uid(&made)));
    let event = next(&mut watch).await.expect("an event");
    assert_eq!(tell(&event), "DELETED a");
    let rdd_verbs::WatchEvent::Deleted(last) = event else { panic!("{event:?}") };
    assert_eq!(object::resource_version(&last), world.revision().to_string());
    check(
        world.verbs.delete(&caller(), &world.maps().named("a"), &DeleteOptions::default()).await,
        404,
        "NotFound",
        "configmaps \"a\" not found",
    );
}

#[tokio::test]
async fn finalizers_are_waited_for() {
    let world = world().await;
    world.add_widgets().await;
    let target = world.widgets().named("w");
    let finalizers = json!(["example.com/a", "example.com/b"]);
    world.create(&world.widgets(), json!({"metadata": {"name": "w", "finalizers": finalizers}})).await;
    let since = WatchOptions { resource_version: world.revision().to_string(), ..WatchOptions::default() };
    let mut watch = world.watch(&world.widgets(), &since).await;

    let Deleted::Object(marked) = world.delete(&target).await else { panic!("gone") };
    assert_eq!(marked["metadata"]["deletionTimestamp"], "2025-01-01T00:00:00Z");
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 0);
    assert_eq!(object::generation(&marked), 2);
    let before = world.revision();
    let Deleted::Object(again) = world.delete(&target).await else { panic!("gone") };
    assert_eq!((again, world.revision()), (marked.clone(), before));

    check(
        world.try_create(&world.widgets(), json!({"metadata": {"name": "w"}})).await,
        409,
        "AlreadyExists",
        "object is being deleted: widgets.example.com \"w\" already exists",
    );
    let mut body = marked.clone().into_value();
    body["metadata"]["finalizers"] = json!(["example.com/a", "example.com/b", "example.com/c"]);
    let status = world.try_update(&target, body.clone()).await.expect_err("no new finalizers");
    assert_eq!(status.code, 422);
    assert!(
        status.message.contains("metadata.finalizers: Forbidden: no new finalizers can be added"),
        "{}",
        status.message
    );

    // The deletion cannot be taken back.
    body["metadata"]["finalizers"] = json!(["example.com/b"]);
    body["metadata"]["deletionTimestamp"] = json!(null);
    let one_less = world.update(&target, body).await;
    assert!(object::is_terminating(&one_less));
    let last = world.merge(&target, json!({"metadata": {"finalizers": null}})).await;
    assert!(object::finalizers(&last).next().is_none());
    assert!(world.verbs.get(&target).is_err());
    for expect in ["MODIFIED w", "MODIFIED w", "DELETED w"] {
        assert_eq!(told(&mut watch).await, expect);
    }
}

#[tokio::test]
async fn preconditions_must_hold() {
    let world = world().await;
    let made = world.map("a").await;
    let target = world.maps().named("a");
    let other = DeleteOptions { uid: Some("other".to_owned()), ..DeleteOptions::default() };
    let message = format!(
        "Operation cannot be fulfilled on ConfigMap \"a\": the UID in the precondition (other) does not match the UID in \
         record ({}). The object might have been deleted and then recreated",
        object::uid(&made)
    );
    check(world.verbs.delete(&caller(), &target, &other).await, 409, "Conflict", &message);
    let old = DeleteOptions { resource_version: Some("1".to_owned()), ..DeleteOptions::default() };
    assert_eq!(world.verbs.delete(&caller(), &target, &old).await.expect_err("old").code, 409);
    let right = DeleteOptions {
        uid: Some(object::uid(&made).to_owned()),
        resource_version: Some(object::resource_version(&made).to_owned()),
        ..DeleteOptions::default()
    };
    world.verbs.delete(&caller(), &target, &right).await.expect("deleted");
}

#[tokio::test]
async fn a_deletion_that_concerns_dependents_is_left_to_the_collector() {
    let world = world().await;
    let target = world.maps().named("a");
    let with = |policy: &str| DeleteOptions { propagation_policy: Some(policy.to_owned()), ..DeleteOptions::default() };
    let finalizers = |deleted: Deleted| match deleted {
        Deleted::Object(object) => {
            assert!(object::is_terminating(&object));
            object::finalizers(&object).map(str::to_owned).collect::<Vec<_>>().join(" ")
        }
        Deleted::Gone { .. } => "gone".to_owned(),
    };
    let delete = async |options: DeleteOptions| {
        finalizers(world.verbs.delete(&caller(), &target, &options).await.expect("deleted"))
    };
    world.map("a").await;
    assert_eq!(delete(with("Orphan")).await, "orphan");
    // What was said holds until something else is said.
    let before = world.revision();
    assert_eq!(delete(DeleteOptions::default()).await, "orphan");
    assert_eq!(delete(with("Orphan")).await, "orphan");
    assert_eq!(world.revision(), before);
    assert_eq!(delete(with("Foreground")).await, "foregroundDeletion");
    assert_eq!(delete(DeleteOptions::default()).await, "foregroundDeletion");
    assert_eq!(delete(with("Background")).await, "gone");

    // The object's own finalizers may ask for it, and stay beside it.
    let body =
        json!({"metadata": {"name": "a", "finalizers": ["example.com/a", "foregroundDeletion", "example.com/b"]}});
    world.create(&world.maps(), body).await;
    assert_eq!(delete(DeleteOptions::default()).await, "example.com/a foregroundDeletion example.com/b");
    let orphan = DeleteOptions { orphan_dependents: Some(true), ..DeleteOptions::default() };
    assert_eq!(delete(orphan).await, "example.com/a example.com/b orphan");
    let cascade = DeleteOptions { orphan_dependents: Some(false), ..DeleteOptions::default() };
    assert_eq!(delete(cascade).await, "example.com/a example.com/b");
    world.merge(&target, json!({"metadata": {"finalizers": null}})).await;

    world.map("a").await;
    assert_eq!(world.verbs.delete(&caller(), &target, &with("Sideways")).await.expect_err("unknown").code, 422);
    let both = DeleteOptions { orphan_dependents: Some(true), ..with("Orphan") };
    assert_eq!(world.verbs.delete(&caller(), &target, &both).await.expect_err("both").code, 422);
    let dry = DeleteOptions { dry_run: true, ..with("Orphan") };
    assert_eq!(delete(dry).await, "orphan");
    let unchanged = world.verbs.get(&target).expect("it is there");
    assert!(!object::is_terminating(&unchanged));
}

#[tokio::test]
async fn dry_runs_delete_nothing() {
    let world = world().await;
    world.map("a").await;
    let before = world.revision();
    let options = DeleteOptions { dry_run: true, ..DeleteOptions::default() };
    let deleted = world.verbs.delete(&caller(), &world.maps().named("a"), &options).await.expect("fine");
    assert!(matches!(deleted, Deleted::Gone { .. }));
    assert_eq!(world.revision(), before);
}

#[tokio::test]
async fn a_collection_is_deleted_by_its_selector() {
    let world = world().await;
    for (name, color) in [("a", "red"), ("b", "blue"), ("c", "red")] {
        world.create(&world.maps(), json!({"metadata": {"name": name, "labels": {"color": color}}})).await;
    }
    let red = ListOptions { label_selector: "color=red".to_owned(), ..ListOptions::default() };
    let none = DeleteOptions::default();
    let deleted = world.verbs.delete_collection(&caller(), &world.maps(), &none, &red).await.expect("deleted");
    assert_eq!(names(&deleted), ["a", "c"]);
    assert_eq!(names(&world.list(&world.maps(), &ListOptions::default()).await), ["b"]);
    let namespaces = world.target("namespaces");
    let refused = world.verbs.delete_collection(&caller(), &namespaces, &none, &ListOptions::default()).await;
    assert_eq!(refused.expect_err("one by one").code, 405);
}

#[tokio::test]
async fn a_namespace_terminates_before_it_goes() {
    let world = world().await;
    check(
        world.verbs.delete(&caller(), &world.target("namespaces").named("default"), &DeleteOptions::default()).await,
        403,
        "Forbidden",
        "namespaces \"default\" is forbidden: this namespace may not be deleted",
    );
    world.create(&world.target("namespaces"), json!({"metadata": {"name": "n"}})).await;
    let inside = world.target("configmaps").in_namespace("n");
    world.create(&inside, json!({"metadata": {"name": "c"}})).await;
    let target = world.target("namespaces").named("n");
    let Deleted::Object(marked) = world.delete(&target).await else { panic!("gone") };
    assert_eq!(marked["status"]["phase"], "Terminating");
    let status = check(
        world.try_create(&inside, json!({"metadata": {"name": "d"}})).await,
        403,
        "Forbidden",
        "configmaps \"d\" is forbidden: unable to create new content in namespace n because it is being terminated",
    );
    assert_eq!(status.details.expect("details").causes[0].reason, "NamespaceTerminating");
    world.merge(&inside.clone().named("c"), json!({"data": {"updates": "go on"}})).await;

    // The main endpoint cannot take the finalizer; its own subresource can, and then nothing keeps it.
    let kept = world.merge(&target, json!({"spec": {"finalizers": []}})).await;
    assert_eq!(kept["spec"]["finalizers"], json!(["kubernetes"]));
    let mut body = kept.into_value();
    body["spec"] = json!({});
    world.update(&target.clone().subresource("finalize"), body).await;
    assert!(world.verbs.get(&target).is_err());
}
