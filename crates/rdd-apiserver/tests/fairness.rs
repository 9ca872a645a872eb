//! Floor 30: nobody waits for what somebody else asked for.

mod support;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use http::{Request, Response};
use http_body_util::BodyExt;
use rdd_admission::{Admit, Attributes, Plugin};
use rdd_api::Status;
use rdd_apiserver::{ApiServer, Limits, UserInfo};
use rdd_store::{Location, Options, Store};
use serde_json::{Value, json};
use support::{PATIENCE, eventually, get, json, send, server};
use tokio::sync::Semaphore;
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

/// Lets nothing that is called `stuck` pass, and says when it came.
struct Stuck(Arc<Semaphore>);

#[async_trait]
impl Plugin for Stuck {
    fn name(&self) -> &str {
        "Stuck"
    }

    fn handles(&self, request: &Attributes) -> bool {
        request.name == "stuck"
    }

    async fn admit(&self, _: &mut Attributes, _: &Admit) -> Result<(), Status> {
        self.0.add_permits(1);
        std::future::pending().await
    }
}

async fn limited(limits: Limits) -> (ApiServer, Arc<Semaphore>) {
    let came = Arc::new(Semaphore::new(0));
    let plugin = Arc::new(Stuck(came.clone()));
    let server = ApiServer::builder().limits(limits).plugin(plugin).start().await.expect("the server starts");
    (server, came)
}

#[tokio::test]
async fn more_writes_than_the_limit_are_told_to_come_again() {
    let (server, came) = limited(Limits { writes: 1, ..Limits::default() }).await;
    let asked = server.clone();
    let stuck =
        tokio::spawn(async move { json(&asked, "POST", CONFIGMAPS, json!({"metadata": {"name": "stuck"}})).await });
    tokio::time::timeout(PATIENCE, came.acquire()).await.expect("in time").expect("open").forget();
    let other = json!({"metadata": {"name": "other"}});
    let refused = json(&server, "POST", CONFIGMAPS, other.clone()).await.expect(429);
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(
        refused.json(),
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 429,
            "message": "Too many requests, please try again later.", "reason": "TooManyRequests",
            "details": {"retryAfterSeconds": 1},
        })
    );
    get(&server, CONFIGMAPS).await.expect(200);
    stuck.abort();
    eventually("its place is free", || async {
        let answer = json(&server, "POST", CONFIGMAPS, other.clone()).await;
        if answer.code == 201 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
}

#[tokio::test]
async fn reads_have_a_limit_of_their_own_and_watches_count_until_they_begin() {
    let (server, _) = limited(Limits { reads: 0, ..Limits::default() }).await;
    let refused = get(&server, "/version").await.expect(429);
    assert_eq!((refused.header("retry-after"), refused.json()["reason"].as_str()), ("1", Some("TooManyRequests")));
    json(&server, "POST", CONFIGMAPS, json!({"metadata": {"name": "a"}})).await.expect(201);

    let (server, _) = limited(Limits { reads: 1, ..Limits::default() }).await;
    let mut open = Vec::new();
    for _ in 0..5 {
        open.push(ask(&server, "GET", &format!("{CONFIGMAPS}?watch=1"), &[]).await);
    }
    assert!(open.iter().all(|watch| watch.status() == 200));
    get(&server, CONFIGMAPS).await.expect(200);
}

#[tokio::test]
async fn a_request_takes_no_longer_than_its_client_waits() {
    let (server, _) = limited(Limits { writes: 1, ..Limits::default() }).await;
    let stuck = format!("{CONFIGMAPS}?timeout=50ms");
    for _ in 0..2 {
        let request = json(&server, "POST", &stuck, json!({"metadata": {"name": "stuck"}}));
        // Well below the 34 s that it might take if its client did not care.
        let late = tokio::time::timeout(Duration::from_secs(20), request).await.expect("in time").expect(504).json();
        assert_eq!(
            (&late["reason"], &late["message"]),
            (
                &json!("Timeout"),
                &json!("Timeout: request did not complete within requested timeout - context deadline exceeded")
            )
        );
    }
    let strange = get(&server, "/version?timeout=soon").await.expect(400).json();
    assert_eq!(strange["reason"], "BadRequest");
    get(&server, "/version?timeout=32s").await.expect(200);
}
