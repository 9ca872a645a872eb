//! A webhook: a TLS server in this process that answers as the test says, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::response::IntoResponse;
use base64::Engine as _;
use http::{HeaderMap, StatusCode, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use rdd_apiserver::ApiServer;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::support::json as send_json;

/// What a webhook was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) uri: String,
    pub(crate) headers: HeaderMap,
    pub(crate) review: Value,
}

impl Asked {
    /// Returns a part of the request.
    pub(crate) fn request(&self, pointer: &str) -> &Value {
        self.review["request"].pointer(pointer).unwrap_or(&Value::Null)
    }
}

/// How a webhook answers: code and body, or not at all.
pub(crate) type Reply = Option<(u16, Value)>;

/// A webhook that runs until it is dropped.
pub(crate) struct Hooks {
    pub(crate) address: SocketAddr,
    /// Its certificate, as `caBundle` wants it.
    pub(crate) ca_bundle: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    _serving: JoinSet<()>,
}

impl Hooks {
    /// Starts one that answers by its path and the review.
    pub(crate) async fn start(answer: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static) -> Self {
        let names = ["127.0.0.1", "hook.default.svc"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a TLS configuration");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, remembered) = (Arc::new(answer), asked.clone());
        let router = Router::new().fallback(move |uri: Uri, headers: HeaderMap, body: Bytes| {
            let review: Value = serde_json::from_slice(&body).expect("a review");
            let reply = answer(uri.path(), &review);
            remembered.lock().expect("no panic").push(Asked { uri: uri.to_string(), headers, review });
            async move {
                match reply {
                    Some((code, body)) => {
                        (StatusCode::from_u16(code).expect("a code"), axum::Json(body)).into_response()
                    }
                    None => std::future::pending().await,
                }
            }
        });
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let (acceptor, mut connections) = (TlsAcceptor::from(Arc::new(config)), JoinSet::new());
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, service) = (acceptor.clone(), TowerToHyperService::new(router.clone()));
                connections.spawn(async move {
                    // Who does not trust the certificate leaves in the handshake.
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        let ca_bundle = base64::engine::general_purpose::STANDARD.encode(made.cert.pem());
        Self { address, ca_bundle, asked, _serving: serving }
    }

    /// Returns what it was asked so far, and forgets it.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().expect("no panic"))
    }

    /// Returns the paths of the calls so far, and forgets them.
    pub(crate) fn paths(&self) -> String {
        let path = |asked: &Asked| asked.uri.split('?').next().unwrap_or_default().trim_start_matches('/').to_owned();
        self.asked().iter().map(path).collect::<Vec<_>>().join(" ")
    }

    /// Returns a webhook of a configuration: `name.hook.test`, asked at `/name` of creates and updates of ConfigMaps,
    /// with some fields changed.
    pub(crate) fn hook(&self, name: &str, change: Value) -> Value {
        let mut hook = json!({
            "name": format!("{name}.hook.test"), "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": format!("https://{}/{name}", self.address), "caBundle": self.ca_bundle},
            "rules": [{
                "operations": ["CREATE", "UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"],
            }],
        });
        for (key, value) in change.as_object().expect("fields") {
            hook[key] = value.clone();
        }
        hook
    }
}

/// Lets a request pass.
pub(crate) fn allow(review: &Value) -> Reply {
    answer(review, json!({"allowed": true}))
}

/// Lets a request pass, changed.
pub(crate) fn patch(review: &Value, steps: &Value) -> Reply {
    let patch = base64::engine::general_purpose::STANDARD.encode(steps.to_string());
    answer(review, json!({"allowed": true, "patchType": "JSONPatch", "patch": patch}))
}

/// Answers with a response to which the uid is added.
pub(crate) fn answer(review: &Value, mut response: Value) -> Reply {
    response["uid"] = review["request"]["uid"].clone();
    let api_version = &review["apiVersion"];
    Some((200, json!({"kind": "AdmissionReview", "apiVersion": api_version, "response": response})))
}

/// Makes a configuration; `kind` is `mutating` or `validating`.
pub(crate) async fn configure(server: &ApiServer, kind: &str, name: &str, webhooks: &[Value]) -> Value {
    let path = format!("{}/{kind}webhookconfigurations", crate::GROUP);
    let body = json!({"metadata": {"name": name}, "webhooks": webhooks});
    send_json(server, "POST", &path, body).await.expect(201).json()
}
