//! Floor 30: the HTTP face in process, without a port.

mod support;

use axum::body::Body;
use base64::Engine as _;
use futures::StreamExt;
use http::Request;
use rdd_apiserver::{ApiServer, UserInfo};
use serde_json::{Value, json};
use support::{get, json, send, server};
use tower::ServiceExt;

const CONFIGMAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn make_configmap(server: &ApiServer, name: &str) -> Value {
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"l": name}}, "data": {"k": "v"}});
    json(server, "POST", CONFIGMAPS, body).await.expect(201).json()
}

async fn make_widgets(server: &ApiServer) {
    send(
        server,
        "POST",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        &[("content-type", "application/yaml")],
        support::WIDGETS,
    )
    .await
    .expect(201);
}

#[tokio::test]
async fn an_object_lives_and_dies() {
    let server = server().await;
    let made = make_configmap(&server, "a").await;
    let one = format!("{CONFIGMAPS}/a");
    assert_eq!(get(&server, &one).await.expect(200).json(), made);
    let again = json(&server, "POST", CONFIGMAPS, json!({"metadata": {"name": "a"}})).await.expect(409).json();
    assert_eq!(again["message"], "configmaps \"a\" already exists");

    let patched = json(&server, "PATCH", &one, json!({"data": {"k": null, "n": "1"}})).await.expect(200).json();
    assert_eq!(patched["data"], json!({"n": "1"}));
    let stale = json(&server, "PUT", &one, made.clone()).await.expect(409).json();
    assert_eq!(stale["reason"], "Conflict");

    let list = get(&server, CONFIGMAPS).await.expect(200).json();
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("ConfigMapList"), &json!("v1")));
    assert_eq!(list["items"], json!([patched]));
    let empty = get(&server, "/api/v1/namespaces/default/secrets").await.expect(200).json();
    assert_eq!(empty["items"], json!([]));

    let gone = send(&server, "DELETE", &one, &[], Body::empty()).await.expect(200).json();
    assert_eq!((&gone["status"], &gone["details"]["uid"]), (&json!("Success"), &made["metadata"]["uid"]));
    let missing = get(&server, &one).await.expect(404).json();
    assert_eq!((&missing["reason"], &missing["details"]["kind"]), (&json!("NotFound"), &json!("configmaps")));
}

#[tokio::test]
async fn every_answer_has_the_headers_of_an_api_server() {
    let server = server().await;
    let answer = send(&server, "GET", "/version", &[("audit-id", "a-1")], Body::empty()).await.expect(200);
    assert_eq!(answer.header("audit-id"), "a-1");
    assert_eq!(answer.header("cache-control"), "no-cache, private");
    let failed = get(&server, "/apis/nothing.example.com/v1/things").await.expect(404);
    assert_eq!(failed.json()["kind"], "Status");
    assert!(!failed.header("audit-id").is_empty());
    assert_eq!(get(&server, "/nothing").await.code, 404);
    assert_eq!(send(&server, "POST", "/version", &[], Body::empty()).await.code, 405);
    let head = send(&server, "HEAD", "/version", &[], Body::empty()).await.expect(200);
    assert!(head.body.is_empty() && head.header("content-length") != "0");
    let paths = get(&server, "/").await.expect(200).json();
    assert!(paths["paths"].as_array().expect("paths").contains(&json!("/apis/coordination.k8s.io/v1")));
}

#[tokio::test]
async fn what_cannot_be_done_says_so() {
    let server = server().await;
    let all = json(&server, "POST", "/api/v1/configmaps", json!({"metadata": {"name": "a"}})).await.expect(405).json();
    assert_eq!(all["reason"], "MethodNotAllowed");
    assert_eq!(json(&server, "PUT", CONFIGMAPS, json!({})).await.code, 405);
    assert_eq!(send(&server, "DELETE", "/api/v1/namespaces", &[], Body::empty()).await.code, 405);
    let sub = get(&server, &format!("{CONFIGMAPS}/a/status")).await.expect(404).json();
    assert_eq!(sub["message"], "configmaps \"a\" not found");

    let strange = send(&server, "POST", CONFIGMAPS, &[("content-type", "text/html")], "<p>").await.expect(415).json();
    assert_eq!(
        strange["message"],
        "the body of the request was in an unknown format - accepted media types include: \
         application/json, application/yaml, application/vnd.kubernetes.protobuf"
    );
    let html = send(&server, "GET", CONFIGMAPS, &[("accept", "text/html")], Body::empty()).await.expect(406).json();
    assert_eq!(html["reason"], "NotAcceptable");
    let broken = send(&server, "POST", CONFIGMAPS, &[], "{").await.expect(400).json();
    assert!(broken["message"].as_str().expect("text").starts_with("ConfigMap in version \"v1\" cannot be handled as"));
    let huge = send(&server, "POST", CONFIGMAPS, &[], vec![b' '; 3 * 1024 * 1024 + 1]).await.expect(413).json();
    assert_eq!(huge["message"], "Request entity too large: limit is 3145728");
}

#[tokio::test]
async fn unknown_and_duplicate_fields_are_told() {
    let server = server().await;
    let body = r#"{"metadata":{"name":"a"},"data":{"k":"1","k":"2"},"foo":1}"#;
    let warned = send(&server, "POST", CONFIGMAPS, &[], body).await.expect(201);
    let warnings: Vec<_> =
        warned.headers.get_all("warning").iter().map(|v| v.to_str().expect("text").to_owned()).collect();
    assert!(warnings.iter().any(|w| w.contains(r#"unknown field \"foo\""#)), "{warnings:?}");
    assert!(warnings.iter().any(|w| w.contains(r#"duplicate field \"data.k\""#)), "{warnings:?}");
    let strict =
        send(&server, "POST", &format!("{CONFIGMAPS}?fieldValidation=Strict"), &[], body).await.expect(400).json();
    let message = strict["message"].as_str().expect("text");
    assert!(message.contains("strict decoding error: ") && message.contains("duplicate field \"data.k\""), "{message}");
}

#[tokio::test]
async fn delete_options_of_the_wrong_type_delete_nothing() {
    let server = server().await;
    make_configmap(&server, "a").await;
    let cases = [
        (json!({"dryRun": "All"}), "string into Go struct field DeleteOptions.dryRun of type []string"),
        (json!({"dryRun": [true]}), "bool into Go struct field DeleteOptions.dryRun of type string"),
        (json!({"preconditions": {"uid": 123}}), "DeleteOptions.preconditions.uid of type string"),
        (
            json!({"preconditions": {"resourceVersion": 1}}),
            "DeleteOptions.preconditions.resourceVersion of type string",
        ),
        (json!({"preconditions": [{"uid": "other"}]}), "DeleteOptions.preconditions of type v1.Preconditions"),
        (json!({"propagationPolicy": ["Orphan"]}), "DeleteOptions.propagationPolicy of type string"),
        (json!({"orphanDependents": "true"}), "DeleteOptions.orphanDependents of type bool"),
        (json!({"gracePeriodSeconds": "0"}), "DeleteOptions.gracePeriodSeconds of type int64"),
        (json!({"kind": 1}), "must be of type DeleteOptions"),
        (json!(["All"]), "must be of type DeleteOptions"),
    ];
    for (options, expect) in cases {
        for path in [&format!("{CONFIGMAPS}/a"), CONFIGMAPS] {
            let refused = json(&server, "DELETE", path, options.clone()).await.expect(400).json();
            let message = refused["message"].as_str().expect("text");
            assert!(message.contains(expect), "{options} at {path}: {message}");
            get(&server, &format!("{CONFIGMAPS}/a")).await.expect(200);
        }
    }
    // What is null was not said.
    let nulls = json!({"dryRun": null, "preconditions": {"uid": null}, "kind": null, "propagationPolicy": null});
    json(&server, "DELETE", &format!("{CONFIGMAPS}/a"), nulls).await.expect(200);
}

#[tokio::test]
async fn a_deletion_that_waits_answers_with_the_object() {
    let server = server().await;
    for (options, code, finalizer) in [
        (json!({"propagationPolicy": "Foreground"}), 200, "foregroundDeletion"),
        (json!({"propagationPolicy": "Orphan"}), 200, "orphan"),
        (json!({"propagationPolicy": "Background"}), 200, "example.com/f"),
        (json!({"orphanDependents": false}), 202, "example.com/f"),
    ] {
        let body = json!({"metadata": {"name": "a", "finalizers": ["example.com/f"]}});
        json(&server, "POST", CONFIGMAPS, body).await.expect(201);
        let one = format!("{CONFIGMAPS}/a");
        let deleted = json(&server, "DELETE", &one, options).await.expect(code).json();
        assert_eq!(
            (&deleted["kind"], deleted["metadata"]["deletionTimestamp"].is_string()),
            (&json!("ConfigMap"), true)
        );
        let finalizers = deleted["metadata"]["finalizers"].as_array().expect("finalizers");
        assert_eq!(finalizers.last(), Some(&json!(finalizer)));
        let patch = json!({"metadata": {"finalizers": null}}).to_string();
        let merge = [("content-type", "application/merge-patch+json")];
        send(&server, "PATCH", &one, &merge, patch).await.expect(200);
        get(&server, &one).await.expect(404);
    }
}

#[tokio::test]
async fn duplicate_fields_of_a_patch_are_told() {
    let server = server().await;
    make_configmap(&server, "a").await;
    let one = format!("{CONFIGMAPS}/a");
    let body = r#"{"data":{"n":"1","n":"2"}}"#;
    let operations = r#"[{"op":"add","path":"/data/n","value":"1","value":"2"}]"#;
    let cases = [
        ("application/merge-patch+json", body, "duplicate field \"data.n\""),
        ("application/strategic-merge-patch+json", body, "duplicate field \"data.n\""),
        ("application/json-patch+json", operations, "json patch duplicate field \"[0].value\""),
    ];
    for (media_type, body, expect) in cases {
        let headers = [("content-type", media_type)];
        let strict = send(&server, "PATCH", &format!("{one}?fieldValidation=Strict"), &headers, body).await;
        let strict = strict.expect(422).json();
        let cause = &strict["details"]["causes"][0];
        assert_eq!(cause["field"], "patch", "{strict}");
        let message = cause["message"].as_str().expect("text");
        assert!(message.ends_with(&format!("strict decoding error: {expect}")), "{media_type}: {message}");
        assert_eq!(get(&server, &one).await.expect(200).json()["data"], json!({"k": "v"}), "{media_type}");

        let ignored = format!("{one}?dryRun=All&fieldValidation=Ignore");
        let ignored = send(&server, "PATCH", &ignored, &headers, body).await.expect(200);
        assert!(ignored.headers.get("warning").is_none(), "{media_type}");
        let warned = send(&server, "PATCH", &format!("{one}?dryRun=All"), &headers, body).await.expect(200);
        assert_eq!(warned.header("warning"), format!("299 - \"{}\"", expect.replace('"', "\\\"")), "{media_type}");
        assert_eq!(warned.json()["data"]["n"], "2", "the last one counts");
    }
}

#[tokio::test]
async fn each_plugin_is_there_once() {
    let server = server().await;
    let names: Vec<&str> = server.verbs().chain().names().collect();
    assert_eq!(names, ["NamespaceLifecycle", "RBACEscalation", "AdmissionWebhooks"]);
}

#[tokio::test]
async fn a_json_patch_has_a_limit() {
    let server = server().await;
    make_configmap(&server, "a").await;
    let operations = vec![json!({"op": "test", "path": "/data/k", "value": "v"}); 10_001];
    let headers = [("content-type", "application/json-patch+json")];
    let body = json!(operations).to_string();
    let refused = send(&server, "PATCH", &format!("{CONFIGMAPS}/a"), &headers, body).await.expect(413).json();
    assert_eq!(refused["message"], "The allowed maximum operations in a JSON patch is 10000, got 10001");
    assert_eq!(refused["reason"], "RequestEntityTooLarge");
}

#[tokio::test]
async fn bodies_come_as_yaml_and_protobuf_too() {
    let server = server().await;
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: yaml\ndata:\n  n: \"1\"\n";
    let made =
        send(&server, "POST", CONFIGMAPS, &[("content-type", "application/yaml")], yaml).await.expect(201).json();
    assert_eq!(made["data"], json!({"n": "1"}));

    // The body of `kubectl create ns p`.
    let field = |number: u8, bytes: &[u8]| {
        let mut out = vec![number << 3 | 2, u8::try_from(bytes.len()).expect("short")];
        out.extend_from_slice(bytes);
        out
    };
    let type_meta = [field(1, b"v1"), field(2, b"Namespace")].concat();
    let object_meta = [field(1, b"p"), field(2, b""), field(8, b"")].concat();
    let namespace = [field(1, &object_meta), field(2, b""), field(3, b"")].concat();
    let body = [b"k8s\0".to_vec(), field(1, &type_meta), field(2, &namespace), field(3, b""), field(4, b"")].concat();
    let headers = [
        ("content-type", "application/vnd.kubernetes.protobuf"),
        ("accept", "application/vnd.kubernetes.protobuf,application/json"),
    ];
    let made = send(&server, "POST", "/api/v1/namespaces", &headers, body).await.expect(201);
    assert_eq!((made.header("content-type"), &made.json()["metadata"]["name"]), ("application/json", &json!("p")));

    // Custom kinds have no such form.
    make_widgets(&server).await;
    let custom =
        send(&server, "POST", "/apis/example.com/v1/namespaces/default/widgets", &headers, "k8s\0").await.expect(415);
    assert!(!custom.text().contains("protobuf"), "{}", custom.text());
}

#[tokio::test]
async fn answers_come_as_yaml_pretty_or_compressed() {
    let server = server().await;
    make_configmap(&server, "a").await;
    let one = format!("{CONFIGMAPS}/a");
    let yaml = send(&server, "GET", &one, &[("accept", "application/yaml")], Body::empty()).await.expect(200);
    assert!(yaml.text().contains("kind: ConfigMap\n"), "{}", yaml.text());
    assert!(
        send(&server, "GET", &one, &[("user-agent", "curl/8")], Body::empty()).await.text().contains("\n  \"kind\"")
    );
    assert!(
        !send(&server, "GET", &format!("{one}?pretty=false"), &[("user-agent", "curl/8")], Body::empty())
            .await
            .text()
            .contains("\n  ")
    );

    let big = "x".repeat(200 * 1024);
    json(&server, "POST", CONFIGMAPS, json!({"metadata": {"name": "big"}, "data": {"k": big}})).await.expect(201);
    let gzip = [("accept-encoding", "gzip")];
    let packed = send(&server, "GET", &format!("{CONFIGMAPS}/big"), &gzip, Body::empty()).await.expect(200);
    assert_eq!((packed.header("content-encoding"), packed.header("vary")), ("gzip", "Accept-Encoding"));
    assert!(packed.body.starts_with(&[0x1f, 0x8b]) && packed.body.len() < 20_000);
    let small = send(&server, "GET", &one, &gzip, Body::empty()).await.expect(200);
    assert_eq!(small.header("content-encoding"), "");
}

#[tokio::test]
async fn tables_and_metadata_only() {
    let server = server().await;
    make_configmap(&server, "a").await;
    make_widgets(&server).await;
    let widgets = "/apis/example.com/v1/namespaces/default/widgets";
    json(
        &server,
        "POST",
        widgets,
        json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 3}}),
    )
    .await
    .expect(201);
    let accept = |form: &str| format!("application/json;as={form};v=v1;g=meta.k8s.io,application/json");
    let table = |uri: String| {
        let (server, accept) = (&server, accept("Table"));
        async move { send(server, "GET", &uri, &[("accept", accept.as_str())], Body::empty()).await.expect(200).json() }
    };
    let columns = |table: &Value| -> Vec<String> {
        let all = table["columnDefinitions"].as_array().expect("columns");
        all.iter().map(|c| c["name"].as_str().expect("a name").to_owned()).collect()
    };
    let seen = table(CONFIGMAPS.to_owned()).await;
    assert_eq!((&seen["kind"], &seen["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
    assert_eq!(columns(&seen), ["Name", "Data", "Age"]);
    assert_eq!(seen["rows"][0]["cells"][0], "a");
    assert_eq!(seen["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let seen = table(format!("{widgets}/w?includeObject=Object")).await;
    assert_eq!(columns(&seen), ["Name", "Size", "Phase", "Age"]);
    let cells = &seen["rows"][0]["cells"];
    assert_eq!((&cells[0], &cells[1], &cells[2]), (&json!("w"), &json!(3), &Value::Null));
    assert_eq!(seen["rows"][0]["object"]["kind"], "Widget");
    let seen = table(format!("{CONFIGMAPS}?includeObject=None")).await;
    assert_eq!(seen["rows"][0]["object"], Value::Null);
    assert_eq!(get(&server, &format!("{CONFIGMAPS}?includeObject=All")).await.code, 400);

    let one = format!("{CONFIGMAPS}/a");
    let partial = accept("PartialObjectMetadata");
    let seen = send(&server, "GET", &one, &[("accept", &partial)], Body::empty()).await.expect(200).json();
    assert_eq!(
        (&seen["kind"], &seen["metadata"]["labels"]["l"], &seen["data"]),
        (&json!("PartialObjectMetadata"), &json!("a"), &Value::Null)
    );
    send(&server, "GET", CONFIGMAPS, &[("accept", &partial)], Body::empty()).await.expect(406);
    let list = accept("PartialObjectMetadataList");
    let seen = send(&server, "GET", CONFIGMAPS, &[("accept", &list)], Body::empty()).await.expect(200).json();
    assert_eq!(
        (&seen["kind"], &seen["items"][0]["kind"]),
        (&json!("PartialObjectMetadataList"), &json!("PartialObjectMetadata"))
    );
}

#[tokio::test]
async fn discovery_in_all_forms() {
    let server = server().await;
    let before = get(&server, "/apis").await.expect(200).json();
    assert_eq!(before["kind"], "APIGroupList");
    assert_eq!(get(&server, "/apis/example.com/v1").await.code, 404);
    make_widgets(&server).await;
    let resources = get(&server, "/apis/example.com/v1").await.expect(200).json();
    let names: Vec<_> = resources["resources"].as_array().expect("a list").iter().map(|r| r["name"].clone()).collect();
    assert_eq!(names, [json!("widgets"), json!("widgets/status")]);
    assert_eq!(get(&server, "/apis/example.com").await.expect(200).json()["preferredVersion"]["version"], "v1");
    assert_eq!(get(&server, "/api").await.expect(200).json()["versions"], json!(["v1"]));

    for version in ["v2beta1", "v2"] {
        let accept =
            format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList,application/json");
        let answer = send(&server, "GET", "/apis", &[("accept", &accept)], Body::empty()).await.expect(200);
        assert_eq!(
            answer.header("content-type"),
            format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList")
        );
        let seen = answer.json();
        assert_eq!(seen["apiVersion"], format!("apidiscovery.k8s.io/{version}"));
        let groups = seen["items"].as_array().expect("groups");
        let widgets = groups.iter().find(|g| g["metadata"]["name"] == "example.com").expect("the CRD's group");
        assert_eq!(widgets["versions"][0]["resources"][0]["responseKind"]["kind"], "Widget");
        let etag = answer.header("etag").to_owned();
        let known = [("accept", accept.as_str()), ("if-none-match", etag.as_str())];
        let again = send(&server, "GET", "/apis", &known, Body::empty()).await.expect(304);
        assert!(again.body.is_empty());
        let core = send(&server, "GET", "/api", &[("accept", &accept)], Body::empty()).await.expect(200).json();
        assert_eq!(core["items"][0]["metadata"]["name"], "");
    }
}

#[tokio::test]
async fn openapi_in_both_versions() {
    let server = server().await;
    make_widgets(&server).await;
    let index = get(&server, "/openapi/v3").await.expect(200).json();
    let url = index["paths"]["apis/example.com/v1"]["serverRelativeURL"].as_str().expect("a URL").to_owned();
    let answer = get(&server, &url).await.expect(200);
    assert_eq!(answer.header("cache-control"), "public, immutable");
    let document = answer.json();
    let patch = &document["paths"]["/apis/example.com/v1/namespaces/{namespace}/widgets/{name}"]["patch"];
    assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Widget");
    let parameters: Vec<_> =
        patch["parameters"].as_array().expect("parameters").iter().map(|p| p["name"].clone()).collect();
    assert!(parameters.contains(&json!("fieldValidation")) && parameters.contains(&json!("dryRun")), "{parameters:?}");
    let widget = &document["components"]["schemas"]["com.example.v1.Widget"];
    assert_eq!(widget["properties"]["spec"]["properties"]["size"]["type"], "integer");
    let stale = get(&server, "/openapi/v3/apis/example.com/v1?hash=OLD").await.expect(301);
    assert_eq!(stale.header("location"), url);
    assert_eq!(get(&server, "/openapi/v3/apis/none/v1").await.code, 404);

    let plain = get(&server, "/openapi/v2").await.expect(200);
    let v2 = plain.json();
    let finalizers = &v2["definitions"]["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]["properties"]["finalizers"];
    assert_eq!(finalizers["x-kubernetes-patch-strategy"], "merge");
    dangling(&v2, &v2["definitions"]);
    let asked = [("accept", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")];
    let binary = send(&server, "GET", "/openapi/v2", &asked, Body::empty()).await.expect(200);
    assert_eq!(binary.header("content-type"), "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
    assert!(binary.body.starts_with(b"\x0a\x032.0"));
}

/// Every reference must resolve: kubectl refuses the whole document otherwise.
fn dangling(value: &Value, definitions: &Value) {
    match value {
        Value::Object(map) => {
            if let Some(name) = map.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix("#/definitions/")) {
                assert!(definitions.get(name).is_some(), "{name} is referred to, not defined");
            }
            map.values().for_each(|value| dangling(value, definitions));
        }
        Value::Array(list) => list.iter().for_each(|value| dangling(value, definitions)),
        _ => {}
    }
}

#[tokio::test]
async fn health_is_a_fact() {
    let server = server().await;
    assert_eq!(get(&server, "/livez").await.expect(200).text(), "ok");
    let waiting = get(&server, "/readyz").await.expect(500).text();
    assert!(waiting.contains("[-]controllers failed: reason withheld\n"), "{waiting}");
    assert_eq!(get(&server, "/readyz/controllers").await.code, 500);
    assert_eq!(get(&server, "/readyz?exclude=controllers").await.code, 200);
    server.readiness().set("controllers", true);
    let ready = get(&server, "/readyz?verbose").await.expect(200).text();
    assert!(ready.starts_with("[+]ping ok\n") && ready.ends_with("readyz check passed\n"), "{ready}");
    assert_eq!(get(&server, "/readyz/nothing").await.code, 404);
    assert!(get(&server, "/metrics").await.expect(200).text().contains("apiserver_request_total{verb=\"get\""));
    assert!(ready.contains("[+]store ok\n"), "{ready}");
    assert_eq!(get(&server, "/readyz/store").await.code, 200);
    assert!(get(&server, "/").await.text().contains("\"/readyz/store\""));
}

/// Opens a watch and returns its events one by one.
async fn watch(server: &ApiServer, uri: &str, accept: &str) -> impl futures::Stream<Item = Value> + Unpin + use<> {
    let request = Request::get(uri).header("accept", accept).body(Body::empty()).expect("a request");
    let response = server.service(UserInfo::system_masters("test")).oneshot(request).await.expect("infallible");
    assert_eq!(response.status(), 200);
    let mut data = response.into_body().into_data_stream();
    let (lines, events) = futures::channel::mpsc::unbounded();
    tokio::spawn(async move {
        let mut rest = Vec::new();
        while let Some(Ok(bytes)) = data.next().await {
            rest.extend_from_slice(&bytes);
            while let Some(end) = rest.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                if lines.unbounded_send(serde_json::from_slice(&line).expect("a JSON line")).is_err() {
                    return;
                }
            }
        }
        assert!(rest.is_empty(), "the stream ended inside of a line");
    });
    events
}

async fn next(events: &mut (impl futures::Stream<Item = Value> + Unpin)) -> Value {
    tokio::time::timeout(support::PATIENCE, events.next()).await.expect("an event in time").expect("an event")
}

#[tokio::test]
async fn a_watch_tells_what_happens() {
    let server = server().await;
    let list = get(&server, CONFIGMAPS).await.expect(200).json();
    let revision = list["metadata"]["resourceVersion"].as_str().expect("a revision").to_owned();
    let mut events =
        watch(&server, &format!("{CONFIGMAPS}?watch&resourceVersion={revision}"), "application/json").await;
    let mut rows = watch(
        &server,
        &format!("{CONFIGMAPS}?watch=1&resourceVersion={revision}"),
        "application/json;as=Table;v=v1;g=meta.k8s.io",
    )
    .await;
    let made = make_configmap(&server, "a").await;
    assert_eq!(next(&mut events).await, json!({"type": "ADDED", "object": made}));
    let row = next(&mut rows).await;
    assert_eq!(row["object"]["columnDefinitions"].as_array().expect("columns").len(), 3);
    let patched =
        json(&server, "PATCH", &format!("{CONFIGMAPS}/a"), json!({"data": {"k": "2"}})).await.expect(200).json();
    assert_eq!(next(&mut events).await, json!({"type": "MODIFIED", "object": patched}));
    let row = next(&mut rows).await;
    assert_eq!((&row["object"]["columnDefinitions"], &row["object"]["rows"][0]["cells"][0]), (&json!([]), &json!("a")));
    send(&server, "DELETE", &format!("{CONFIGMAPS}/a"), &[], Body::empty()).await.expect(200);
    assert_eq!(next(&mut events).await["type"], "DELETED");

    // Initial events, their end, and one object only.
    make_configmap(&server, "b").await;
    let uri = format!(
        "{CONFIGMAPS}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&fieldSelector=metadata.name%3Db"
    );
    let mut events = watch(&server, &uri, "application/json").await;
    assert_eq!(next(&mut events).await["object"]["metadata"]["name"], "b");
    let end = next(&mut events).await;
    assert_eq!(end["type"], "BOOKMARK");
    assert_eq!(end["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!((&end["object"]["kind"], &end["object"]["apiVersion"]), (&json!("ConfigMap"), &json!("v1")));

    // The end of the server is the clean end of a watch.
    server.shutdown().await;
    assert!(tokio::time::timeout(support::PATIENCE, events.next()).await.expect("ends in time").is_none());
}

#[tokio::test]
async fn a_watch_ends_at_its_timeout() {
    let server = server().await;
    let mut events = watch(&server, &format!("{CONFIGMAPS}?watch=true&timeoutSeconds=1"), "application/json").await;
    let end = tokio::time::timeout(support::PATIENCE, async { while events.next().await.is_some() {} }).await;
    assert!(end.is_ok(), "the watch went on");
}

#[tokio::test]
async fn a_custom_kind_is_served_as_soon_as_it_is_made() {
    let server = server().await;
    make_widgets(&server).await;
    let crd = get(&server, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com")
        .await
        .expect(200)
        .json();
    let established =
        crd["status"]["conditions"].as_array().expect("conditions").iter().find(|c| c["type"] == "Established");
    assert_eq!(established.expect("the condition")["status"], "True");
    let widgets = "/apis/example.com/v1/namespaces/default/widgets";
    let body = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 1}, "status": {"phase": "x"}});
    let made = json(&server, "POST", widgets, body).await.expect(201).json();
    assert_eq!(
        (&made["spec"]["color"], &made["metadata"]["generation"], &made["status"]),
        (&json!("red"), &json!(1), &Value::Null)
    );
    let status =
        json(&server, "PATCH", &format!("{widgets}/w/status"), json!({"status": {"phase": "up"}, "spec": {"size": 9}}))
            .await;
    let status = status.expect(200).json();
    assert_eq!(
        (&status["status"]["phase"], &status["spec"]["size"], &status["metadata"]["generation"]),
        (&json!("up"), &json!(1), &json!(1))
    );
    let strategic = [("content-type", "application/strategic-merge-patch+json")];
    let refused = send(&server, "PATCH", &format!("{widgets}/w"), &strategic, "{}").await.expect(415).json();
    assert!(
        refused["message"]
            .as_str()
            .expect("text")
            .ends_with("application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml")
    );
    let invalid =
        json(&server, "PATCH", &format!("{widgets}/w"), json!({"spec": {"size": 0}})).await.expect(422).json();
    assert_eq!(invalid["details"]["causes"][0]["field"], "spec.size");
}

#[tokio::test]
async fn a_secret_travels_as_base64() {
    let server = server().await;
    let secrets = "/api/v1/namespaces/default/secrets";
    let made = json(&server, "POST", secrets, json!({"metadata": {"name": "s"}, "stringData": {"k": "v"}}))
        .await
        .expect(201)
        .json();
    let encoded = base64::engine::general_purpose::STANDARD.encode("v");
    assert_eq!(
        (&made["data"]["k"], &made["type"], &made["stringData"]),
        (&json!(encoded), &json!("Opaque"), &Value::Null)
    );
}

#[tokio::test]
async fn a_kind_that_goes_is_no_longer_told() {
    let server = server().await;
    make_widgets(&server).await;
    let crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com";
    send(&server, "DELETE", crd, &[], Body::empty()).await.expect(200);
    support::eventually("the group goes", || async {
        let code = get(&server, "/apis/example.com/v1").await.code;
        if code == 404 { Ok(()) } else { Err(code.to_string()) }
    })
    .await;
    let index = get(&server, "/openapi/v3").await.expect(200).json();
    assert!(index["paths"].get("apis/example.com/v1").is_none());
}

#[tokio::test]
async fn a_server_finds_again_what_it_kept_and_brings_definitions_up_to_date() {
    let dir = tempfile::tempdir().expect("a directory");
    let start = async |definition: &str| {
        let location = rdd_store::Location::File(dir.path().join("db"));
        let store = rdd_store::Store::open(location, rdd_store::Options::default()).expect("the store opens");
        let definition = rdd_schema::yaml::parse(definition).expect("YAML");
        ApiServer::builder().store(store).namespace("mine").definition(definition).start().await.expect("starts")
    };
    let crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com";
    let widgets = "/apis/example.com/v1/namespaces/mine/widgets";

    let first = start(support::WIDGETS).await;
    let body =
        json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 1}});
    let made = json(&first, "POST", widgets, body).await.expect(201).json();
    let installed = get(&first, crd).await.expect(200).json();
    first.shutdown().await;

    let second = start(support::WIDGETS).await;
    assert_eq!(get(&second, crd).await.expect(200).json(), installed, "the same definition is no change");
    assert_eq!(get(&second, &format!("{widgets}/w")).await.expect(200).json(), made);
    // A watch goes on from before the restart.
    let revision = made["metadata"]["resourceVersion"].as_str().expect("a revision").to_owned();
    let mut events = watch(&second, &format!("{widgets}?watch=1&resourceVersion={revision}"), "application/json").await;
    send(&second, "DELETE", &format!("{widgets}/w"), &[], Body::empty()).await.expect(200);
    assert_eq!(next(&mut events).await["type"], "DELETED");
    second.shutdown().await;

    let third = start(&support::WIDGETS.replace("default: red", "default: blue")).await;
    let body =
        json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "v"}, "spec": {"size": 1}});
    assert_eq!(json(&third, "POST", widgets, body).await.expect(201).json()["spec"]["color"], "blue");
    third.shutdown().await;
}

#[tokio::test]
async fn questions_about_oneself_are_answered() {
    let server = server().await;
    let may = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let spec = json!({"spec": {"resourceAttributes": {"verb": "list", "resource": "configmaps"}}});
    assert_eq!(json(&server, "POST", may, spec).await.expect(201).json()["status"]["allowed"], true);
    assert_eq!(json(&server, "POST", may, json!({"spec": {}})).await.code, 422);
    assert_eq!(get(&server, may).await.code, 405);
    let who = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let headers = [("impersonate-user", "bob"), ("impersonate-group", "builders")];
    let me = send(&server, "POST", who, &headers, "{}").await.expect(201).json();
    assert_eq!(me["status"]["userInfo"], json!({"username": "bob", "groups": ["builders", "system:authenticated"]}));
    assert_eq!(
        get(&server, "/apis/authentication.k8s.io/v1").await.expect(200).json()["resources"][0]["verbs"],
        json!(["create"])
    );
}

#[tokio::test]
async fn a_scale_is_a_view_of_an_object() {
    let server = server().await;
    let yaml = [("content-type", "application/yaml")];
    let crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    send(&server, "POST", crds, &yaml, support::scaled_widgets()).await.expect(201);
    let widgets = "/apis/example.com/v1/namespaces/default/widgets";
    let (one, scale) = (format!("{widgets}/w"), format!("{widgets}/w/scale"));
    get(&server, &scale).await.expect(404);
    let body = json!({"metadata": {"name": "w", "labels": {"l": "v"}}, "spec": {"size": 1}});
    let made = json(&server, "POST", widgets, body).await.expect(201).json();
    let unset = get(&server, &scale).await.expect(500).json();
    assert_eq!(unset["message"], "Internal error occurred: the spec replicas field \".spec.replicas\" does not exist");

    // A patch may begin with nothing, and so may a replacement.
    let patched = json(&server, "PATCH", &scale, json!({"spec": {"replicas": 3}})).await.expect(200).json();
    assert_eq!((&patched["spec"], &patched["status"]), (&json!({"replicas": 3}), &json!({"replicas": 0})));
    assert_eq!(patched, get(&server, &scale).await.expect(200).json());
    let whole = get(&server, &one).await.expect(200).json();
    assert_eq!((&whole["spec"]["replicas"], &whole["metadata"]["generation"]), (&json!(3), &json!(2)));
    let seen = json!({"status": {"replicas": 2, "selector": "app=w"}});
    json(&server, "PATCH", &format!("{one}/status"), seen).await.expect(200);
    let mut sent = get(&server, &scale).await.expect(200).json();
    assert_eq!((&sent["kind"], &sent["apiVersion"]), (&json!("Scale"), &json!("autoscaling/v1")));
    assert_eq!(sent["status"], json!({"replicas": 2, "selector": "app=w"}));
    let mut fields: Vec<_> = sent["metadata"].as_object().expect("metadata").keys().collect();
    fields.sort();
    assert_eq!(fields, ["creationTimestamp", "name", "namespace", "resourceVersion", "uid"]);
    assert_eq!(sent["metadata"]["uid"], made["metadata"]["uid"]);

    // Only the number is taken, and only on top of what was seen.
    sent["spec"]["replicas"] = json!(4);
    sent["status"]["replicas"] = json!(9);
    sent["metadata"]["labels"] = json!({"other": "label"});
    let put = json(&server, "PUT", &scale, sent.clone()).await.expect(200).json();
    assert_eq!((&put["spec"]["replicas"], &put["status"]["replicas"]), (&json!(4), &json!(2)));
    assert_eq!(get(&server, &one).await.json()["metadata"]["labels"], json!({"l": "v"}));
    let stale = json(&server, "PUT", &scale, sent.clone()).await.expect(409).json();
    assert!(
        stale["message"]
            .as_str()
            .expect("text")
            .starts_with("Operation cannot be fulfilled on widgets.example.com \"w\"")
    );
    let pinned = json!({"metadata": {"resourceVersion": sent["metadata"]["resourceVersion"]}, "spec": {"replicas": 5}});
    json(&server, "PATCH", &scale, pinned).await.expect(409);
    let other = json!({"metadata": {"name": "w", "uid": "other"}, "spec": {"replicas": 5}});
    json(&server, "PUT", &scale, other).await.expect(409);
    // Go clients leave a zero out.
    let zero = json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "w"}, "spec": {}});
    assert_eq!(json(&server, "PUT", &scale, zero).await.expect(200).json()["spec"]["replicas"], 0);

    let before = get(&server, &one).await.json();
    let dry = json(&server, "PATCH", &format!("{scale}?dryRun=All"), json!({"spec": {"replicas": 7}})).await;
    assert_eq!(dry.expect(200).json()["spec"]["replicas"], 7);
    let operations = [("content-type", "application/json-patch+json")];
    let tested =
        r#"[{"op":"test","path":"/spec/replicas","value":9},{"op":"replace","path":"/spec/replicas","value":1}]"#;
    send(&server, "PATCH", &scale, &operations, tested).await.expect(422);
    let negative = json(&server, "PATCH", &scale, json!({"spec": {"replicas": -1}})).await.expect(422).json();
    assert_eq!(
        negative["message"],
        "Scale.autoscaling \"w\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"
    );
    let many = json(&server, "PATCH", &scale, json!({"spec": {"replicas": 11}})).await.expect(422).json();
    assert!(many["message"].as_str().expect("text").starts_with("Widget.example.com \"w\" is invalid: spec.replicas"));
    for wrong in [json!("3"), json!(1.5), json!(1_u64 << 40)] {
        json(&server, "PATCH", &scale, json!({"spec": {"replicas": wrong}})).await.expect(400);
    }
    let named = json!({"metadata": {"name": "x"}, "spec": {"replicas": 1}});
    json(&server, "PUT", &scale, named).await.expect(400);
    let kind = json!({"kind": "Widget", "apiVersion": "example.com/v1", "metadata": {"name": "w"}});
    json(&server, "PUT", &scale, kind).await.expect(400);
    let strategic = [("content-type", "application/strategic-merge-patch+json")];
    send(&server, "PATCH", &scale, &strategic, "{}").await.expect(415);
    let strict = format!("{scale}?fieldValidation=Strict");
    let unknown = json(&server, "PATCH", &strict, json!({"spec": {"replicas": 1, "foo": 1}})).await.expect(422).json();
    assert!(unknown["message"].as_str().expect("text").contains("unknown field \"spec.foo\""), "{unknown}");
    send(&server, "DELETE", &scale, &[], Body::empty()).await.expect(405);
    assert_eq!(get(&server, &one).await.json(), before, "nothing of this was written");

    let asked = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let table = send(&server, "GET", &scale, &asked, Body::empty()).await.expect(200).json();
    assert_eq!(table["rows"][0]["cells"].as_array().expect("cells")[..3], [json!("w"), json!(0), json!(2)]);
    assert_eq!(table["columnDefinitions"][1]["name"], "Desired");
}

#[tokio::test]
async fn a_scale_needs_a_place_in_the_schema() {
    let server = server().await;
    let crd = support::scaled_widgets().replace("replicas: {type: integer, maximum: 10}", "other: {type: integer}");
    let yaml = [("content-type", "application/yaml")];
    send(&server, "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &yaml, crd).await.expect(201);
    let widgets = "/apis/example.com/v1/namespaces/default/widgets";
    json(&server, "POST", widgets, json!({"metadata": {"name": "w"}, "spec": {"size": 1}})).await.expect(201);
    let body = json!({"spec": {"replicas": 3}});
    let refused = json(&server, "PATCH", &format!("{widgets}/w/scale"), body).await.expect(400).json();
    assert_eq!(refused["message"], "the spec replicas field \".spec.replicas\" cannot be empty");
}

#[tokio::test]
async fn a_deprecated_version_warns_whatever_is_done_with_it() {
    let server = server().await;
    let open = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let definition = json!({
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
            "versions": [
                {"name": "v1", "served": true, "storage": true, "schema": open},
                {"name": "v1beta1", "served": true, "storage": false, "deprecated": true, "schema": open},
            ],
        },
    });
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    json(&server, "POST", definitions, definition).await.expect(201);
    let all = "/apis/example.com/v1beta1/namespaces/default/things";
    let one = &format!("{all}/a");
    let thing = json!({"metadata": {"name": "a"}});
    let requests = [
        (404, "GET", one.as_str(), Value::Null),
        (201, "POST", all, thing.clone()),
        (409, "POST", all, thing),
        (200, "GET", all, Value::Null),
        (200, "GET", one, Value::Null),
        (200, "PATCH", one, json!({"a": 1})),
        (200, "DELETE", one, json!({})),
        (200, "DELETE", all, json!({})),
    ];
    for (code, method, uri, body) in requests {
        let answer = json(&server, method, uri, body).await.expect(code);
        let warnings: Vec<_> = answer.headers.get_all("warning").iter().collect();
        let expect = "299 - \"example.com/v1beta1 Thing is deprecated; use example.com/v1 Thing\"";
        assert_eq!(warnings, [expect], "{method} {uri}");
        let current = uri.replace("v1beta1", "v1");
        let answer = send(&server, "GET", &current, &[], Body::empty()).await;
        assert_eq!(answer.header("warning"), "", "{current}");
    }
}

#[tokio::test]
async fn made_up_resources_leave_nothing_behind() {
    let server = server().await;
    get(&server, "/api/v1/madeup").await.expect(404);
    get(&server, "/apis/made.up/v1/configmaps").await.expect(404);
    get(&server, CONFIGMAPS).await.expect(200);
    let metrics = get(&server, "/metrics").await.text();
    assert!(!metrics.contains("madeup") && metrics.contains("resource=\"configmaps\""), "{metrics}");
    assert!(!metrics.contains("resource=\"configmaps\",code=\"404\""), "{metrics}");
}

#[tokio::test]
async fn a_body_full_of_mistakes_is_answered_soon_and_briefly() {
    let server = server().await;
    let fields: Vec<String> = (0..40_000).map(|i| format!("\"k{i}\":1,\"k{i}\":2")).collect();
    let body = format!("{{\"metadata\":{{\"name\":\"a\"}},{}}}", fields.join(","));
    let start = std::time::Instant::now();
    let json = [("content-type", "application/json")];
    let answer = send(&server, "POST", CONFIGMAPS, &json, body.clone()).await.expect(201);
    let headers: usize = answer.headers.get_all("warning").iter().map(|value| value.len()).sum();
    assert!((1..10_000).contains(&headers), "{headers} bytes of warnings");
    let strict = format!("{CONFIGMAPS}?fieldValidation=Strict");
    let refused = send(&server, "POST", &strict, &json, body).await.expect(400);
    assert!(refused.body.len() < 10_000, "{} bytes of answer", refused.body.len());
    // Far more than it takes, far less than it took when every mistake was compared with every other.
    assert!(start.elapsed() < std::time::Duration::from_secs(20), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_configuration_is_applied_as_json_and_as_yaml() {
    let server = server().await;
    let apply = async |query: &str, body: &str| {
        let uri = format!("/api/v1/namespaces/default/configmaps/a?{query}");
        send(&server, "PATCH", &uri, &[("content-type", "application/apply-patch+yaml")], body.to_owned()).await
    };
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: '1'}\n";
    let json = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"2"}}"#;
    apply("fieldManager=m", yaml).await.expect(201);
    let changed = apply("fieldManager=m&force=true", json).await.expect(200).json();
    assert_eq!(changed["data"]["k"], "2");
    assert_eq!(changed["metadata"]["managedFields"][0]["manager"], "m");
    apply("", json).await.expect(422);
    apply("fieldManager=m", "a: [").await.expect(400);
    let twice = json.replace(r#""k":"2""#, r#""k":"2","k":"3""#);
    apply("fieldManager=m&fieldValidation=Strict", &twice).await.expect(400);
    let warned = apply("fieldManager=m", &twice).await.expect(200);
    assert_eq!(warned.header("warning"), r#"299 - "duplicate field \"data.k\"""#);
    let uri = "/api/v1/namespaces/default/configmaps/a?force=true";
    let refused = json_body(&server, uri).await.expect(422).json();
    assert_eq!(
        refused["message"],
        "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch"
    );
}

async fn json_body(server: &ApiServer, uri: &str) -> support::Answer {
    json(server, "PATCH", uri, json!({})).await
}
