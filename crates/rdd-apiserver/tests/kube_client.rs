//! Floor 30: kube-rs over real TLS: client, watcher, reflector, controller, finalizer.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::controller::Action;
use kube::runtime::{Controller, WatchStreamExt, finalizer, reflector, wait, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;
use support::{Live, PATIENCE};

fn configmap(name: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        data: Some(BTreeMap::from([("k".to_owned(), "v".to_owned())])),
        ..ConfigMap::default()
    }
}

#[tokio::test]
async fn a_client_writes_lists_and_deletes() {
    let live = Live::start().await;
    let client = live.client().await;
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let made = api.create(&PostParams::default(), &configmap("a")).await.expect("created");
    assert!(made.uid().is_some() && made.resource_version().is_some());
    let patch = Patch::Merge(json!({"data": {"n": "1"}}));
    let patched = api.patch("a", &PatchParams::default(), &patch).await.expect("patched");
    assert_eq!(patched.data.expect("data").len(), 2);
    let stale = api.replace("a", &PostParams::default(), &made).await.expect_err("an old revision");
    assert!(matches!(stale, kube::Error::Api(status) if status.is_conflict()));
    for name in ["b", "c", "d"] {
        api.create(&PostParams::default(), &configmap(name)).await.expect("created");
    }
    let page = api.list(&ListParams::default().limit(3)).await.expect("a page");
    assert_eq!(page.items.len(), 3);
    let token = page.metadata.continue_.expect("there is more");
    let rest = api.list(&ListParams::default().limit(3).continue_token(&token)).await.expect("the rest");
    assert_eq!(rest.items.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["d"]);
    assert!(api.delete("a", &DeleteParams::default()).await.expect("deleted").is_right());
    let missing = api.get("a").await.expect_err("gone");
    assert!(matches!(missing, kube::Error::Api(status) if status.is_not_found()));
    assert_eq!(client.apiserver_version().await.expect("a version").major, "1");
    let discovery = kube::discovery::Discovery::new(client).run().await.expect("discovery");
    assert!(discovery.has_group("coordination.k8s.io"));
    live.stop().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_answered_not_cut_off() {
    let live = Live::start().await;
    let api: Api<ConfigMap> = Api::default_namespaced(live.client().await);
    let mut large = configmap("large");
    large.data = Some(BTreeMap::from([("k".to_owned(), "x".repeat(12 << 20))]));
    // Whether an answer that comes too early is seen depends on how fast the client sends.
    for _ in 0..5 {
        let refused = api.create(&PostParams::default(), &large).await.expect_err("too large");
        assert!(matches!(&refused, kube::Error::Api(status) if status.code == 413), "{refused:?}");
    }
    live.stop().await;
}

#[tokio::test]
async fn nobody_gets_in_without_credentials() {
    let live = Live::start().await;
    let url = format!("https://127.0.0.1:{}", live.port).parse().expect("a URL");
    let mut config = kube::Config::new(url);
    let certificates = <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::pem_slice_iter(
        live.ca_pem.as_bytes(),
    );
    config.root_cert = Some(certificates.map(|c| c.expect("PEM").to_vec()).collect());
    let _ = rustls::crypto::ring::default_provider().install_default();

    let anonymous = Client::try_from(config.clone()).expect("a client");
    assert_eq!(anonymous.apiserver_version().await.expect("everybody may know the version").major, "1");
    let refused = anonymous.list_core_api_versions().await.expect_err("no credentials");
    let message = "forbidden: User \"system:anonymous\" cannot get path \"/api\"";
    assert!(matches!(&refused, kube::Error::Api(s) if s.code == 403 && s.message == message), "{refused:?}");

    // A client certificate of the instance's authority is a credential.
    let read = |name: &str| std::fs::read_to_string(live.path().join("tls").join(name)).expect("a file");
    let now = SystemTime::now();
    let authority = rdd_auth::Authority::from_pem(&read("ca.crt"), &read("ca.key"), now).expect("the authority");
    let (certificate, key) = authority.issue_client("bob", &["builders"], now).expect("a client certificate");
    config.auth_info.client_certificate_data = Some(base64(&certificate));
    config.auth_info.client_key_data = Some(base64(&key).into());
    let bob = Client::try_from(config.clone()).expect("a client");
    assert_eq!(bob.apiserver_version().await.expect("bob is known").major, "1");

    // One of a stranger's is not: the handshake fails.
    let (certificate, key) =
        rdd_auth::Authority::make(now).expect("made").issue_client("bob", &[], now).expect("issued");
    config.auth_info.client_certificate_data = Some(base64(&certificate));
    config.auth_info.client_key_data = Some(base64(&key).into());
    let stranger = Client::try_from(config).expect("a client");
    assert!(stranger.apiserver_version().await.is_err());
    live.stop().await;
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[tokio::test]
async fn a_watcher_sees_what_happens_and_ends_with_the_server() {
    let live = Live::start().await;
    let client = live.client().await;
    for streaming in [false, true] {
        let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
        let name = format!("watched-{streaming}");
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let config = if streaming { config.streaming_lists() } else { config };
        let mut events = Box::pin(watcher(api.clone(), config));
        let mut next = async || {
            tokio::time::timeout(PATIENCE, events.try_next())
                .await
                .expect("in time")
                .expect("no error")
                .expect("an event")
        };
        assert!(matches!(next().await, watcher::Event::Init));
        assert!(matches!(next().await, watcher::Event::InitDone));
        api.create(&PostParams::default(), &configmap(&name)).await.expect("created");
        assert!(matches!(next().await, watcher::Event::Apply(object) if object.name_any() == name));
        api.delete(&name, &DeleteParams::default()).await.expect("deleted");
        assert!(matches!(next().await, watcher::Event::Delete(object) if object.name_any() == name));
    }
    // An open watch does not hold the server up.
    let mut open = Box::pin(watcher(Api::<Namespace>::all(client), watcher::Config::default()));
    while !matches!(open.try_next().await.expect("no error"), Some(watcher::Event::InitDone)) {}
    let stopping = live.stop();
    tokio::pin!(stopping);
    loop {
        tokio::select! {
            () = &mut stopping => break,
            _ = open.next() => {}
        }
    }
}

#[tokio::test]
async fn a_reflector_follows() {
    let live = Live::start().await;
    let api: Api<ConfigMap> = Api::default_namespaced(live.client().await);
    let (reader, writer) = reflector::store::<ConfigMap>();
    let stream = watcher(api.clone(), watcher::Config::default()).default_backoff().reflect(writer).touched_objects();
    let follow = tokio::spawn(stream.for_each(|_| futures::future::ready(())));
    tokio::time::timeout(PATIENCE, reader.wait_until_ready()).await.expect("in time").expect("ready");
    api.create(&PostParams::default(), &configmap("r")).await.expect("created");
    let key = reflector::ObjectRef::new("r").within("default");
    support::eventually("the reflector has it", || async { reader.get(&key).ok_or_else(|| "absent".to_owned()) }).await;
    follow.abort();
    live.stop().await;
}

#[tokio::test]
async fn a_controller_with_a_finalizer_runs_its_course() {
    let live = Live::start().await;
    let client = live.client().await;
    let definition: CustomResourceDefinition =
        serde_json::from_value(rdd_schema::yaml::parse(support::WIDGETS).expect("YAML")).expect("a definition");
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    definitions.create(&PostParams::default(), &definition).await.expect("created");
    let established = wait::await_condition(definitions, "widgets.example.com", wait::conditions::is_crd_established());
    tokio::time::timeout(PATIENCE, established).await.expect("in time").expect("established");

    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("example.com", "v1", "Widget"));
    let api: Api<DynamicObject> = Api::default_namespaced_with(client.clone(), &resource);
    let context = Arc::new(api.clone());
    let reconcile = |widget: Arc<DynamicObject>, api: Arc<Api<DynamicObject>>| async move {
        let inner = api.as_ref().clone();
        finalizer::finalizer(&api, "example.com/cleanup", widget, |event| async move {
            match event {
                finalizer::Event::Apply(widget) => {
                    let status = json!({"status": {"phase": format!("size {}", widget.data["spec"]["size"])}});
                    inner.patch_status(&widget.name_any(), &PatchParams::default(), &Patch::Merge(status)).await?;
                }
                finalizer::Event::Cleanup(_) => {}
            }
            Ok::<_, kube::Error>(Action::await_change())
        })
        .await
    };
    let controller = Controller::new_with(api.clone(), watcher::Config::default(), resource.clone());
    let run = tokio::spawn(
        controller
            .run(reconcile, |_, _, _| Action::requeue(Duration::from_millis(100)), context)
            .for_each(|_| futures::future::ready(())),
    );

    let widget = DynamicObject::new("w", &resource).data(json!({"spec": {"size": 3}}));
    api.create(&PostParams::default(), &widget).await.expect("created");
    support::eventually("the status says the size", || async {
        let widget = api.get("w").await.map_err(|error| error.to_string())?;
        if widget.data["status"]["phase"] == "size 3" { Ok(()) } else { Err(format!("{widget:?}")) }
    })
    .await;
    let going = api.delete("w", &DeleteParams::default()).await.expect("accepted");
    assert!(going.is_left(), "the finalizer holds it: the answer is the object");
    support::eventually("it is gone", || async {
        match api.get_opt("w").await.map_err(|error| error.to_string())? {
            None => Ok(()),
            Some(widget) => Err(format!("{widget:?}")),
        }
    })
    .await;
    run.abort();
    live.stop().await;
}

/// Writes some large objects, and returns how long half of the writes took at most.
async fn write_large(api: &Api<ConfigMap>, prefix: &str) -> Duration {
    let mut took = Vec::new();
    for round in 0..40 {
        let mut object = configmap(&format!("{prefix}-{round}"));
        object.data = Some(BTreeMap::from([("k".to_owned(), "x".repeat(100_000))]));
        let start = std::time::Instant::now();
        let parameters = PostParams::default();
        tokio::time::timeout(PATIENCE, api.create(&parameters, &object)).await.expect("in time").expect("created");
        took.push(start.elapsed());
    }
    took.sort();
    took[took.len() / 2]
}

#[tokio::test]
async fn a_slow_reader_delays_nobody_and_loses_its_place() {
    // A quarter of what is written: who reads nothing falls out of the history in memory.
    let options = rdd_store::Options { history_bytes: 1_000_000, ..rdd_store::Options::default() };
    let store = rdd_store::Store::open(rdd_store::Location::Memory, options).expect("the store opens");
    let live = Live::serve(support::builder().store(store).start().await.expect("the server starts")).await;
    let api: Api<ConfigMap> = Api::default_namespaced(live.client().await);
    let alone = write_large(&api, "alone").await;

    // Watches that are opened and not read: none takes one object more than its window.
    let (slow, connection) = http2(&live, 64 * 1024).await;
    let path =
        format!("/api/v1/namespaces/default/configmaps?watch=1&resourceVersion={}", live.server.verbs().revision());
    let mut open = Vec::new();
    for _ in 0..20 {
        open.push(ask(&live, &slow, &path).await);
    }
    let config = watcher::Config::default().fields("metadata.name=crowded-39");
    let mut quick = Box::pin(watcher(api.clone(), config));
    while !matches!(quick.try_next().await.expect("no error"), Some(watcher::Event::InitDone)) {}
    let crowded = write_large(&api, "crowded").await;
    // Both are halves of the same work on the same machine, so a loaded one changes both.
    assert!(crowded < 10 * alone.max(Duration::from_millis(10)), "{alone:?} alone, {crowded:?} beside slow readers");
    let event = tokio::time::timeout(PATIENCE, quick.try_next()).await.expect("in time").expect("no error");
    assert!(matches!(event, Some(watcher::Event::Apply(object)) if object.name_any() == "crowded-39"));
    let parameters = ListParams::default();
    let list = tokio::time::timeout(PATIENCE, api.list(&parameters)).await.expect("in time").expect("a list");
    assert_eq!(list.items.len(), 80);

    // Who reads again is told that it missed something, and that is the end.
    for watch in open {
        let body = http_body_util::BodyExt::collect(watch.into_body());
        let body = tokio::time::timeout(PATIENCE, body).await.expect("it ends").expect("a clean end").to_bytes();
        let last = body.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().expect("a line");
        let last: serde_json::Value = serde_json::from_slice(last).expect("JSON");
        assert_eq!(
            (&last["type"], &last["object"]["code"], &last["object"]["reason"]),
            (&json!("ERROR"), &json!(410), &json!("Expired"))
        );
        assert!(body.len() < 1_000_000, "{} bytes", body.len());
    }
    drop(slow);
    live.stop().await;
    let _ = connection.await.expect("no panic");
}

#[tokio::test]
async fn the_client_works_without_a_port() {
    let server = support::server().await;
    let client = Client::new(server.service(rdd_apiserver::UserInfo::system_masters("me")), "default");
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    api.create(&PostParams::default(), &configmap("a")).await.expect("created");
    let mut events = Box::pin(watcher(api.clone(), watcher::Config::default()));
    let mut names = Vec::new();
    while names.len() < 2 {
        match tokio::time::timeout(PATIENCE, events.try_next()).await.expect("in time").expect("no error") {
            Some(watcher::Event::InitApply(object) | watcher::Event::Apply(object)) => names.push(object.name_any()),
            Some(watcher::Event::InitDone) => {
                api.create(&PostParams::default(), &configmap("b")).await.expect("created");
            }
            _ => {}
        }
    }
    assert_eq!(names, ["a", "b"]);
    server.shutdown().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_serves_too() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let server = support::server().await;
    let dir = tempfile::tempdir().expect("a directory");
    let listener = tokio::net::UnixListener::bind(dir.path().join("s")).expect("a socket");
    let stop = tokio_util::sync::CancellationToken::new();
    let (serve, until) = (server.clone(), stop.clone());
    let user = rdd_apiserver::UserInfo::system_masters("local");
    let serving = tokio::spawn(async move { serve.serve_unix(listener, user, until).await });
    let ask = async |header: &str| {
        let mut stream = tokio::net::UnixStream::connect(dir.path().join("s")).await.expect("connects");
        let request = format!("GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}\r\n");
        stream.write_all(request.as_bytes()).await.expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        answer
    };
    assert!(ask("").await.starts_with("HTTP/1.1 200"), "who may connect is known");
    assert!(ask("Authorization: Bearer wrong\r\n").await.starts_with("HTTP/1.1 401"));
    stop.cancel();
    serving.await.expect("no panic").expect("served");
    server.shutdown().await;
}

type Sender = hyper::client::conn::http2::SendRequest<axum::body::Body>;

/// Opens an HTTP/2 connection, each of whose streams takes `window` bytes before somebody reads it.
async fn http2(live: &Live, window: u32) -> (Sender, tokio::task::JoinHandle<hyper::Result<()>>) {
    use hyper_util::rt::{TokioExecutor, TokioIo};

    let mut roots = rustls::RootCertStore::empty();
    for certificate in <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::pem_slice_iter(
        live.ca_pem.as_bytes(),
    ) {
        roots.add(certificate.expect("PEM")).expect("a root");
    }
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(rdd_auth::provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", live.port)).await.expect("connects");
    let name = rustls::pki_types::ServerName::try_from("127.0.0.1").expect("a name");
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("shakes hands");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(window);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.expect("HTTP/2");
    (sender, tokio::spawn(connection))
}

fn ask(
    live: &Live,
    sender: &Sender,
    path: &str,
) -> impl Future<Output = http::Response<hyper::body::Incoming>> + use<> {
    let request = http::Request::get(format!("https://127.0.0.1:{}{path}", live.port))
        .header("authorization", format!("Bearer {}", support::TOKEN))
        .body(axum::body::Body::empty())
        .expect("a request");
    let mut sender = sender.clone();
    async move { tokio::time::timeout(PATIENCE, sender.send_request(request)).await.expect("in time").expect("sent") }
}

#[tokio::test]
async fn many_watches_share_one_http2_connection() {
    let live = Live::start().await;
    let (sender, connection) = http2(&live, 1 << 20).await;

    let ask = |path| ask(&live, &sender, path);
    let mut watches = Vec::new();
    for _ in 0..200 {
        watches.push(ask("/api/v1/namespaces/default/configmaps?watch=1").await);
    }
    assert!(watches.iter().all(|watch| watch.status() == 200), "no stream waits for another");
    let api: Api<ConfigMap> = Api::default_namespaced(live.client().await);
    api.create(&PostParams::default(), &configmap("a")).await.expect("created");
    for watch in &mut watches {
        let frame = http_body_util::BodyExt::frame(watch.body_mut());
        let frame = tokio::time::timeout(PATIENCE, frame).await.expect("in time").expect("a frame").expect("data");
        assert!(frame.into_data().expect("data").starts_with(br#"{"type":"ADDED","object":{"#));
    }
    drop((watches, sender));
    live.stop().await;
    let _ = connection.await.expect("no panic");
}
