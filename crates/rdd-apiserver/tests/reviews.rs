//! Floor 30, in process: questions about users, and the tokens of ServiceAccounts.

mod support;

use std::sync::Arc;
use std::time::Duration;

use rdd_api::time::ManualClock;
use rdd_apiserver::{ApiServer, UserInfo};
use serde_json::{Value, json};
use support::{Answer, Live, get, json, send, send_as, server};

const AUTHORIZATION: &str = "/apis/authorization.k8s.io/v1";
const TOKEN_REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const ISSUER: &str = "https://kubernetes.default.svc";

async fn allow(server: &ApiServer, role: &str, subject: Value) {
    let binding = json!({"metadata": {"name": format!("{role}-there")}, "roleRef": {"kind": "ClusterRole", "name": role},
        "subjects": [subject]});
    json(server, "POST", &format!("{RBAC}/namespaces/default/rolebindings"), binding).await.expect(201);
}

async fn status(server: &ApiServer, uri: &str, spec: Value) -> Value {
    json(server, "POST", uri, json!({"spec": spec})).await.expect(201).json()["status"].clone()
}

#[tokio::test]
async fn others_can_be_asked_about() {
    let server = server().await;
    allow(&server, "view", json!({"kind": "User", "name": "bob"})).await;
    let anywhere = format!("{AUTHORIZATION}/subjectaccessreviews");
    let there = format!("{AUTHORIZATION}/namespaces/default/localsubjectaccessreviews");
    let on = |verb: &str, namespace: &str| json!({"user": "bob", "resourceAttributes": {"verb": verb, "resource": "configmaps", "namespace": namespace}});
    let reason = "RBAC: allowed by RoleBinding \"view-there/default\" of ClusterRole \"view\" to User \"bob\"";
    for uri in [&anywhere, &there] {
        let yes = status(&server, uri, on("get", "default")).await;
        assert_eq!(yes, json!({"allowed": true, "reason": reason}));
        assert_eq!(status(&server, uri, on("delete", "default")).await, json!({"allowed": false}));
    }
    assert_eq!(status(&server, &anywhere, on("get", "kube-system")).await["allowed"], false);
    let path =
        json!({"groups": ["system:unauthenticated"], "nonResourceAttributes": {"verb": "get", "path": "/version"}});
    assert_eq!(status(&server, &anywhere, path.clone()).await["allowed"], true);

    let message = async |uri: &str, spec: Value| {
        json(&server, "POST", uri, json!({"spec": spec})).await.expect(422).json()["message"].clone()
    };
    assert_eq!(
        message(&there, on("get", "kube-system")).await,
        "LocalSubjectAccessReview.authorization.k8s.io \"\" is invalid: spec.resourceAttributes.namespace: Invalid value: \
         \"kube-system\": must match metadata.namespace"
    );
    let text = message(&there, path).await;
    assert!(text.as_str().is_some_and(|t| t.ends_with("disallowed on this kind of request")), "{text}");
    let text = message(&anywhere, json!({})).await;
    assert!(
        text.as_str().is_some_and(|t| t.contains("exactly one of") && t.contains("at least one of user")),
        "{text}"
    );
    let odd = json(&server, "POST", &anywhere, json!({"spec": {"user": "bob", "groups": "all"}})).await;
    assert_eq!(odd.code, 400, "{}", odd.text());
    let foreign = json(&server, "POST", &format!("{AUTHORIZATION}/localsubjectaccessreviews"), json!({})).await;
    assert_eq!(foreign.code, 405);
    server.shutdown().await;
}

#[tokio::test]
async fn everybody_can_ask_what_they_may() {
    let server = server().await;
    allow(&server, "view", json!({"kind": "User", "name": "bob"})).await;
    let bob = UserInfo { name: "bob".to_owned(), ..UserInfo::default() };
    let uri = format!("{AUTHORIZATION}/selfsubjectrulesreviews");
    let ask = async |namespace: &str| {
        let body = json!({"spec": {"namespace": namespace}}).to_string();
        send_as(&server, bob.clone(), "POST", &uri, &[("content-type", "application/json")], body).await
    };
    let status = ask("default").await.expect(201).json()["status"].clone();
    assert_eq!(status["incomplete"], false);
    let holds = |status: &Value, list: &str, field: &str, value: &str| {
        let rules = status[list].as_array().cloned().unwrap_or_default();
        rules.iter().any(|rule| rule[field].as_array().is_some_and(|list| list.contains(&json!(value))))
    };
    assert!(holds(&status, "resourceRules", "resources", "configmaps"), "{status}");
    assert!(holds(&status, "resourceRules", "resources", "selfsubjectrulesreviews"), "{status}");
    assert!(holds(&status, "nonResourceRules", "nonResourceURLs", "/apis/*"), "{status}");
    let status = ask("kube-system").await.expect(201).json()["status"].clone();
    assert!(!holds(&status, "resourceRules", "resources", "configmaps"), "{status}");
    assert_eq!(ask("").await.expect(400).json()["message"], "no namespace on request");
    server.shutdown().await;
}

async fn token(server: &ApiServer, account: &str, spec: Value) -> Answer {
    json(server, "POST", &format!("{ACCOUNTS}/{account}/token"), json!({"spec": spec})).await
}

async fn review(server: &ApiServer, token: &str, audiences: &[&str]) -> Value {
    status(server, TOKEN_REVIEWS, json!({"token": token, "audiences": audiences})).await
}

#[tokio::test]
async fn a_service_accounts_token_is_good_as_long_as_the_account_and_its_time() {
    let clock = ManualClock::new("2026-01-01T00:00:00Z".parse().expect("a time"));
    let server = support::builder().clock(Arc::new(clock.clone())).start().await.expect("starts");
    let account = json(&server, "POST", ACCOUNTS, json!({"metadata": {"name": "sa"}})).await.expect(201).json();
    let made = token(&server, "sa", json!({})).await.expect(201).json();
    assert_eq!((&made["kind"], &made["apiVersion"]), (&json!("TokenRequest"), &json!("authentication.k8s.io/v1")));
    assert_eq!(made["spec"], json!({"audiences": [ISSUER], "expirationSeconds": 3600}));
    assert_eq!(made["status"]["expirationTimestamp"], "2026-01-01T01:00:00Z");
    let text = made["status"]["token"].as_str().expect("a token");

    let seen = review(&server, text, &[]).await;
    assert_eq!((&seen["authenticated"], &seen["audiences"]), (&json!(true), &json!([ISSUER])));
    assert_eq!(seen["user"]["username"], "system:serviceaccount:default:sa");
    assert_eq!(seen["user"]["uid"], account["metadata"]["uid"]);
    assert_eq!(
        seen["user"]["groups"],
        json!(["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"])
    );
    let id = seen["user"]["extra"]["authentication.kubernetes.io/credential-id"][0].as_str().unwrap_or_default();
    assert!(id.starts_with("JTI="), "{seen}");
    assert_eq!(review(&server, text, &["vault"]).await, json!({"user": {}, "error": "invalid bearer token"}));

    let for_vault = token(&server, "sa", json!({"audiences": ["vault"]})).await.expect(201).json();
    let for_vault = for_vault["status"]["token"].as_str().expect("a token");
    assert_eq!(review(&server, for_vault, &["vault", "x"]).await["audiences"], json!(["vault"]));
    assert_eq!(review(&server, for_vault, &[]).await["authenticated"], Value::Null);

    clock.advance(Duration::from_secs(3599));
    assert_eq!(review(&server, text, &[]).await["authenticated"], true);
    clock.advance(Duration::from_secs(1));
    assert_eq!(review(&server, text, &[]).await["authenticated"], Value::Null, "its time is over");

    let made = token(&server, "sa", json!({"expirationSeconds": 7200})).await.expect(201).json();
    let text = made["status"]["token"].as_str().expect("a token");
    assert_eq!(review(&server, text, &[]).await["authenticated"], true);
    send(&server, "DELETE", &format!("{ACCOUNTS}/sa"), &[], "").await.expect(200);
    assert_eq!(review(&server, text, &[]).await["authenticated"], Value::Null, "the account is gone");
    json(&server, "POST", ACCOUNTS, json!({"metadata": {"name": "sa"}})).await.expect(201);
    assert_eq!(review(&server, text, &[]).await["authenticated"], Value::Null, "another one of the name");
    server.shutdown().await;
}

#[tokio::test]
async fn a_token_may_be_bound_to_a_secret() {
    let server = server().await;
    json(&server, "POST", ACCOUNTS, json!({"metadata": {"name": "sa"}})).await.expect(201);
    let secrets = "/api/v1/namespaces/default/secrets";
    json(&server, "POST", secrets, json!({"metadata": {"name": "s"}})).await.expect(201);
    let bound = |name: &str| json!({"boundObjectRef": {"apiVersion": "v1", "kind": "Secret", "name": name}});
    assert_eq!(token(&server, "sa", bound("t")).await.expect(404).json()["message"], "secrets \"t\" not found");
    let made = token(&server, "sa", bound("s")).await.expect(201).json();
    let text = made["status"]["token"].as_str().expect("a token");
    assert_eq!(review(&server, text, &[]).await["authenticated"], true);
    send(&server, "DELETE", &format!("{secrets}/s"), &[], "").await.expect(200);
    assert_eq!(review(&server, text, &[]).await["authenticated"], Value::Null);
    let missing = token(&server, "nobody", json!({})).await.expect(404).json();
    assert_eq!(missing["message"], "serviceaccounts \"nobody\" not found");
    let short = token(&server, "sa", json!({"expirationSeconds": 599})).await.expect(422).json();
    assert_eq!(
        short["message"],
        "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 599: may not specify a \
         duration less than 10 minutes"
    );
    server.shutdown().await;
}

#[tokio::test]
async fn a_token_opens_what_its_account_may() {
    let live = Live::start().await;
    let server = &live.server;
    json(server, "POST", ACCOUNTS, json!({"metadata": {"name": "sa"}})).await.expect(201);
    allow(server, "view", json!({"kind": "ServiceAccount", "name": "sa"})).await;
    let made = token(server, "sa", json!({})).await.expect(201).json();
    let client = live.client_with(made["status"]["token"].as_str().expect("a token")).await;
    let maps =
        |namespace: &str| kube::Api::<k8s_openapi::api::core::v1::ConfigMap>::namespaced(client.clone(), namespace);
    maps("default").list(&Default::default()).await.expect("allowed");
    let refused = maps("kube-system").list(&Default::default()).await.expect_err("denied");
    let message = "configmaps is forbidden: User \"system:serviceaccount:default:sa\" cannot list resource \"configmaps\" \
                   in API group \"\" in the namespace \"kube-system\"";
    assert!(matches!(&refused, kube::Error::Api(s) if s.code == 403 && s.message == message), "{refused:?}");
    send(server, "DELETE", &format!("{ACCOUNTS}/sa"), &[], "").await.expect(200);
    let refused = maps("default").list(&Default::default()).await.expect_err("the account is gone");
    assert!(matches!(&refused, kube::Error::Api(s) if s.code == 401), "{refused:?}");
    live.stop().await;
}

#[tokio::test]
async fn a_token_outlives_the_server_as_its_key_does() {
    let dir = tempfile::tempdir().expect("a directory");
    let start = async |key: &str| {
        let location = rdd_store::Location::File(dir.path().join("db"));
        let store = rdd_store::Store::open(location, rdd_store::Options::default()).expect("a store");
        let key = rdd_auth::SigningKey::load_or_make(&dir.path().join(key)).expect("a key");
        ApiServer::builder().store(store).service_account_key(key).start().await.expect("starts")
    };
    let server = start("sa.key").await;
    json(&server, "POST", ACCOUNTS, json!({"metadata": {"name": "sa"}})).await.expect(201);
    let made = token(&server, "sa", json!({})).await.expect(201).json();
    let text = made["status"]["token"].as_str().expect("a token");
    server.shutdown().await;
    for (key, good) in [("sa.key", json!(true)), ("other.key", Value::Null)] {
        let server = start(key).await;
        assert_eq!(review(&server, text, &[]).await["authenticated"], good, "{key}");
        server.shutdown().await;
    }
}

#[tokio::test]
async fn who_signs_is_told() {
    let server = server().await;
    let told = get(&server, "/.well-known/openid-configuration").await.expect(200).json();
    assert_eq!(told["issuer"], ISSUER);
    let keys = get(&server, "/openid/v1/jwks").await.expect(200);
    assert_eq!(keys.header("content-type"), "application/jwk-set+json");
    assert_eq!(keys.json()["keys"][0]["alg"], "ES256");
    server.shutdown().await;
}

#[tokio::test]
async fn reviews_are_discovered_and_described() {
    let server = server().await;
    let names = |list: &Value| -> Vec<String> {
        let all = list["resources"].as_array().cloned().unwrap_or_default();
        all.iter().map(|r| r["name"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let list = get(&server, "/apis/authorization.k8s.io/v1").await.expect(200).json();
    assert_eq!(
        names(&list),
        ["localsubjectaccessreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews", "subjectaccessreviews"]
    );
    assert_eq!(list["resources"][0]["namespaced"], true);
    let list = get(&server, "/apis/authentication.k8s.io/v1").await.expect(200).json();
    assert_eq!(names(&list), ["selfsubjectreviews", "tokenreviews"]);
    let core = get(&server, "/api/v1").await.expect(200).json();
    let entry = core["resources"].as_array().into_iter().flatten().find(|r| r["name"] == "serviceaccounts/token");
    assert_eq!(entry.expect("told")["kind"], "TokenRequest");

    let schemas = async |path: &str| get(&server, path).await.expect(200).json();
    let v3 = schemas("/openapi/v3/apis/authorization.k8s.io/v1").await;
    let name = "io.k8s.api.authorization.v1.SelfSubjectRulesReview";
    assert!(v3["components"]["schemas"][name].is_object(), "{name}");
    assert!(v3["components"]["schemas"][format!("{name}List")].is_null());
    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let methods: Vec<&String> = v3["paths"][path].as_object().expect("a path").keys().collect();
    assert_eq!(methods, ["parameters", "post"]);
    let v3 = schemas("/openapi/v3/api/v1").await;
    let token = &v3["paths"]["/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"]["post"];
    assert_eq!(token["x-kubernetes-group-version-kind"]["kind"], "TokenRequest");
    assert!(v3["components"]["schemas"]["io.k8s.api.authentication.v1.TokenRequest"].is_object());
    let v2 = schemas("/openapi/v2").await;
    assert!(v2["definitions"]["io.k8s.api.authentication.v1.TokenReview"].is_object());
    server.shutdown().await;
}
