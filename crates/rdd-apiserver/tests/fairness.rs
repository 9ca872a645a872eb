//! Floor 30: nobody waits for what somebody else asked for.

mod support;

use axum::body::Body;
use http::{Request, Response};
use http_body_util::BodyExt;
use rdd_apiserver::{ApiServer, UserInfo};
use rdd_store::{Location, Options, Store};
use serde_json::{Value, json};
use support::{PATIENCE, get, json, send, server};
use tower::ServiceExt;

const CONFIGMAPS: &str = "/api/v1/namespaces/default/configmaps";
/// How many large objects there are, and how many bytes each has.
const OBJECTS: usize = 25;
const LENGTH: usize = 60_000;

/// Text that does not compress to nothing.
fn noise(seed: usize) -> String {
    let mut state = u64::try_from(seed).expect("small") + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b"0123456789abcdef"[usize::try_from(state >> 60).expect("four bits")])
    };
    (0..LENGTH).map(|_| next()).collect()
}

async fn fill(server: &ApiServer) {
    for i in 0..OBJECTS {
        let body = json!({"metadata": {"name": format!("large-{i}")}, "data": {"k": noise(i)}});
        json(server, "POST", CONFIGMAPS, body).await.expect(201);
    }
}

async fn ask(server: &ApiServer, method: &str, uri: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).expect("a request");
    server.service(UserInfo::system_masters("test")).oneshot(request).await.expect("infallible")
}

/// Counts how often others are answered while `work` goes on, on the one thread of the test.
async fn answered_during<T: Send + 'static>(
    server: &ApiServer,
    work: impl Future<Output = T> + Send + 'static,
) -> (usize, T) {
    let work = tokio::spawn(work);
    let mut answered = 0;
    while !work.is_finished() {
        get(server, "/version").await.expect(200);
        answered += 1;
        tokio::task::yield_now().await;
    }
    (answered, work.await.expect("no panic"))
}

#[tokio::test]
async fn a_long_list_stands_in_nobodys_way() {
    let server = server().await;
    fill(&server).await;
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let whole = format!("{CONFIGMAPS}?includeObject=Object");
    let pretty = format!("{CONFIGMAPS}?pretty=true");
    for (uri, accept, encoding) in [
        (CONFIGMAPS, "application/json", "identity"),
        (CONFIGMAPS, "application/json", "gzip"),
        (&pretty, "application/json", "identity"),
        (CONFIGMAPS, "application/yaml", "identity"),
        (CONFIGMAPS, "application/yaml", "gzip"),
        (&whole, table, "identity"),
    ] {
        let (asked, uri) = (server.clone(), uri.to_owned());
        let work = async move {
            let headers = [("accept", accept), ("accept-encoding", encoding)];
            let response = ask(&asked, "GET", &uri, &headers).await;
            assert_eq!(response.status(), 200);
            let is_gzip = response.headers().get("content-encoding").is_some_and(|v| v == "gzip");
            assert_eq!(is_gzip, encoding == "gzip");
            let mut body = response.into_body();
            let (mut length, mut longest) = (0, 0);
            while let Some(frame) = body.frame().await {
                let part = frame.expect("no error").into_data().expect("data").len();
                (length, longest) = (length + part, longest.max(part));
            }
            (length, longest)
        };
        let (answered, (length, longest)) = answered_during(&server, work).await;
        assert!(length > OBJECTS * LENGTH / 3, "{accept} {encoding}: {length} bytes");
        assert!(longest <= 256 * 1024, "{accept} {encoding}: {longest} bytes at a time");
        assert!(answered > OBJECTS / 2, "{accept} {encoding}: others were answered {answered} times");
    }
}

#[tokio::test]
async fn an_object_in_yaml_stands_in_nobodys_way() {
    let server = server().await;
    let data: serde_json::Map<String, Value> = (0..10).map(|i| (format!("k{i}"), noise(i).into())).collect();
    let made = json(&server, "POST", CONFIGMAPS, json!({"metadata": {"name": "a"}, "data": data})).await.expect(201);
    let asked = server.clone();
    let work = async move {
        let headers = [("accept", "application/yaml")];
        send(&asked, "GET", &format!("{CONFIGMAPS}/a"), &headers, Body::empty()).await.expect(200)
    };
    let (answered, answer) = answered_during(&server, work).await;
    assert_eq!(answer.text(), rdd_schema::yaml::print(&made.json()));
    assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    assert!(answered > 10, "others were answered {answered} times");
}

#[tokio::test]
async fn short_lists_have_a_length_and_long_ones_have_none() {
    let server = server().await;
    let empty = ask(&server, "GET", CONFIGMAPS, &[("accept-encoding", "gzip")]).await;
    let length = empty.headers()["content-length"].clone();
    assert!(empty.headers().get("content-encoding").is_none());
    assert_eq!(empty.into_body().collect().await.expect("a body").to_bytes().len().to_string(), length);
    fill(&server).await;
    let long = ask(&server, "GET", CONFIGMAPS, &[]).await;
    assert!(long.headers().get("content-length").is_none());
    assert_eq!(
        (&long.headers()["content-type"], &long.headers()["cache-control"]),
        (&"application/json".parse().expect("a value"), &"no-cache, private".parse().expect("a value"))
    );
    let head = ask(&server, "HEAD", CONFIGMAPS, &[]).await;
    assert_eq!(head.status(), 200);
    assert!(head.into_body().collect().await.expect("a body").to_bytes().is_empty());
}

#[tokio::test]
async fn a_list_that_is_read_for_the_first_time_stands_in_nobodys_way() {
    let dir = tempfile::tempdir().expect("a directory");
    let start = async || {
        let store = Store::open(Location::File(dir.path().join("db")), Options::default()).expect("the store opens");
        ApiServer::builder().store(store).start().await.expect("the server starts")
    };
    let first = start().await;
    fill(&first).await;
    first.shutdown().await;
    let second = start().await;
    let asked = second.clone();
    // No byte of the answer is read: all there is to do is to read what is stored.
    let work = async move { ask(&asked, "GET", CONFIGMAPS, &[]).await.status() };
    let (answered, status) = answered_during(&second, work).await;
    assert_eq!(status, 200);
    assert!(answered > OBJECTS / 5, "others were answered {answered} times");
    tokio::time::timeout(PATIENCE, second.shutdown()).await.expect("the server ends");
}
