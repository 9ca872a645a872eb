use rdd_api::object;
use rdd_store::Revision;
use rdd_verbs::{ListOptions, list_object};
use serde_json::json;

use crate::world::{World, check, names, world};

async fn five(world: &World) {
    for name in ["a", "b", "c", "d", "e"] {
        world.map(name).await;
    }
}

fn limited(limit: u64) -> ListOptions {
    ListOptions { limit, ..ListOptions::default() }
}

#[tokio::test]
async fn pages_show_one_moment() {
    let world = world().await;
    five(&world).await;
    let first = world.list(&world.maps(), &limited(2)).await;
    assert_eq!((names(&first), first.remaining), (vec!["a", "b"], Some(3)));
    world.delete(&world.maps().named("c")).await;
    world.map("dd").await;
    let second =
        world.list(&world.maps(), &ListOptions { continue_token: first.continue_token.clone(), ..limited(2) }).await;
    assert_eq!((names(&second), second.remaining), (vec!["c", "d"], Some(1)));
    assert_eq!(second.revision, first.revision);
    let third = world.list(&world.maps(), &ListOptions { continue_token: second.continue_token, ..limited(2) }).await;
    assert_eq!((names(&third), third.continue_token.as_str(), third.remaining), (vec!["e"], "", None));
    assert_eq!(names(&world.list(&world.maps(), &limited(0)).await), ["a", "b", "d", "dd", "e"]);
}

#[tokio::test]
async fn a_page_of_the_forgotten_past_goes_on_with_the_present() {
    let world = world().await;
    five(&world).await;
    let first = world.list(&world.maps(), &limited(2)).await;
    world.delete(&world.maps().named("c")).await;
    world.store.compact(Revision(world.revision())).await.expect("compacted");
    let options = ListOptions { continue_token: first.continue_token.clone(), ..limited(2) };
    let status = world.verbs.list(&world.maps(), &options).await.expect_err("too old");
    assert_eq!((status.code, status.reason.0.as_ref()), (410, "Expired"));
    let token = status.continue_token.expect("a way to go on");
    let rest = world.list(&world.maps(), &ListOptions { continue_token: token, ..limited(2) }).await;
    assert_eq!(names(&rest), ["d", "e"]);
    assert_eq!(rest.revision, world.revision());
    let exact = ListOptions {
        resource_version: first.revision.to_string(),
        resource_version_match: "Exact".to_owned(),
        ..limited(0)
    };
    check(
        world.verbs.list(&world.maps(), &exact).await,
        410,
        "Expired",
        "The resourceVersion for the provided list is too old.",
    );
}

#[tokio::test]
async fn the_revision_says_which_state() {
    let world = world().await;
    five(&world).await;
    let then = world.revision();
    world.map("f").await;
    let at = |version: String, wanted_match: &str, limit: u64| ListOptions {
        resource_version: version,
        resource_version_match: wanted_match.to_owned(),
        ..limited(limit)
    };
    let count = async |options: ListOptions| {
        let list = world.list(&world.maps(), &options).await;
        (list.items.len(), list.revision)
    };
    let now = world.revision();
    assert_eq!(count(at(String::new(), "", 0)).await, (6, now));
    assert_eq!(count(at("0".to_owned(), "", 2)).await, (6, now));
    assert_eq!(count(at(then.to_string(), "", 0)).await, (6, now));
    assert_eq!(count(at(then.to_string(), "NotOlderThan", 3)).await, (3, now));
    assert_eq!(count(at(then.to_string(), "Exact", 0)).await, (5, then));
    assert_eq!(count(at(then.to_string(), "", 10)).await, (5, then));
    let future = at((now + 1000).to_string(), "Exact", 0);
    let status = world.verbs.list(&world.maps(), &future).await.expect_err("too new");
    assert_eq!((status.code, status.retry_after()), (504, Some(1)));
    assert_eq!(status.message, format!("Timeout: Too large resource version: {}, current: {now}", now + 1000));
    let bad = ListOptions { continue_token: "%%%".to_owned(), ..limited(2) };
    assert_eq!(world.verbs.list(&world.maps(), &bad).await.expect_err("bad").code, 400);
}

#[tokio::test]
async fn selectors_narrow() {
    let world = world().await;
    world.add_widgets().await;
    world.create(&world.target("namespaces"), json!({"metadata": {"name": "other"}})).await;
    for (namespace, name, color) in [("default", "a", "red"), ("default", "b", "blue"), ("other", "a", "blue")] {
        let target = world.target("widgets.example.com").in_namespace(namespace);
        let body = json!({"metadata": {"name": name, "labels": {"color": color}}, "spec": {"color": color}});
        world.create(&target, body).await;
    }
    let all = world.target("widgets.example.com");
    let select = async |labels: &str, fields: &str| {
        let options = ListOptions {
            label_selector: labels.to_owned(),
            field_selector: fields.to_owned(),
            ..ListOptions::default()
        };
        let list = world.verbs.list(&all, &options).await?;
        Ok::<_, rdd_api::Status>(
            list.items.iter().map(|o| format!("{}/{}", object::namespace(o), object::name(o))).collect::<Vec<_>>(),
        )
    };
    assert_eq!(select("", "").await.expect("listed"), ["default/a", "default/b", "other/a"]);
    assert_eq!(select("color=blue", "").await.expect("listed"), ["default/b", "other/a"]);
    assert_eq!(select("color notin (red)", "").await.expect("listed"), ["default/b", "other/a"]);
    assert_eq!(select("", "metadata.name=a").await.expect("listed"), ["default/a", "other/a"]);
    assert_eq!(select("", "metadata.name!=a").await.expect("listed"), ["default/b"]);
    assert_eq!(select("", "metadata.namespace=other").await.expect("listed"), ["other/a"]);
    assert_eq!(select("", "metadata.namespace=other,metadata.name=b").await.expect("listed"), Vec::<String>::new());
    assert_eq!(select("", "spec.color=red").await.expect("listed"), ["default/a"]);
    check(select("", "spec.n=1").await, 400, "BadRequest", "field label not supported: spec.n");
    assert_eq!(select("a==b==c", "").await.expect_err("bad").code, 400);
    let unknown = ListOptions { field_selector: "data.x=1".to_owned(), ..ListOptions::default() };
    check(
        world.verbs.list(&world.maps(), &unknown).await,
        400,
        "BadRequest",
        "\"data.x\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
    );
    let phase = ListOptions { field_selector: "status.phase=Active".to_owned(), ..ListOptions::default() };
    assert_eq!(world.list(&world.target("namespaces"), &phase).await.items.len(), 5);
}

#[tokio::test]
async fn selected_pages_hold_as_many_as_asked_for() {
    let world = world().await;
    for number in 0..6 {
        let even = (number % 2 == 0).to_string();
        let body = json!({"metadata": {"name": format!("m{number}"), "labels": {"even": even}}});
        world.create(&world.maps(), body).await;
    }
    let options = ListOptions { label_selector: "even=true".to_owned(), ..limited(2) };
    let first = world.list(&world.maps(), &options).await;
    assert_eq!((names(&first), first.remaining), (vec!["m0", "m2"], None));
    let second = world.list(&world.maps(), &ListOptions { continue_token: first.continue_token, ..options }).await;
    assert_eq!((names(&second), second.continue_token.as_str()), (vec!["m4"], ""));
}

#[tokio::test]
async fn an_empty_list_is_a_list() {
    let world = world().await;
    let nowhere = world.target("configmaps").in_namespace("nowhere");
    let list = world.list(&nowhere, &ListOptions::default()).await;
    assert_eq!(
        list_object(&nowhere, &list),
        json!({"apiVersion": "v1", "kind": "ConfigMapList", "items": [],
            "metadata": {"resourceVersion": world.revision().to_string()}})
    );
}

#[tokio::test]
async fn a_get_may_ask_for_a_revision() {
    let world = world().await;
    world.map("a").await;
    let target = world.maps().named("a");
    world.verbs.get_not_older(&target, "0").await.expect("any");
    world.verbs.get_not_older(&target, &world.revision().to_string()).await.expect("this one");
    assert_eq!(world.verbs.get_not_older(&target, "x").await.expect_err("no number").code, 400);
    // Objects of one revision are one value.
    let (one, two) = (world.verbs.get(&target).expect("there"), world.verbs.get(&target).expect("there"));
    assert!(std::sync::Arc::ptr_eq(one.value(), two.value()));
}
