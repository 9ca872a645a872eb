//! Requests to the API server: one place where they are sent, judged and warned about.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderMap, Method, Request, Response, header};
use http_body_util::BodyExt;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use rdd_api::{Reason, Status};
use serde_json::Value;

use crate::console::Console;
use crate::failure::Failure;
use crate::flags::GlobalArgs;

/// How often a request is sent again that the server asked to repeat later.
const MAX_REPEATS: u32 = 10;

/// Accepts one form only.
pub(crate) const JSON: &str = "application/json";
/// Asks for a table, and takes the object where there is none.
pub(crate) const TABLE: &str =
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";

/// A request to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    accept: &'static str,
    body: Option<(&'static str, String)>,
}

impl Call {
    /// A request without a body.
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), query: Vec::new(), accept: JSON, body: None }
    }

    /// A GET.
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// Adds a parameter.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// Adds a parameter unless it is empty.
    #[must_use]
    pub(crate) fn with_some(self, name: &'static str, value: &str) -> Self {
        if value.is_empty() { self } else { self.with(name, value) }
    }

    /// Asks for this form.
    #[must_use]
    pub(crate) fn accept(mut self, accept: &'static str) -> Self {
        self.accept = accept;
        self
    }

    /// Adds a JSON body.
    #[must_use]
    pub(crate) fn body(self, body: &Value) -> Self {
        self.text(JSON, body.to_string())
    }

    /// Adds a body.
    #[must_use]
    pub(crate) fn text(mut self, content_type: &'static str, body: String) -> Self {
        self.body = Some((content_type, body));
        self
    }

    fn request(&self) -> Result<Request<Body>, Failure> {
        let mut uri = self.path.clone();
        for (index, (name, value)) in self.query.iter().enumerate() {
            let first = if index == 0 && !self.path.contains('?') { '?' } else { '&' };
            uri = format!("{uri}{first}{name}={}", escape(value));
        }
        let mut request = Request::builder().method(&self.method).uri(uri).header(header::ACCEPT, self.accept);
        let body = match &self.body {
            Some((content_type, text)) => {
                request = request.header(header::CONTENT_TYPE, *content_type);
                Body::from(text.clone().into_bytes())
            }
            None => Body::empty(),
        };
        request.body(body).map_err(|error| Failure::message(error.to_string()))
    }
}

/// Escapes a text for a query, or as one step of a path.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A connection to one server as one user.
pub(crate) struct Session {
    client: kube::Client,
    /// Host and port, for messages.
    host: String,
    console: Rc<Console>,
    timeout: Option<Duration>,
}

impl Session {
    /// Prepares a connection as the kubeconfig and the flags say. Nothing is sent yet.
    pub(crate) async fn open(
        kubeconfig: &Path,
        flags: &GlobalArgs,
        console: Rc<Console>,
    ) -> Result<(Self, String), Failure> {
        // Whoever installed one before us had the same in mind: there is only this one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let unusable = |error: &dyn std::error::Error| Failure::message(chain(error));
        let file = Kubeconfig::read_from(kubeconfig).map_err(|error| unusable(&error))?;
        let options = KubeConfigOptions {
            context: flags.context.clone(),
            cluster: flags.cluster.clone(),
            user: flags.user.clone(),
        };
        let mut config =
            kube::Config::from_custom_kubeconfig(file, &options).await.map_err(|error| unusable(&error))?;
        // We repeat by kubectl's rule, below.
        config.default_retry = false;
        if let Some(server) = &flags.server {
            config.cluster_url = server.parse().map_err(|error| unusable(&error))?;
        }
        if let Some(token) = &flags.token {
            config.auth_info.token = Some(token.clone().into());
        }
        config.accept_invalid_certs |= flags.insecure_skip_tls_verify;
        if let Some(user) = &flags.as_user {
            config.auth_info.impersonate = Some(user.clone());
        }
        if !flags.as_group.is_empty() {
            config.auth_info.impersonate_groups = Some(flags.as_group.clone());
        }
        let namespace = config.default_namespace.clone();
        let host = config.cluster_url.authority().map(ToString::to_string).unwrap_or_default();
        let timeout = match flags.request_timeout.as_deref() {
            None | Some("0") => None,
            Some(text) => {
                let seconds = text.parse().ok().map(Duration::from_secs);
                let length = match seconds {
                    Some(length) => length,
                    None => crate::parse_go_duration(text).map_err(|error| Failure::message(error.to_string()))?.length,
                };
                Some(length).filter(|length| !length.is_zero())
            }
        };
        let client = kube::Client::try_from(config).map_err(|error| unusable(&error))?;
        Ok((Self { client, host, console, timeout }, namespace))
    }

    /// Sends a request and returns the answer, whatever it is.
    async fn exchange(&self, call: &Call) -> Result<Response<Body>, Failure> {
        let mut repeats = 0;
        loop {
            let sent = self.client.send(call.request()?);
            let sent = match self.timeout {
                Some(limit) => tokio::time::timeout(limit, sent).await.map_err(|_| {
                    Failure::Verbatim("Unable to connect to the server: net/http: request canceled (Client.Timeout exceeded while awaiting headers)".into())
                })?,
                None => sent.await,
            };
            let response = sent.map_err(|error| self.unreachable(&error))?;
            for warning in response.headers().get_all(header::WARNING) {
                if let Some(text) = warning.to_str().ok().and_then(warning_text) {
                    self.console.warn(&text);
                }
            }
            let wants_repeat = response.status().as_u16() == 429 || response.status().is_server_error();
            match retry_after(response.headers()).filter(|_| wants_repeat && repeats < MAX_REPEATS) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Ok(response),
            }
            repeats += 1;
        }
    }

    fn unreachable(&self, error: &kube::Error) -> Failure {
        let text = chain(error);
        if text.contains("onnection refused") {
            return Failure::Verbatim(format!(
                "The connection to the server {} was refused - did you specify the right host or port?",
                self.host
            ));
        }
        Failure::Verbatim(format!("Unable to connect to the server: {text}"))
    }

    /// Sends a request and returns the body of a good answer.
    pub(crate) async fn text(&self, call: &Call) -> Result<String, Failure> {
        let response = self.exchange(call).await?;
        let code = response.status();
        let bytes = response.into_body().collect_bytes().await.map_err(|error| self.unreachable(&error))?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if code.is_success() { Ok(text) } else { Err(refusal(code.as_u16(), &text).into()) }
    }

    /// Sends a request and returns the JSON of a good answer.
    pub(crate) async fn json(&self, call: &Call) -> Result<Value, Failure> {
        let text = self.text(call).await?;
        serde_json::from_str(&text).map_err(|error| Failure::message(format!("unable to decode the answer: {error}")))
    }

    /// Sends a request whose answer is a stream of lines.
    pub(crate) async fn lines(&self, call: &Call) -> Result<Lines, Failure> {
        let response = self.exchange(call).await?;
        let code = response.status();
        let body = response.into_body();
        if code.is_success() {
            return Ok(Lines { body, pending: Vec::new() });
        }
        let bytes = body.collect_bytes().await.map_err(|error| self.unreachable(&error))?;
        Err(refusal(code.as_u16(), &String::from_utf8_lossy(&bytes)).into())
    }
}

/// The lines of a streamed answer.
pub(crate) struct Lines {
    body: Body,
    pending: Vec<u8>,
}

impl Lines {
    /// Returns the next line; nothing when the server ended the stream or the connection broke.
    pub(crate) async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = self.pending.iter().position(|b| *b == b'\n') {
                let mut line: Vec<u8> = self.pending.drain(..=end).collect();
                line.pop();
                if line.is_empty() {
                    continue;
                }
                return Some(line);
            }
            let frame = self.body.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                self.pending.extend_from_slice(&data);
            }
        }
    }
}

/// Returns an error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Returns the text of a `299 - "text"` header.
fn warning_text(header: &str) -> Option<String> {
    let quoted = header.split_once('"')?.1;
    let mut text = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => return Some(text),
            '\\' => text.push(chars.next()?),
            c => text.push(c),
        }
    }
}

/// Reads the failure in an answer; makes one up, as client-go does, where the answer is no `Status`.
fn refusal(code: u16, body: &str) -> Status {
    if let Some(status) = serde_json::from_str(body).ok().as_ref().and_then(Status::from_json) {
        return status;
    }
    let said = body.trim();
    let (reason, message) = match code {
        400 => (Reason::BAD_REQUEST, "the server rejected our request for an unknown reason".to_owned()),
        401 => (Reason::UNAUTHORIZED, "the server has asked for the client to provide credentials".to_owned()),
        403 => (Reason::FORBIDDEN, if said.is_empty() { "forbidden".to_owned() } else { said.to_owned() }),
        404 => (Reason::NOT_FOUND, "the server could not find the requested resource".to_owned()),
        405 => (Reason::METHOD_NOT_ALLOWED, "the server does not allow this method on the requested resource".into()),
        503 => (Reason::SERVICE_UNAVAILABLE, "the server is currently unable to handle the request".to_owned()),
        500.. => {
            let quoted = rdd_api::field::quote(said);
            let message = format!("an error on the server ({quoted}) has prevented the request from succeeding");
            (Reason::INTERNAL_ERROR, message)
        }
        _ => (
            Reason::UNKNOWN,
            format!("the server responded with the status code {code} but did not return more information"),
        ),
    };
    Status::new(code, reason, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_escaped() {
        let call = Call::get("/x").with("a", "b=c,d e").with_some("empty", "").with("f", "ü");
        assert_eq!(call.request().expect("a request").uri(), "/x?a=b%3Dc%2Cd%20e&f=%C3%BC");
    }

    #[test]
    fn warnings() {
        assert_eq!(warning_text(r#"299 - "a \"b\" c""#).as_deref(), Some(r#"a "b" c"#));
        assert_eq!(warning_text("299 - nothing"), None);
    }

    #[test]
    fn answers_that_are_no_status() {
        assert_eq!(refusal(404, "404 page not found\n").message, "the server could not find the requested resource");
        assert_eq!(
            refusal(500, "oh \"no\"").message,
            "an error on the server (\"oh \\\"no\\\"\") has prevented the request from succeeding"
        );
    }
}
