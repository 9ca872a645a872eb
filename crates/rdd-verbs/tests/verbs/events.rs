use rdd_api::object;
use rdd_verbs::{ListOptions, WatchOptions};
use serde_json::json;

use crate::world::{names, next, tell, world};

#[tokio::test]
async fn both_kinds_of_event_are_one() {
    let world = world().await;
    let core = world.target("events").in_namespace("default");
    let new = world.target("events.events.k8s.io").in_namespace("default");
    let mut watch = world.watch(&new, &WatchOptions::default()).await;
    let body = json!({"metadata": {"name": "e"}, "message": "m", "reason": "Started", "type": "Normal",
        "involvedObject": {"kind": "LimaVM", "name": "a", "namespace": "default"}});
    let made = world.create(&core, body).await;
    let seen = world.verbs.get(&new.clone().named("e")).expect("seen by the other kind");
    assert_eq!(seen["apiVersion"], "events.k8s.io/v1");
    assert_eq!((&seen["note"], &seen["regarding"]["name"]), (&json!("m"), &json!("a")));
    assert_eq!(object::uid(&seen), object::uid(&made));
    assert_eq!(tell(&next(&mut watch).await.expect("an event")), "ADDED e");

    let by_object =
        ListOptions { field_selector: "involvedObject.name=a,reason=Started".to_owned(), ..ListOptions::default() };
    assert_eq!(names(&world.list(&core, &by_object).await), ["e"]);
    let by_object = ListOptions { field_selector: "regarding.name=b".to_owned(), ..ListOptions::default() };
    assert!(world.list(&new, &by_object).await.items.is_empty());

    let patched = world
        .merge(
            &new.clone().named("e"),
            json!({"note": "changed", "type": "Warning", "eventTime": "2025-01-01T00:00:00.000000Z"}),
        )
        .await;
    assert_eq!(patched["note"], "changed");
    let core_form = world.verbs.get(&core.named("e")).expect("there");
    assert_eq!((&core_form["apiVersion"], &core_form["message"]), (&json!("v1"), &json!("changed")));

    let status = world.try_create(&new, json!({"metadata": {"name": "f"}, "note": "m"})).await.expect_err("incomplete");
    assert_eq!(status.code, 422);
}

#[tokio::test]
async fn events_live_for_an_hour() {
    let world = world().await;
    let events = world.target("events").in_namespace("default");
    world.create(&events, json!({"metadata": {"name": "e"}, "involvedObject": {"namespace": "default"}})).await;
    let entry = world
        .store
        .snapshot()
        .get(&rdd_store::Key::new("", "events", Some("default"), "e"))
        .expect("stored under core's name");
    assert!(entry.expires_at.is_some());
}
