//! Floor 30, in process: roles and bindings decide who may do what.

mod support;

use rdd_apiserver::{ApiServer, UserInfo};
use serde_json::{Value, json};
use support::{Answer, eventually, json, send, send_as, server};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

fn user(name: &str) -> UserInfo {
    UserInfo { name: name.to_owned(), ..UserInfo::default() }
}

/// Sends JSON as a user.
async fn ask(server: &ApiServer, who: &str, method: &str, uri: &str, body: Value) -> Answer {
    let media = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let text = if body.is_null() { String::new() } else { body.to_string() };
    send_as(server, user(who), method, uri, &[("content-type", media)], text).await
}

async fn get(server: &ApiServer, who: &str, uri: &str) -> Answer {
    ask(server, who, "GET", uri, Value::Null).await
}

/// Checks that a request is refused with this message.
#[track_caller]
fn refused(answer: Answer, message: &str) {
    assert_eq!((answer.code, answer.json()["message"].as_str()), (403, Some(message)), "{}", answer.text());
}

async fn make(server: &ApiServer, uri: &str, body: Value) {
    json(server, "POST", uri, body).await.expect(201);
}

fn rule(verbs: &[&str], group: &str, resources: &[&str]) -> Value {
    json!({"verbs": verbs, "apiGroups": [group], "resources": resources})
}

/// Binds a role in `default` to a user.
async fn bind(server: &ApiServer, name: &str, kind: &str, role: &str, who: &str) {
    let binding = json!({
        "metadata": {"name": name}, "roleRef": {"kind": kind, "name": role},
        "subjects": [{"kind": "User", "name": who}],
    });
    make(server, &format!("{RBAC}/namespaces/default/rolebindings"), binding).await;
}

async fn role(server: &ApiServer, name: &str, rules: Value) {
    let role = json!({"metadata": {"name": name}, "rules": rules});
    make(server, &format!("{RBAC}/namespaces/default/roles"), role).await;
}

#[tokio::test]
async fn a_user_may_do_what_their_role_says_and_no_more() {
    let server = server().await;
    let maps = "/api/v1/namespaces/default/configmaps";
    refused(
        get(&server, "bob", &format!("{maps}/a")).await,
        "configmaps \"a\" is forbidden: User \"bob\" cannot get resource \"configmaps\" in API group \"\" in the \
         namespace \"default\"",
    );
    role(&server, "reader", json!([rule(&["get", "list", "create"], "", &["configmaps"])])).await;
    bind(&server, "reads", "Role", "reader", "bob").await;
    // A write counts for the very next request.
    get(&server, "bob", &format!("{maps}/a")).await.expect(404);
    ask(&server, "bob", "POST", maps, json!({"metadata": {"name": "a"}})).await.expect(201);
    get(&server, "bob", maps).await.expect(200);
    refused(
        ask(&server, "bob", "DELETE", &format!("{maps}/a"), Value::Null).await,
        "configmaps \"a\" is forbidden: User \"bob\" cannot delete resource \"configmaps\" in API group \"\" in the \
         namespace \"default\"",
    );
    // Whether there is one is nobody's business who may not look.
    refused(
        get(&server, "bob", "/api/v1/namespaces/default/secrets/nothing").await,
        "secrets \"nothing\" is forbidden: User \"bob\" cannot get resource \"secrets\" in API group \"\" in the \
         namespace \"default\"",
    );
    refused(
        get(&server, "bob", "/api/v1/configmaps").await,
        "configmaps is forbidden: User \"bob\" cannot list resource \"configmaps\" in API group \"\" at the cluster \
         scope",
    );
    refused(
        get(&server, "bob", "/api/v1/namespaces/kube-system/configmaps").await,
        "configmaps is forbidden: User \"bob\" cannot list resource \"configmaps\" in API group \"\" in the namespace \
         \"kube-system\"",
    );
    refused(get(&server, "<i>&", "/metrics").await, "forbidden: User \"&lt;i&gt;&amp;\" cannot get path \"/metrics\"");
    get(&server, "eve", "/apis/apps").await.expect(404);
    let gone = send(&server, "DELETE", &format!("{RBAC}/namespaces/default/rolebindings/reads"), &[], "").await;
    gone.expect(200);
    assert_eq!(get(&server, "bob", maps).await.code, 403, "the binding is gone");
    server.shutdown().await;
}

#[tokio::test]
async fn a_name_in_a_rule_opens_that_object_only() {
    let server = server().await;
    let secrets = "/api/v1/namespaces/default/secrets";
    for name in ["a", "b"] {
        make(&server, secrets, json!({"metadata": {"name": name}})).await;
    }
    let mut rule = rule(&["get", "list", "create"], "", &["secrets"]);
    rule["resourceNames"] = json!(["a"]);
    role(&server, "one", json!([rule])).await;
    bind(&server, "one", "Role", "one", "bob").await;
    get(&server, "bob", &format!("{secrets}/a")).await.expect(200);
    assert_eq!(get(&server, "bob", &format!("{secrets}/b")).await.code, 403);
    assert_eq!(get(&server, "bob", secrets).await.code, 403);
    let list = get(&server, "bob", &format!("{secrets}?fieldSelector=metadata.name%3Da")).await.expect(200).json();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    let tricked = format!("{secrets}?fieldSelector=type!%3Dx%5C%2Cmetadata.name%3Da");
    assert_eq!(get(&server, "bob", &tricked).await.code, 403);
    let create = format!("{secrets}?fieldSelector=metadata.name%3Da");
    assert_eq!(ask(&server, "bob", "POST", &create, json!({"metadata": {"name": "c"}})).await.code, 403);
    server.shutdown().await;
}

#[tokio::test]
async fn an_update_that_creates_needs_both_verbs() {
    let server = server().await;
    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    role(&server, "w", json!([rule(&["update"], "coordination.k8s.io", &["leases"])])).await;
    bind(&server, "w", "Role", "w", "bob").await;
    let lease = json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "bob"}});
    refused(
        ask(&server, "bob", "PUT", &format!("{leases}/l"), lease.clone()).await,
        "leases.coordination.k8s.io \"l\" is forbidden: User \"bob\" cannot create resource \"leases\" in API group \
         \"coordination.k8s.io\" in the namespace \"default\"",
    );
    let made = json(&server, "POST", leases, json!({"metadata": {"name": "l"}})).await.expect(201).json();
    let mut next = lease;
    next["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"].clone();
    ask(&server, "bob", "PUT", &format!("{leases}/l"), next).await.expect(200);
    server.shutdown().await;
}

#[tokio::test]
async fn an_apply_that_creates_needs_both_verbs() {
    let server = server().await;
    let maps = "/api/v1/namespaces/default/configmaps";
    role(&server, "patcher", json!([rule(&["patch"], "", &["configmaps"])])).await;
    bind(&server, "patches", "Role", "patcher", "bob").await;
    let apply = async |data: &str| {
        let uri = format!("{maps}/a?fieldManager=bob");
        let text = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": data}}).to_string();
        send_as(&server, user("bob"), "PATCH", &uri, &[("content-type", "application/apply-patch+yaml")], text).await
    };
    refused(
        apply("1").await,
        "configmaps \"a\" is forbidden: User \"bob\" cannot create resource \"configmaps\" in API group \"\" in the \
         namespace \"default\"",
    );
    make(&server, maps, json!({"metadata": {"name": "a"}})).await;
    apply("1").await.expect(200);
    // Nor is it a way to more rights than one's own.
    role(&server, "writer", json!([rule(&["patch", "create"], "rbac.authorization.k8s.io", &["roles"])])).await;
    bind(&server, "writes", "Role", "writer", "bob").await;
    let more = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "rules": [rule(&["get"], "", &["secrets"])],
    });
    let uri = format!("{RBAC}/namespaces/default/roles/more?fieldManager=bob");
    let media = [("content-type", "application/apply-patch+yaml")];
    let answer = send_as(&server, user("bob"), "PATCH", &uri, &media, more.to_string()).await.expect(403);
    assert!(answer.text().contains("is attempting to grant RBAC permissions not currently held"), "{}", answer.text());
}

#[tokio::test]
async fn a_namespace_is_no_way_to_another_one() {
    let server = server().await;
    make(&server, "/api/v1/namespaces", json!({"metadata": {"name": "other"}})).await;
    bind(&server, "all", "ClusterRole", "cluster-admin", "bob").await;
    let below = "/api/v1/namespaces/default/namespaces";
    for (method, uri) in [
        ("GET", below.to_owned()),
        ("GET", format!("{below}?watch=true")),
        ("GET", "/api/v1/watch/namespaces/default/namespaces".to_owned()),
        ("GET", format!("{below}/other")),
        ("POST", below.to_owned()),
        ("PUT", format!("{below}/other/finalize")),
        ("PATCH", format!("{below}/other")),
        ("DELETE", format!("{below}/other")),
    ] {
        let answer = ask(&server, "bob", method, &uri, json!({"metadata": {"name": "made"}})).await;
        assert_eq!(answer.code, 404, "{method} {uri}: {}", answer.text());
    }
    // Their own one is theirs.
    get(&server, "bob", "/api/v1/namespaces/default").await.expect(200);
    get(&server, "bob", "/api/v1/namespaces/other").await.expect(403);
}

#[tokio::test]
async fn a_role_too_large_to_be_checked_is_refused() {
    let server = server().await;
    bind(&server, "all", "ClusterRole", "admin", "bob").await;
    let many = vec!["x"; 1000];
    let role = json!({"metadata": {"name": "r"}, "rules": [{"verbs": many, "apiGroups": many, "resources": many}]});
    let answer = ask(&server, "bob", "POST", &format!("{RBAC}/namespaces/default/roles"), role).await.expect(403);
    assert!(answer.text().contains("more than can be checked"), "{}", answer.text());
}

#[tokio::test]
async fn who_cannot_be_read_is_not_who_asks() {
    let server = server().await;
    let named = |name: &'static [u8]| {
        let request = http::Request::builder().uri("/api/v1/namespaces").header("impersonate-user", name);
        let service = server.service(UserInfo::system_masters("gateway"));
        let request = request.body(axum::body::Body::empty()).expect("a request");
        async move { tower::ServiceExt::oneshot(service, request).await.expect("infallible").status().as_u16() }
    };
    assert_eq!(named("jürgen".as_bytes()).await, 403, "a name in UTF-8 is one");
    assert_eq!(named(b"j\xfcrgen").await, 400);
}

#[tokio::test]
async fn nobody_grants_what_they_do_not_have() {
    let server = server().await;
    let (roles, bindings) =
        (format!("{RBAC}/namespaces/default/roles"), format!("{RBAC}/namespaces/default/rolebindings"));
    let on_rbac = rule(&["create", "update", "patch", "get"], "rbac.authorization.k8s.io", &["roles", "rolebindings"]);
    role(&server, "maker", json!([on_rbac, rule(&["get"], "", &["configmaps"])])).await;
    bind(&server, "maker", "Role", "maker", "bob").await;

    let fine = json!({"metadata": {"name": "fine"}, "rules": [rule(&["get"], "", &["configmaps"])]});
    ask(&server, "bob", "POST", &roles, fine).await.expect(201);
    let more = json!([rule(&["get", "list"], "", &["configmaps", "secrets"])]);
    let text = |what: &str| {
        format!(
            "{what} is forbidden: user \"bob\" (groups=[\"system:authenticated\"]) is attempting to grant RBAC \
             permissions not currently held:\n{{APIGroups:[\"\"], Resources:[\"configmaps\"], Verbs:[\"list\"]}}\n\
             {{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"list\"]}}"
        )
    };
    let create = json!({"metadata": {"name": "more"}, "rules": more});
    refused(
        ask(&server, "bob", "POST", &roles, create.clone()).await,
        &text("roles.rbac.authorization.k8s.io \"more\""),
    );
    // PUT makes what is missing, and is no way around.
    refused(
        ask(&server, "bob", "PUT", &format!("{roles}/more"), create).await,
        &text("roles.rbac.authorization.k8s.io \"more\""),
    );
    refused(
        ask(&server, "bob", "PATCH", &format!("{roles}/fine"), json!({"rules": more})).await,
        &text("roles.rbac.authorization.k8s.io \"fine\""),
    );
    role(&server, "strong", more).await;
    let binding = |name: &str, kind: &str, role: &str| {
        json!({"metadata": {"name": name}, "roleRef": {"kind": kind, "name": role},
            "subjects": [{"kind": "User", "name": "bob"}]})
    };
    refused(
        ask(&server, "bob", "POST", &bindings, binding("b", "Role", "strong")).await,
        &text("rolebindings.rbac.authorization.k8s.io \"b\""),
    );
    assert_eq!(ask(&server, "bob", "POST", &bindings, binding("b", "ClusterRole", "cluster-admin")).await.code, 403);
    let missing = ask(&server, "bob", "POST", &bindings, binding("b", "Role", "missing")).await.expect(404).json();
    assert_eq!(missing["message"], "role.rbac.authorization.k8s.io \"missing\" not found");
    ask(&server, "bob", "POST", &bindings, binding("b", "Role", "fine")).await.expect(201);

    // Those who may bind or escalate are not asked further.
    let mut bind_rule = rule(&["bind"], "rbac.authorization.k8s.io", &["roles"]);
    bind_rule["resourceNames"] = json!(["strong"]);
    role(&server, "binder", json!([bind_rule, rule(&["escalate"], "rbac.authorization.k8s.io", &["roles"])])).await;
    bind(&server, "binder", "Role", "binder", "bob").await;
    ask(&server, "bob", "POST", &bindings, binding("c", "Role", "strong")).await.expect(201);
    let all = json!({"metadata": {"name": "all"}, "rules": [rule(&["*"], "*", &["*"])]});
    ask(&server, "bob", "POST", &roles, all).await.expect(201);
    server.shutdown().await;
}

#[tokio::test]
async fn the_role_of_a_binding_stays() {
    let server = server().await;
    bind(&server, "b", "ClusterRole", "view", "bob").await;
    let one = format!("{RBAC}/namespaces/default/rolebindings/b");
    let stored = support::get(&server, &one).await.expect(200).json();
    assert_eq!(stored["subjects"][0]["apiGroup"], "rbac.authorization.k8s.io");
    let patched = json(&server, "PATCH", &one, json!({"roleRef": {"name": "edit"}})).await.expect(422).json();
    assert!(patched["message"].as_str().expect("text").ends_with(": cannot change roleRef"), "{patched}");
    let bad = json!({"metadata": {"name": "a/b"}, "rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]});
    let refused = json(&server, "POST", &format!("{RBAC}/namespaces/default/roles"), bad).await.expect(422).json();
    let fields: Vec<&str> =
        refused["details"]["causes"].as_array().expect("causes").iter().filter_map(|c| c["field"].as_str()).collect();
    assert_eq!(fields, ["metadata.name", "rules[0].nonResourceURLs"]);
    server.shutdown().await;
}

#[tokio::test]
async fn aggregated_roles_follow_their_parts() {
    let server = server().await;
    let roles = format!("{RBAC}/clusterroles");
    bind(&server, "b", "ClusterRole", "view", "bob").await;
    let widgets = "/apis/example.com/v1/namespaces/default/widgets";
    assert_eq!(get(&server, "bob", widgets).await.code, 403);
    let label = "rbac.authorization.k8s.io/aggregate-to-view";
    let part = json!({"metadata": {"name": "widgets", "labels": {label: "true"}},
        "rules": [rule(&["list"], "example.com", &["widgets"])]});
    make(&server, &roles, part).await;
    let is = |code: u16| {
        let server = server.clone();
        move || {
            let server = server.clone();
            async move {
                let seen = get(&server, "bob", widgets).await.code;
                if seen == code { Ok(()) } else { Err(seen.to_string()) }
            }
        }
    };
    // Allowed now, and so not found.
    eventually("view gathers the rule", is(404)).await;
    let admin = support::get(&server, &format!("{roles}/admin")).await.expect(200).json();
    assert!(admin["rules"].as_array().is_some_and(|rules| !rules.is_empty()), "{admin}");
    send(&server, "DELETE", &format!("{roles}/widgets"), &[], "").await.expect(200);
    eventually("view lets go of the rule", is(403)).await;
    server.shutdown().await;
}

#[tokio::test]
async fn bootstrap_roles_are_completed_at_a_start_and_otherwise_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let start = || async {
        let location = rdd_store::Location::File(dir.path().join("db"));
        let store = rdd_store::Store::open(location, rdd_store::Options::default()).expect("a store");
        ApiServer::builder().store(store).grant("mine", "view", "bob").start().await.expect("starts")
    };
    let roles = format!("{RBAC}/clusterroles");
    let server = start().await;
    get(&server, "bob", "/api/v1/configmaps").await.expect(200);
    let viewer = format!("{roles}/system:public-info-viewer");
    let basic = format!("{roles}/system:basic-user");
    json(&server, "PATCH", &viewer, json!({"rules": [], "metadata": {"labels": {"mine": "1"}}})).await.expect(200);
    let off =
        json!({"rules": [], "metadata": {"annotations": {"rbac.authorization.kubernetes.io/autoupdate": "false"}}});
    json(&server, "PATCH", &basic, off).await.expect(200);
    assert_eq!(get(&server, "eve", "/version").await.code, 200, "discovery still says so");
    let monitoring = format!("{RBAC}/clusterrolebindings/system:monitoring");
    send(&server, "DELETE", &monitoring, &[], "").await.expect(200);
    let other = json!({"metadata": {"name": "system:monitoring"}, "subjects": [{"kind": "User", "name": "eve"}],
        "roleRef": {"kind": "ClusterRole", "name": "cluster-admin"}});
    make(&server, &format!("{RBAC}/clusterrolebindings"), other).await;
    server.shutdown().await;

    let server = start().await;
    let viewer = support::get(&server, &viewer).await.expect(200).json();
    assert_eq!(viewer["rules"].as_array().map(Vec::len), Some(1), "{viewer}");
    assert_eq!(viewer["metadata"]["labels"]["mine"], "1");
    let basic = support::get(&server, &basic).await.expect(200).json();
    assert!(basic["rules"].as_array().is_none_or(Vec::is_empty), "{basic}");
    let monitoring = support::get(&server, &monitoring).await.expect(200).json();
    let names = (&monitoring["roleRef"]["name"], &monitoring["subjects"][0]["name"]);
    assert_eq!(names, (&json!("system:monitoring"), &json!("system:monitoring")), "nobody becomes an administrator");
    let revision = server.verbs().revision();
    server.shutdown().await;
    let server = start().await;
    assert_eq!(server.verbs().revision(), revision, "a start that finds everything writes nothing");
    server.shutdown().await;
}

#[tokio::test]
async fn impersonation_needs_a_rule() {
    let server = server().await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let as_ann = |groups: &'static [&'static str]| {
        let mut headers = vec![("impersonate-user", "ann")];
        headers.extend(groups.iter().map(|group| ("impersonate-group", *group)));
        headers
    };
    bind(&server, "ann", "ClusterRole", "view", "ann").await;
    let answer = send_as(&server, user("bob"), "GET", maps, &as_ann(&[]), "").await;
    refused(
        answer,
        "users \"ann\" is forbidden: User \"bob\" cannot impersonate resource \"users\" in API group \"\" at the \
         cluster scope",
    );
    let mut rule = rule(&["impersonate"], "", &["users"]);
    rule["resourceNames"] = json!(["ann"]);
    make(&server, &format!("{RBAC}/clusterroles"), json!({"metadata": {"name": "imp"}, "rules": [rule]})).await;
    let binding = json!({"metadata": {"name": "imp"}, "roleRef": {"kind": "ClusterRole", "name": "imp"},
        "subjects": [{"kind": "User", "name": "bob"}]});
    make(&server, &format!("{RBAC}/clusterrolebindings"), binding).await;
    send_as(&server, user("bob"), "GET", maps, &as_ann(&[]), "").await.expect(200);
    let masters = send_as(&server, user("bob"), "GET", maps, &as_ann(&["system:masters"]), "").await;
    refused(
        masters,
        "groups \"system:masters\" is forbidden: User \"bob\" cannot impersonate resource \"groups\" in API group \"\" \
         at the cluster scope",
    );
    server.shutdown().await;
}
