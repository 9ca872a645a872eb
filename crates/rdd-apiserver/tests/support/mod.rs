//! What the floors share: a server in this process, requests without a port, a TLS listener with
//! its kubeconfig, and waiting for a level.

#![expect(dead_code, reason = "each test binary uses its part")]

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use axum::body::Body;
use base64::Engine as _;
use http::{HeaderMap, Request};
use rdd_apiserver::{ApiServer, Builder, UserInfo};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// No wait of these tests takes longer on a machine that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The token of `system-admin` on a live server.
pub(crate) const TOKEN: &str = "test-token";

/// A CustomResourceDefinition with columns, a status subresource and defaults.
pub(crate) const WIDGETS: &str = include_str!("widgets.yaml");

/// Begins to build a server that knows [`TOKEN`].
pub(crate) fn builder() -> Builder {
    let admin = UserInfo::system_masters("system-admin");
    ApiServer::builder().token(TOKEN, admin).ready_when("controllers")
}

/// The same with a scale subresource.
pub(crate) fn scaled_widgets() -> String {
    let scale = "scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas, \
                 labelSelectorPath: .status.selector}";
    WIDGETS
        .replace("{status: {}}", &format!("{{status: {{}}, {scale}}}"))
        .replace("size: {type", "replicas: {type: integer, maximum: 10}\n              size: {type")
        .replace(
            "phase: {type",
            "replicas: {type: integer}\n              selector: {type: string}\n              phase: {type",
        )
}

/// Starts a server over a store in memory.
pub(crate) async fn server() -> ApiServer {
    builder().start().await.expect("the server starts")
}

/// What a request was answered with.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Returns the body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}: {}", self.code, String::from_utf8_lossy(&self.body)))
    }

    /// Returns the body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns a header, or an empty text.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// Checks the code.
    #[track_caller]
    pub(crate) fn expect(self, code: u16) -> Self {
        assert_eq!(self.code, code, "{}", self.text());
        self
    }
}

/// Sends a request in process. `extra` are headers.
pub(crate) async fn send(
    server: &ApiServer,
    method: &str,
    uri: &str,
    extra: &[(&str, &str)],
    body: impl Into<Body>,
) -> Answer {
    send_as(server, UserInfo::system_masters("test"), method, uri, extra, body).await
}

/// Sends a request in process as a user.
pub(crate) async fn send_as(
    server: &ApiServer,
    user: UserInfo,
    method: &str,
    uri: &str,
    extra: &[(&str, &str)],
    body: impl Into<Body>,
) -> Answer {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in extra {
        request = request.header(*name, *value);
    }
    let request = request.body(body.into()).expect("a request");
    let service = server.service(user);
    let response = service.oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body").to_vec();
    Answer { code: parts.status.as_u16(), headers: parts.headers, body }
}

/// Gets a path in process.
pub(crate) async fn get(server: &ApiServer, uri: &str) -> Answer {
    send(server, "GET", uri, &[], Body::empty()).await
}

/// Sends JSON in process.
pub(crate) async fn json(server: &ApiServer, method: &str, uri: &str, body: Value) -> Answer {
    let content_type = match method {
        "PATCH" => "application/merge-patch+json",
        _ => "application/json",
    };
    send(server, method, uri, &[("content-type", content_type)], body.to_string()).await
}

/// A server with a TLS listener.
pub(crate) struct Live {
    pub(crate) server: ApiServer,
    pub(crate) port: u16,
    pub(crate) ca_pem: String,
    pub(crate) dir: tempfile::TempDir,
    serving: tokio::task::JoinHandle<()>,
    shutdown: CancellationToken,
}

impl Live {
    /// Starts a server and serves it.
    pub(crate) async fn start() -> Self {
        Self::serve(server().await).await
    }

    /// Serves a server.
    pub(crate) async fn serve(server: ApiServer) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let certificate =
            rdd_auth::certificates::load_or_make(&dir.path().join("tls"), SystemTime::now()).expect("certificates");
        let tls = rdd_auth::tls::server_config(&certificate).expect("a TLS configuration");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shutdown = CancellationToken::new();
        let (serve, stop) = (server.clone(), shutdown.clone());
        let serving = tokio::spawn(async move { serve.serve_tls(listener, tls, stop).await.expect("serves") });
        Self { server, port, ca_pem: certificate.pem, dir, serving, shutdown }
    }

    /// Returns a kubeconfig of `system-admin`.
    pub(crate) fn kubeconfig(&self) -> String {
        self.kubeconfig_with(TOKEN)
    }

    /// Returns a kubeconfig with this token.
    pub(crate) fn kubeconfig_with(&self, token: &str) -> String {
        let ca = base64::engine::general_purpose::STANDARD.encode(&self.ca_pem);
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: root\n\
             clusters:\n- name: root\n  cluster:\n    server: https://127.0.0.1:{}\n    certificate-authority-data: {ca}\n\
             users:\n- name: admin\n  user:\n    token: {token}\n\
             contexts:\n- name: root\n  context: {{cluster: root, user: admin}}\n",
            self.port
        )
    }

    /// Returns a kube client that talks TLS to the server.
    pub(crate) async fn client(&self) -> kube::Client {
        self.client_with(TOKEN).await
    }

    /// Returns a kube client with this token.
    pub(crate) async fn client_with(&self, token: &str) -> kube::Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let kubeconfig = kube::config::Kubeconfig::from_yaml(&self.kubeconfig_with(token)).expect("a kubeconfig");
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.expect("a config");
        kube::Client::try_from(config).expect("a client")
    }

    /// Stops listener and server, and checks that both end.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.serving).await.expect("the listener ends").expect("no panic");
        tokio::time::timeout(PATIENCE, self.server.shutdown()).await.expect("the server ends");
    }

    /// Returns the directory of the test.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Waits until `look` returns something; panics with what it last saw.
pub(crate) async fn eventually<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) if Instant::now() > deadline => panic!("{what}: gave up, last seen: {seen}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
