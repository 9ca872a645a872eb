//! Calls a webhook: HTTPS with a deadline, trusting only who it says.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HOST};
use reqwest::redirect::Policy;
use reqwest::{Certificate, StatusCode};
use serde_json::Value;

use crate::hook::{Address, Hook};
use crate::resolve::Resolve;

/// Connections are kept for so many different webhooks; then all are forgotten.
const KEPT: usize = 64;
/// No answer is larger: a patch may replace a whole object, and base64 and JSON add to it.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// As much of what a failing webhook says is told.
const MOST_TOLD: usize = 2048;
/// What upstream calls itself.
const USER_AGENT: &str = "kube-apiserver-admission";

/// A call that failed. The texts end up behind `failed to call webhook: `.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The webhook could not be asked, or did not answer in time.
    #[error("Post {url:?}: {reason}")]
    Post { url: String, reason: String },
    /// It answered that it cannot.
    #[error("{0}")]
    Refused(String),
    /// It answered what is no JSON.
    #[error("couldn't read the answer: {0}")]
    NotJson(#[source] serde_json::Error),
}

/// What a client's connections depend on.
#[derive(PartialEq, Eq, Hash)]
struct Trust {
    ca_bundle: Arc<[u8]>,
    /// A host that is found elsewhere than by its name.
    host: Option<(String, std::net::SocketAddr)>,
}

/// Calls webhooks, and keeps connections to them.
pub(crate) struct Caller {
    resolver: Arc<dyn Resolve>,
    clients: Mutex<HashMap<Trust, reqwest::Client>>,
}

impl Caller {
    pub(crate) fn new(resolver: Arc<dyn Resolve>) -> Self {
        Self { resolver, clients: Mutex::default() }
    }

    /// Posts a review and returns the answer.
    pub(crate) async fn post(&self, hook: &Hook, review: &Value) -> Result<Value, CallError> {
        let mut trust = Trust { ca_bundle: hook.ca_bundle.clone(), host: None };
        let seconds = hook.timeout_seconds;
        let (told, url, authority) = match &hook.address {
            Address::Url(url) => {
                let url = format!("{url}?timeout={seconds}s");
                (url.clone(), url, None)
            }
            Address::Service { service, path } => {
                let (host, slash) = (service.host(), if path.starts_with('/') { "" } else { "/" });
                let at = |port: u16| format!("https://{host}:{port}{slash}{path}?timeout={seconds}s");
                let told = at(service.port);
                let failed = |reason| CallError::Post { url: told.clone(), reason };
                let address = self.resolver.resolve(service).map_err(failed)?;
                let authority = format!("{host}:{}", service.port);
                // The port of a URL is the one that is connected to.
                let url = at(address.port());
                trust.host = Some((host, address));
                (told, url, Some(authority))
            }
        };
        let failed = |error: reqwest::Error| CallError::Post { url: told.clone(), reason: reason(&error) };
        let client = self.client(trust).map_err(failed)?;
        let mut request = client
            .post(&url)
            .timeout(Duration::from_secs(seconds))
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, */*")
            .body(review.to_string());
        if let Some(authority) = authority {
            request = request.header(HOST, authority);
        }
        let mut response = request.send().await.map_err(failed)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MOST_BYTES {
                let reason = format!("the answer has more than {MOST_BYTES} bytes");
                return Err(CallError::Post { url: told.clone(), reason });
            }
        }
        if !response.status().is_success() {
            return Err(CallError::Refused(refusal(response.status(), &bytes)));
        }
        serde_json::from_slice(&bytes).map_err(CallError::NotJson)
    }

    fn client(&self, trust: Trust) -> Result<reqwest::Client, reqwest::Error> {
        let mut clients = self.clients.lock().expect("no holder of this lock panics");
        if let Some(client) = clients.get(&trust) {
            return Ok(client.clone());
        }
        // The HTTP client takes TLS from here; if somebody chose one before, theirs stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder =
            reqwest::Client::builder().user_agent(USER_AGENT).http1_only().no_proxy().redirect(Policy::none());
        if !trust.ca_bundle.is_empty() {
            builder = builder.tls_certs_only(Certificate::from_pem_bundle(&trust.ca_bundle)?);
        }
        if let Some((host, address)) = &trust.host {
            builder = builder.resolve(host, *address);
        }
        let client = builder.build()?;
        if clients.len() >= KEPT {
            clients.clear();
        }
        clients.insert(trust, client.clone());
        Ok(client)
    }
}

/// Returns the innermost cause, which says most.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "context deadline exceeded".to_owned();
    }
    let mut cause: &dyn Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// Says what upstream's client says of an answer that is no success.
fn refusal(code: StatusCode, bytes: &[u8]) -> String {
    let status: Option<Value> = serde_json::from_slice(bytes).ok();
    let message = status.as_ref().filter(|status| status["kind"] == "Status").and_then(|s| s["message"].as_str());
    if let Some(message) = message {
        return message.to_owned();
    }
    match code {
        StatusCode::NOT_FOUND => "the server could not find the requested resource".to_owned(),
        code if code.is_server_error() => {
            let said = String::from_utf8_lossy(&bytes[..bytes.len().min(MOST_TOLD)]);
            format!("an error on the server ({:?}) has prevented the request from succeeding", said.trim())
        }
        code => {
            format!("the server responded with the status code {} but did not return more details", code.as_u16())
        }
    }
}
