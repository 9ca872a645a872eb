//! Admission webhooks, with a webhook that listens on loopback.

mod support;

#[path = "support/hooks.rs"]
mod hooks;

use axum::body::Body;
use hooks::{Hooks, allow, answer, configure, patch};
use rdd_apiserver::{ApiServer, Service};
use serde_json::{Value, json};
use support::{builder, get, json, send, server};

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";
const CONFIGMAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn create(server: &ApiServer, name: &str) -> support::Answer {
    json(server, "POST", CONFIGMAPS, json!({"metadata": {"name": name}})).await
}

#[tokio::test]
async fn a_webhook_is_told_everything() {
    let server = server().await;
    let hooks = Hooks::start(|_, review| allow(review)).await;
    let all = json!([{"operations": ["*"], "apiGroups": [""], "apiVersions": ["*"], "resources": ["configmaps"]}]);
    configure(&server, "mutating", "a", &[hooks.hook("m", json!({"rules": all}))]).await;
    configure(&server, "validating", "a", &[hooks.hook("v", json!({"rules": all, "timeoutSeconds": 3}))]).await;

    create(&server, "a").await.expect(201);
    let asked = hooks.asked();
    assert_eq!(asked.iter().map(|a| a.uri.as_str()).collect::<Vec<_>>(), ["/m?timeout=10s", "/v?timeout=3s"]);
    let header = |name: &str| asked[0].headers[name].to_str().expect("text").to_owned();
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("user-agent"), "kube-apiserver-admission");
    let first = &asked[0];
    assert_eq!(
        (&first.review["kind"], &first.review["apiVersion"]),
        (&json!("AdmissionReview"), &json!("admission.k8s.io/v1"))
    );
    let kind = json!({"group": "", "version": "v1", "kind": "ConfigMap"});
    let resource = json!({"group": "", "version": "v1", "resource": "configmaps"});
    for (pointer, expect) in [
        ("/kind", &kind),
        ("/requestKind", &kind),
        ("/resource", &resource),
        ("/requestResource", &resource),
        ("/name", &json!("a")),
        ("/namespace", &json!("default")),
        ("/operation", &json!("CREATE")),
        ("/userInfo/username", &json!("test")),
        ("/userInfo/groups", &json!(["system:masters", "system:authenticated"])),
        ("/object/metadata/name", &json!("a")),
        ("/object/kind", &json!("ConfigMap")),
        ("/oldObject", &Value::Null),
        ("/dryRun", &json!(false)),
        ("/options", &json!({"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"})),
    ] {
        assert_eq!(first.request(pointer), expect, "{pointer}");
    }
    assert_eq!(first.request("/object/metadata/uid"), &Value::Null, "made after mutating admission");
    assert!(asked[1].request("/object/metadata/uid").is_string(), "and before validating");
    assert_ne!(first.request("/uid"), asked[1].request("/uid"));

    let merge = json!({"data": {"a": "b"}});
    json(&server, "PATCH", &format!("{CONFIGMAPS}/a"), merge).await.expect(200);
    let asked = hooks.asked();
    assert_eq!(
        (asked[0].request("/operation"), asked[0].request("/options/kind")),
        (&json!("UPDATE"), &json!("UpdateOptions"))
    );
    assert_eq!((asked[0].request("/object/data/a"), asked[0].request("/oldObject/data")), (&json!("b"), &Value::Null));

    create(&server, "b").await.expect(201);
    hooks.asked();
    send(&server, "DELETE", CONFIGMAPS, &[], Body::empty()).await.expect(200);
    let asked = hooks.asked();
    assert_eq!(asked.len(), 4, "one review for each object and phase");
    for asked in &asked {
        assert_eq!((asked.request("/operation"), asked.request("/object")), (&json!("DELETE"), &Value::Null));
        assert!(asked.request("/oldObject/metadata/uid").is_string());
    }
}

#[tokio::test]
async fn refusals_are_the_webhooks_own() {
    let server = server().await;
    let hooks = Hooks::start(|_, review| {
        let status = match review["request"]["name"].as_str().expect("a name") {
            "plain" => json!(null),
            "reason" => json!({"reason": "TooOld"}),
            "code" => json!({"code": 418, "message": "I am a teapot", "reason": "Teapot"}),
            "low" => json!({"code": 200, "message": "fine, but no"}),
            _ => return answer(review, json!({"allowed": true, "warnings": ["look out", "mind the gap"]})),
        };
        answer(review, json!({"allowed": false, "status": status, "warnings": ["refused"]}))
    })
    .await;
    for (kind, webhook) in [("mutating", "m"), ("validating", "v")] {
        configure(&server, kind, "a", &[hooks.hook(webhook, json!({}))]).await;
        let denied = format!("admission webhook \"{webhook}.hook.test\" denied the request");
        for (name, code, reason, text) in [
            ("plain", 400, "", format!("{denied} without explanation")),
            ("reason", 400, "TooOld", format!("{denied}: TooOld")),
            ("code", 418, "Teapot", format!("{denied}: I am a teapot")),
            ("low", 400, "", format!("{denied}: fine, but no")),
        ] {
            let refused = create(&server, name).await.expect(code);
            assert_eq!(refused.json()["message"], text);
            assert_eq!(refused.json()["reason"].as_str().unwrap_or_default(), reason);
            get(&server, &format!("{CONFIGMAPS}/{name}")).await.expect(404);
        }
        let made = create(&server, &format!("fine-{webhook}")).await.expect(201);
        let warnings: Vec<_> = made.headers.get_all("warning").iter().map(|v| v.to_str().expect("text")).collect();
        assert_eq!(warnings, ["299 - \"look out\"", "299 - \"mind the gap\""]);
        send(&server, "DELETE", &format!("{GROUP}/{kind}webhookconfigurations/a"), &[], Body::empty())
            .await
            .expect(200);
        create(&server, &format!("plain-{webhook}")).await.expect(201);
        create(&server, "plain").await.expect(201);
        send(&server, "DELETE", &format!("{CONFIGMAPS}/plain"), &[], Body::empty()).await.expect(200);
    }
}

#[tokio::test]
async fn changes_are_made_one_after_the_other() {
    let server = server().await;
    let hooks = Hooks::start(|path, review| {
        let seen = review["request"]["object"]["data"]["seen"].as_str().unwrap_or_default();
        let seen = format!("{seen}{}", path.trim_start_matches('/'));
        patch(review, &json!([{"op": "add", "path": "/data", "value": {"seen": seen}}, {"op": "add", "path": "/junk", "value": 1}]))
    })
    .await;
    let hook = |name: &str| hooks.hook(name, json!({}));
    configure(&server, "mutating", "z", &[hook("e")]).await;
    configure(&server, "mutating", "b", &[hook("d"), hook("c")]).await;
    configure(&server, "mutating", "a", &[hook("a")]).await;
    let made = create(&server, "a").await.expect(201).json();
    assert_eq!((&made["data"]["seen"], &made["junk"]), (&json!("adce"), &Value::Null));
    assert_eq!(get(&server, &format!("{CONFIGMAPS}/a")).await.json(), made);
    // Whoever validates sees the outcome.
    hooks.asked();
    let validator = Hooks::start(|_, review| allow(review)).await;
    configure(&server, "validating", "a", &[validator.hook("v", json!({}))]).await;
    create(&server, "b").await.expect(201);
    assert_eq!(validator.asked()[0].request("/object/data/seen"), &json!("adce"));
}

#[tokio::test]
async fn objects_are_pruned_and_defaulted_after_each_change() {
    let server = server().await;
    let definition = rdd_schema::yaml::parse(support::WIDGETS).expect("a definition");
    json(&server, "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).await.expect(201);
    let hooks = Hooks::start(|path, review| match path {
        "/a" => patch(
            review,
            &json!([{"op": "remove", "path": "/spec/color"}, {"op": "add", "path": "/spec/junk", "value": 1}]),
        ),
        _ => patch(review, &json!([{"op": "replace", "path": "/spec/size", "value": 0}])),
    })
    .await;
    let rules = json!([{"operations": ["CREATE"], "apiGroups": ["example.com"], "apiVersions": ["v1"], "resources": ["widgets"]}]);
    let webhooks = [hooks.hook("a", json!({"rules": rules})), hooks.hook("b", json!({"rules": rules}))];
    configure(&server, "mutating", "a", &webhooks).await;
    let body = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 1, "color": "blue"}});
    let refused =
        json(&server, "POST", "/apis/example.com/v1/namespaces/default/widgets", body).await.expect(422).json();
    let message = refused["message"].as_str().expect("text");
    assert!(message.contains("spec.size: Invalid value: 0"), "what webhooks make is validated: {message}");
    assert_eq!(hooks.asked()[1].request("/object/spec"), &json!({"size": 1, "color": "red"}));
}

#[tokio::test]
async fn a_failure_stops_the_request_or_does_not() {
    let server = server().await;
    let hooks = Hooks::start(|path, review| match path {
        "/slow" => None,
        "/broken" => Some((500, json!({"oh": "no"}))),
        "/missing" => Some((404, json!({}))),
        "/stranger" => Some((
            200,
            json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
            "response": {"uid": "other", "allowed": true}}),
        )),
        "/untyped" => Some((200, json!({"response": {"allowed": true}}))),
        "/silent" => Some((200, json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"}))),
        "/changes" => patch(review, &json!([{"op": "add", "path": "/data", "value": {}}])),
        "/half" => answer(review, json!({"allowed": true, "patch": "W10="})),
        _ => allow(review),
    })
    .await;
    let stranger = Hooks::start(|_, review| allow(review)).await;
    let (address, ca_bundle) = (hooks.address, &hooks.ca_bundle);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let at = |url: String, ca_bundle: &str| json!({"clientConfig": {"url": url, "caBundle": ca_bundle}});
    let call = |url: String| format!("failed to call webhook: Post \"{url}?timeout=1s\": ");
    let cases = [
        ("validating", "slow", json!({}), format!("{}context deadline exceeded", call(format!("https://{address}/slow")))),
        ("validating", "broken", json!({}), r#"failed to call webhook: an error on the server ("{\"oh\":\"no\"}") has prevented the request from succeeding"#.into()),
        ("validating", "missing", json!({}), "failed to call webhook: the server could not find the requested resource".into()),
        ("validating", "stranger", json!({}), r#"received invalid webhook response: expected response.uid="#.into()),
        ("validating", "untyped", json!({}), "received invalid webhook response: expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /, Kind=".into()),
        ("validating", "silent", json!({}), "received invalid webhook response: webhook response was absent".into()),
        ("validating", "changes", json!({}), "received invalid webhook response: validating webhook may not return response.patch".into()),
        ("mutating", "half", json!({}), "received invalid webhook response: webhook returned response.patch but not response.patchType".into()),
        ("validating", "nobody", at(format!("https://{nobody}"), ca_bundle), call(format!("https://{nobody}"))),
        ("validating", "distrusted", at(format!("https://{address}"), &stranger.ca_bundle), call(format!("https://{address}"))),
        ("validating", "unknown", at(format!("https://{address}"), ""), call(format!("https://{address}"))),
        ("mutating", "misnamed", at(format!("https://localhost:{}", address.port()), ca_bundle), call(format!("https://localhost:{}", address.port()))),
    ];
    for (kind, name, change, expect) in cases {
        let mut hook = hooks.hook(name, change);
        hook["timeoutSeconds"] = json!(1);
        configure(&server, kind, "a", &[hook.clone()]).await;
        let refused = create(&server, name).await.expect(500).json();
        let message = refused["message"].as_str().expect("text");
        let expect = format!("Internal error occurred: failed calling webhook \"{name}.hook.test\": {expect}");
        assert!(message.starts_with(&expect), "{message}\n{expect}");
        assert_eq!(refused["reason"], "InternalError");
        let one = format!("{GROUP}/{kind}webhookconfigurations/a");
        hook["failurePolicy"] = json!("Ignore");
        json(&server, "PATCH", &one, json!({"webhooks": [hook]})).await.expect(200);
        create(&server, name).await.expect(201);
        send(&server, "DELETE", &one, &[], Body::empty()).await.expect(200);
    }
    assert!(stranger.asked().is_empty());
}

#[tokio::test]
async fn a_patch_that_does_not_fit_is_an_error_whatever_the_policy() {
    let server = server().await;
    let hooks = Hooks::start(|_, review| patch(review, &json!([{"op": "remove", "path": "/nowhere"}]))).await;
    configure(&server, "mutating", "a", &[hooks.hook("m", json!({"failurePolicy": "Ignore"}))]).await;
    let refused = create(&server, "a").await.expect(500).json();
    assert_eq!(refused["reason"], "InternalError");
}

#[tokio::test]
async fn rules_and_selectors_say_which_requests() {
    let server = server().await;
    let hooks = Hooks::start(|_, review| allow(review)).await;
    let labels = |labels: Value| json!({"matchLabels": labels});
    let rules = |scope: &str, resource: &str| json!([{"operations": ["CREATE", "UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": [resource], "scope": scope}]);
    configure(
        &server,
        "validating",
        "a",
        &[
            hooks.hook(
                "kube-system",
                json!({"namespaceSelector": labels(json!({"kubernetes.io/metadata.name": "kube-system"}))}),
            ),
            hooks.hook("labelled", json!({"objectSelector": labels(json!({"a": "b"}))})),
            hooks.hook("cluster", json!({"rules": rules("Cluster", "*")})),
            hooks.hook(
                "namespaces-x",
                json!({"rules": rules("*", "namespaces"), "namespaceSelector": labels(json!({"x": "y"}))}),
            ),
            hooks.hook("status", json!({"rules": rules("*", "namespaces/status")})),
        ],
    )
    .await;
    let other = "/api/v1/namespaces/kube-system/configmaps";
    let called = async |method: &str, path: &str, body: Value| {
        let answer = json(&server, method, path, body).await;
        assert!(answer.code < 300, "{}", answer.text());
        // All are asked at once.
        let mut paths: Vec<_> = hooks.paths().split(' ').map(str::to_owned).collect();
        paths.sort();
        paths.join(" ")
    };
    assert_eq!(called("POST", CONFIGMAPS, json!({"metadata": {"name": "a"}})).await, "");
    assert_eq!(called("POST", other, json!({"metadata": {"name": "a"}})).await, "kube-system");
    let labelled = json!({"metadata": {"name": "b", "labels": {"a": "b"}}});
    assert_eq!(called("POST", CONFIGMAPS, labelled).await, "labelled");
    // What it was counts, too.
    let one = format!("{CONFIGMAPS}/b");
    assert_eq!(called("PATCH", &one, json!({"metadata": {"labels": {"a": null}}})).await, "labelled");
    assert_eq!(called("PATCH", &one, json!({"data": {"a": "b"}})).await, "");
    assert_eq!(called("POST", "/api/v1/namespaces", json!({"metadata": {"name": "n"}})).await, "cluster");
    let named = json!({"metadata": {"name": "x", "labels": {"x": "y"}}});
    assert_eq!(called("POST", "/api/v1/namespaces", named).await, "cluster namespaces-x");
    let status = json!({"status": {"conditions": [{"type": "T", "status": "True"}]}});
    assert_eq!(called("PATCH", "/api/v1/namespaces/n/status", status).await, "status");
    let gone = json(&server, "POST", "/api/v1/namespaces/none/configmaps", json!({"metadata": {"name": "a"}})).await;
    assert_eq!(gone.code, 404);
}

#[tokio::test]
async fn equivalent_versions_are_converted() {
    let server = server().await;
    let schema = |field: &str| json!({"openAPIV3Schema": {"type": "object", "properties": {field: {"type": "string"}, "both": {"type": "string"}}}});
    let version =
        |name: &str, storage: bool| json!({"name": name, "served": true, "storage": storage, "schema": schema(name)});
    let definition = json!({
        "metadata": {"name": "things.example.com"},
        "spec": {"group": "example.com", "scope": "Cluster", "names": {"plural": "things", "kind": "Thing"},
            "versions": [version("v1", true), version("v2", false)]},
    });
    json(&server, "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).await.expect(201);
    let hooks =
        Hooks::start(|_, review| patch(review, &json!([{"op": "add", "path": "/both", "value": "hook"}]))).await;
    let rules =
        json!([{"operations": ["*"], "apiGroups": ["example.com"], "apiVersions": ["v1"], "resources": ["things"]}]);
    configure(
        &server,
        "mutating",
        "a",
        &[
            hooks.hook("equivalent", json!({"rules": rules})),
            hooks.hook("exact", json!({"rules": rules, "matchPolicy": "Exact"})),
        ],
    )
    .await;
    let body = json!({"apiVersion": "example.com/v2", "kind": "Thing", "metadata": {"name": "a"}, "v2": "x"});
    let made = json(&server, "POST", "/apis/example.com/v2/things", body).await.expect(201).json();
    assert_eq!((&made["apiVersion"], &made["both"]), (&json!("example.com/v2"), &json!("hook")));
    let asked = hooks.asked();
    assert_eq!(asked.len(), 1);
    let thing = |version: &str| json!({"group": "example.com", "version": version, "kind": "Thing"});
    assert_eq!((asked[0].request("/kind"), asked[0].request("/requestKind")), (&thing("v1"), &thing("v2")));
    assert_eq!(asked[0].request("/resource/version"), "v1");
    assert_eq!(
        (asked[0].request("/object/apiVersion"), asked[0].request("/object/v2")),
        (&json!("example.com/v1"), &Value::Null)
    );
    let body = json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "b"}});
    json(&server, "POST", "/apis/example.com/v1/things", body).await.expect(201);
    assert_eq!(hooks.paths(), "equivalent exact");
}

#[tokio::test]
async fn some_are_asked_again_when_others_changed_the_object() {
    let server = server().await;
    let hooks = Hooks::start(|path, review| {
        let step = json!([{"op": "add", "path": "/data", "value": {"by": path.trim_start_matches('/')}}]);
        if path == "/changes" { patch(review, &step) } else { allow(review) }
    })
    .await;
    let again = json!({"reinvocationPolicy": "IfNeeded"});
    configure(
        &server,
        "mutating",
        "a",
        &[
            hooks.hook("again", again.clone()),
            hooks.hook("once", json!({})),
            hooks.hook("changes", again.clone()),
            hooks.hook("later", again),
        ],
    )
    .await;
    create(&server, "a").await.expect(201);
    assert_eq!(hooks.paths(), "again once changes later again");
    // A change that changes nothing is none.
    json(&server, "PATCH", &format!("{CONFIGMAPS}/a"), json!({"metadata": {"labels": {"a": "b"}}})).await.expect(200);
    assert_eq!(hooks.paths(), "again once changes later");
}

#[tokio::test]
async fn dry_runs_are_told() {
    let server = server().await;
    let hooks = Hooks::start(|_, review| allow(review)).await;
    configure(&server, "validating", "a", &[hooks.hook("v", json!({"sideEffects": "NoneOnDryRun"}))]).await;
    json(&server, "POST", &format!("{CONFIGMAPS}?dryRun=All"), json!({"metadata": {"name": "a"}})).await.expect(201);
    let asked = hooks.asked();
    assert_eq!((asked[0].request("/dryRun"), asked[0].request("/options/dryRun")), (&json!(true), &json!(["All"])));
    get(&server, &format!("{CONFIGMAPS}/a")).await.expect(404);
}

#[tokio::test]
async fn services_are_where_the_embedder_says() {
    let hooks = Hooks::start(|_, review| allow(review)).await;
    let address = hooks.address;
    let service = |name: &str| {
        let service = json!({"name": name, "namespace": "default", "path": "/p"});
        hooks.hook("s", json!({"clientConfig": {"service": service, "caBundle": hooks.ca_bundle}}))
    };
    let server = builder()
        .services(move |service: &Service| match service.name.as_str() {
            "hook" | "other" => Ok(address),
            name => Err(format!("no {name}")),
        })
        .start()
        .await
        .expect("starts");
    let made = configure(&server, "validating", "a", &[service("hook")]).await;
    assert_eq!(made["webhooks"][0]["clientConfig"]["service"]["port"], 443);
    create(&server, "a").await.expect(201);
    let asked = hooks.asked();
    assert_eq!(
        (asked[0].uri.as_str(), &asked[0].headers["host"]),
        ("/p?timeout=10s", &"hook.default.svc:443".parse().expect("text"))
    );

    let one = format!("{GROUP}/validatingwebhookconfigurations/a");
    let refusal = async |server: &ApiServer, name: &str| {
        json(server, "PATCH", &one, json!({"webhooks": [service(name)]})).await.expect(200);
        create(server, name).await.expect(500).json()["message"].as_str().expect("text").to_owned()
    };
    // The certificate is for another service.
    assert!(refusal(&server, "other").await.contains("Post \"https://other.default.svc:443/p?timeout=10s\": "));
    assert!(refusal(&server, "third").await.ends_with(": no third"));
    let without = support::server().await;
    configure(&without, "validating", "a", &[service("hook")]).await;
    assert!(refusal(&without, "hook").await.ends_with("this server has no services; use a url"));
}

#[tokio::test]
async fn configurations_are_checked_and_never_in_their_own_way() {
    let server = server().await;
    let hooks = Hooks::start(|_, review| answer(review, json!({"allowed": false}))).await;
    let everything = json!([{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}]);
    let made = configure(&server, "validating", "all", &[hooks.hook("all", json!({"rules": everything}))]).await;
    let hook = &made["webhooks"][0];
    for (field, default) in [
        ("failurePolicy", json!("Fail")),
        ("matchPolicy", json!("Equivalent")),
        ("timeoutSeconds", json!(10)),
        ("namespaceSelector", json!({})),
        ("objectSelector", json!({})),
    ] {
        assert_eq!(hook[field], default, "{field}");
    }
    assert_eq!((&hook["rules"][0]["scope"], &made["metadata"]["generation"]), (&json!("*"), &json!(1)));
    create(&server, "a").await.expect(400);

    let path = format!("{GROUP}/mutatingwebhookconfigurations");
    let mutating = configure(&server, "mutating", "m", &[hooks.hook("m", json!({}))]).await;
    assert_eq!(mutating["webhooks"][0]["reinvocationPolicy"], "Never");
    let conditions = json!({"matchConditions": [{"name": "c", "expression": "nobody"}]});
    let body = json!({"metadata": {"name": "c"}, "webhooks": [hooks.hook("c", conditions)]});
    let refused = json(&server, "POST", &path, body).await.expect(422).json();
    assert_eq!(
        refused["message"],
        "MutatingWebhookConfiguration.admissionregistration.k8s.io \"c\" is invalid: webhooks[0].matchConditions[0].expression: \
         Invalid value: \"nobody\": compilation failed: ERROR: <input>:1:1: undeclared reference to 'nobody' (in container '')"
    );
    let table = [("accept", "application/json;as=Table;g=meta.k8s.io;v=v1")];
    let table = send(&server, "GET", &path, &table, Body::empty()).await.expect(200).json();
    assert_eq!(table["rows"][0]["cells"].as_array().map(|cells| &cells[..2]), Some(&[json!("m"), json!(1)][..]));
    let changed = json(&server, "PATCH", &format!("{path}/m"), json!({"webhooks": []})).await.expect(200).json();
    assert_eq!(changed["metadata"]["generation"], 2);

    send(&server, "DELETE", &format!("{GROUP}/validatingwebhookconfigurations/all"), &[], Body::empty())
        .await
        .expect(200);
    create(&server, "a").await.expect(201);
}

#[tokio::test]
async fn a_server_starts_whatever_its_webhooks_say() {
    let store = rdd_store::Store::open(rdd_store::Location::Memory, rdd_store::Options::default()).expect("opens");
    let first = builder().store(store.clone()).start().await.expect("starts");
    let hooks = Hooks::start(|_, review| answer(review, json!({"allowed": false}))).await;
    let everything = json!([{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}]);
    for kind in ["mutating", "validating"] {
        configure(&first, kind, "all", &[hooks.hook("all", json!({"rules": everything}))]).await;
    }
    let definition = rdd_schema::yaml::parse(support::WIDGETS).expect("a definition");
    let second = builder().store(store).namespace("system").definition(definition).start().await.expect("starts");
    get(&second, "/apis/example.com/v1/widgets").await.expect(200);
    get(&second, "/api/v1/namespaces/system").await.expect(200);
    assert!(hooks.asked().is_empty());
    create(&second, "a").await.expect(400);
}

#[tokio::test]
async fn conditions_say_which_requests() {
    let server = server().await;
    let hooks = Hooks::start(|path, review| match path {
        "/labels" => patch(review, &json!([{"op": "add", "path": "/metadata/labels", "value": {"set": "yes"}}])),
        _ => allow(review),
    })
    .await;
    let conditions = |expressions: &[&str], policy: &str| {
        let named = |(at, text): (usize, &&str)| json!({"name": format!("c{at}"), "expression": text});
        let list: Vec<Value> = expressions.iter().enumerate().map(named).collect();
        json!({"matchConditions": list, "failurePolicy": policy})
    };
    configure(
        &server,
        "mutating",
        "a",
        &[
            hooks.hook("other", conditions(&["request.userInfo.username != 'test'"], "Fail")),
            hooks.hook("labels", conditions(&["object.metadata.name == 'a'", "oldObject == null"], "Fail")),
            // What the one before made of the object counts.
            hooks.hook(
                "set",
                conditions(&["has(object.metadata.labels) && object.metadata.labels.set == 'yes'"], "Fail"),
            ),
            hooks.hook("ignored", conditions(&["object.none.none"], "Ignore")),
            hooks.hook("false", conditions(&["object.none.none", "request.operation == 'DELETE'"], "Fail")),
        ],
    )
    .await;
    create(&server, "a").await.expect(201);
    assert_eq!(hooks.paths(), "labels set");
    create(&server, "b").await.expect(201);
    assert_eq!(hooks.paths(), "");
    configure(&server, "validating", "a", &[hooks.hook("broken", conditions(&["object.none.none"], "Fail"))]).await;
    let refused = create(&server, "c").await.expect(403).json();
    let message = refused["message"].as_str().expect("text");
    assert!(
        message.starts_with("configmaps \"c\" is forbidden: expression 'object.none.none' resulted in error: "),
        "{message}"
    );
}
