use std::time::Duration;

use futures::StreamExt;
use rdd_api::object;
use rdd_store::{Location, Options, Revision, Store};
use rdd_verbs::{WatchEvent, WatchOptions};
use serde_json::json;

use crate::world::{check, next, told, world, world_over};

fn after(revision: u64) -> WatchOptions {
    WatchOptions { resource_version: revision.to_string(), ..WatchOptions::default() }
}

#[tokio::test]
async fn without_a_revision_the_present_comes_first() {
    let world = world().await;
    world.map("a").await;
    let mut watch = world.watch(&world.maps(), &WatchOptions::default()).await;
    assert_eq!(told(&mut watch).await, "ADDED a");
    world.map("b").await;
    world.merge(&world.maps().named("a"), json!({"data": {"k": "v"}})).await;
    world.delete(&world.maps().named("b")).await;
    for expect in ["ADDED b", "MODIFIED a", "DELETED b"] {
        assert_eq!(told(&mut watch).await, expect);
    }
}

#[tokio::test]
async fn from_a_revision_only_what_came_after() {
    let world = world().await;
    world.map("a").await;
    let then = world.revision();
    let made = world.map("b").await;
    let mut watch = world.watch(&world.maps(), &after(then)).await;
    let Some(WatchEvent::Added(object)) = next(&mut watch).await else { panic!("no event") };
    assert_eq!(object, made);
    assert!(std::sync::Arc::ptr_eq(object.value(), world.verbs.get(&world.maps().named("b")).expect("there").value()));
    // A future revision is waited for.
    let mut future = world.watch(&world.maps(), &after(world.revision() + 1)).await;
    world.map("c").await;
    world.map("d").await;
    assert_eq!(told(&mut future).await, "ADDED d");
}

#[tokio::test]
async fn a_forgotten_revision_is_an_error_in_the_stream() {
    let world = world().await;
    world.map("a").await;
    let then = world.revision();
    for name in ["b", "c", "d"] {
        world.map(name).await;
    }
    world.store.compact(Revision(world.revision())).await.expect("compacted");
    let mut watch = world.watch(&world.maps(), &after(then)).await;
    let Some(WatchEvent::Error(status)) = next(&mut watch).await else { panic!("no error") };
    assert_eq!((status.code, status.reason.0.as_ref()), (410, "Expired"));
    assert!(status.message.starts_with(&format!("too old resource version: {then} (")), "{}", status.message);
    assert_eq!(told(&mut watch).await, "END");
}

#[tokio::test]
async fn objects_come_into_sight_and_leave_it() {
    let world = world().await;
    world.create(&world.maps(), json!({"metadata": {"name": "a", "labels": {"c": "red"}}})).await;
    let options = WatchOptions { label_selector: "c=red".to_owned(), ..after(world.revision()) };
    let mut watch = world.watch(&world.maps(), &options).await;
    let target = world.maps().named("a");
    world.merge(&target, json!({"data": {"k": "1"}})).await;
    world.merge(&target, json!({"metadata": {"labels": {"c": "blue"}}})).await;
    let left_at = world.revision();
    world.merge(&target, json!({"data": {"k": "2"}})).await;
    world.merge(&target, json!({"metadata": {"labels": {"c": "red"}}})).await;
    world.delete(&target).await;
    assert_eq!(told(&mut watch).await, "MODIFIED a");
    let Some(WatchEvent::Deleted(left)) = next(&mut watch).await else { panic!("not out of sight") };
    assert_eq!(left["metadata"]["labels"], json!({"c": "red"}));
    assert_eq!(object::resource_version(&left), left_at.to_string());
    assert_eq!(told(&mut watch).await, "ADDED a");
    assert_eq!(told(&mut watch).await, "DELETED a");
}

#[tokio::test]
async fn one_object_may_be_watched() {
    let world = world().await;
    world.map("a").await;
    let options = WatchOptions { field_selector: "metadata.name=b".to_owned(), ..WatchOptions::default() };
    let mut watch = world.watch(&world.maps(), &options).await;
    world.map("b").await;
    world.delete(&world.maps().named("a")).await;
    world.delete(&world.maps().named("b")).await;
    assert_eq!(told(&mut watch).await, "ADDED b");
    assert_eq!(told(&mut watch).await, "DELETED b");
}

#[tokio::test]
async fn initial_events_have_an_end() {
    let world = world().await;
    world.map("a").await;
    world.map("b").await;
    let options = WatchOptions {
        send_initial_events: Some(true),
        resource_version_match: "NotOlderThan".to_owned(),
        bookmarks: true,
        ..WatchOptions::default()
    };
    let mut watch = world.watch(&world.maps(), &options).await;
    assert_eq!(told(&mut watch).await, "ADDED a");
    assert_eq!(told(&mut watch).await, "ADDED b");
    let Some(WatchEvent::Bookmark { revision, initial_events_end: true }) = next(&mut watch).await else {
        panic!("no end")
    };
    assert_eq!(revision, world.revision());
    world.map("c").await;
    assert_eq!(told(&mut watch).await, "ADDED c");

    let without = WatchOptions { send_initial_events: Some(false), ..options.clone() };
    let mut watch = world.watch(&world.maps(), &without).await;
    world.map("d").await;
    assert_eq!(told(&mut watch).await, "ADDED d");

    let wrong = WatchOptions { resource_version_match: String::new(), ..options };
    check(
        world.verbs.watch(&world.maps(), &wrong).await,
        422,
        "Invalid",
        "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting \
         resourceVersionMatch to NotOlderThan",
    );
    check(
        world
            .verbs
            .watch(&world.maps(), &WatchOptions { resource_version: "x".to_owned(), ..WatchOptions::default() })
            .await,
        400,
        "BadRequest",
        "invalid resource version: resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax",
    );
}

#[tokio::test]
async fn a_watch_is_told_how_far_it_is_before_its_time_is_over() {
    let world = world().await;
    let timeout = Duration::from_millis(2100);
    let options = WatchOptions { bookmarks: true, timeout: Some(timeout), ..after(world.revision()) };
    let mut watch = world.watch(&world.maps(), &options).await;
    let begun = std::time::Instant::now();
    // Another resource moves on; this watch may resume behind that.
    world.create(&world.target("namespaces"), json!({"metadata": {"name": "n"}})).await;
    let Some(WatchEvent::Bookmark { revision, initial_events_end: false }) = next(&mut watch).await else {
        panic!("no bookmark")
    };
    assert_eq!(revision, world.revision());
    assert_eq!(told(&mut watch).await, "END");
    assert!(begun.elapsed() >= Duration::from_secs(2));
}

#[tokio::test]
async fn a_watch_of_the_future_is_not_told_that_it_is_there() {
    let world = world().await;
    let options =
        |revision: u64| WatchOptions { bookmarks: true, timeout: Some(Duration::from_millis(2100)), ..after(revision) };
    let mut far = world.watch(&world.maps(), &options(world.revision() + 100)).await;
    let mut near = world.watch(&world.maps(), &options(world.revision() + 1)).await;
    world.map("a").await;
    world.map("b").await;
    assert_eq!(told(&mut near).await, "ADDED b");
    assert_eq!(told(&mut near).await, "BOOKMARK", "the future has come");
    assert_eq!(told(&mut far).await, "END");
}

#[tokio::test]
async fn a_watch_that_fell_behind_is_told_how_far() {
    let store = Store::open(Location::Memory, Options { history_bytes: 4000, ..Options::default() });
    let world = world_over(store.expect("memory opens"), Vec::new()).await;
    let from = world.revision();
    let mut watch = world.watch(&world.maps(), &after(from)).await;
    for number in 0..100 {
        world.map(&format!("m{number}")).await;
    }
    let Some(WatchEvent::Error(status)) = next(&mut watch).await else { panic!("no error") };
    assert_eq!(status.code, 410);
    let gone = status.message.strip_prefix(&format!("too old resource version: {from} (")).expect("as upstream says");
    let gone: u64 = gone.trim_end_matches(')').parse().expect("a number");
    assert!(gone > from && gone < world.revision(), "{gone}");
}

#[tokio::test]
async fn a_watch_ends_with_its_kind() {
    let world = world().await;
    world.add_widgets().await;
    let mut watch = world.watch(&world.widgets(), &after(world.revision())).await;
    world.create(&world.widgets(), json!({"metadata": {"name": "w"}})).await;
    world.delete(&world.widgets().named("w")).await;
    world.verbs.registry().remove_custom("widgets.example.com");
    for expect in ["ADDED w", "DELETED w", "END"] {
        assert_eq!(told(&mut watch).await, expect);
    }
}

#[tokio::test]
async fn all_watchers_see_the_same_order() {
    let world = world().await;
    let mut watches = Vec::new();
    for _ in 0..5 {
        watches.push(world.watch(&world.maps(), &after(world.revision())).await);
    }
    let mut writes = tokio::task::JoinSet::new();
    for number in 0..20 {
        let (verbs, target) = (world.verbs.clone(), world.maps());
        writes.spawn(async move {
            let body = json!({"metadata": {"name": format!("m{number}")}});
            verbs.create(&crate::world::caller(), &target, body, &rdd_verbs::WriteOptions::default()).await
        });
    }
    writes.join_all().await;
    let mut orders = Vec::new();
    for watch in &mut watches {
        let mut order = Vec::new();
        for _ in 0..20 {
            let Some(WatchEvent::Added(object)) = next(watch).await else { panic!("no event") };
            order.push(object::resource_version(&object).parse::<u64>().expect("a number"));
        }
        assert!(order.is_sorted());
        orders.push(order);
    }
    assert!(orders.windows(2).all(|pair| pair[0] == pair[1]));
}

#[tokio::test]
async fn a_timeout_that_no_clock_shows_is_a_long_one() {
    let world = world().await;
    let options = WatchOptions { timeout: Some(Duration::from_secs(u64::MAX)), ..after(world.revision()) };
    let mut watch = world.watch(&world.maps(), &options).await;
    world.map("a").await;
    assert!(matches!(watch.next().await, Some(WatchEvent::Added(_))));
}
