//! Talks to a hostagent over its socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rdd_machine::HostagentEvent;
use rdd_machine::event::HostagentInfo;
use tokio::net::UnixStream;
use tokio::time::timeout;

pub use crate::protocol::StopRequest;
use crate::protocol::{ErrorBody, StopBody};

/// A hostagent answers at once; Lima gives it three seconds.
const ANSWER: Duration = Duration::from_secs(3);

/// Why a hostagent gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("cannot connect to {socket}")]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The peer does not speak HTTP, or ended in the middle.
    #[error("no answer to {operation}: {reason}")]
    Broken {
        /// The request.
        operation: String,
        /// What happened.
        reason: String,
    },
    /// It took too long.
    #[error("no answer to {operation} in time")]
    TimedOut {
        /// The request.
        operation: String,
    },
    /// The hostagent refused.
    #[error("{operation}: {message} ({status})")]
    Refused {
        /// The request.
        operation: String,
        /// The HTTP status.
        status: u16,
        /// The hostagent's words.
        message: String,
    },
}

/// A client of one hostagent. Each request is a connection of its own: the hostagent may be another
/// one by then.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// Returns a client for the hostagent on `socket`.
    pub fn new(socket: impl AsRef<Path>) -> Self {
        Self { socket: socket.as_ref().to_owned() }
    }

    /// Returns what the hostagent tells of itself.
    pub async fn info(&self) -> Result<HostagentInfo, ClientError> {
        let bytes = self.request(Method::GET, "/v1/info", Vec::new()).await?;
        let broken =
            |e: serde_json::Error| ClientError::Broken { operation: "GET /v1/info".into(), reason: e.to_string() };
        serde_json::from_slice(&bytes).map_err(broken)
    }

    /// Asks it to stop its VM and to end. Returns when it has agreed.
    pub async fn stop(&self, request: &StopRequest) -> Result<(), ClientError> {
        let body = serde_json::to_vec(&StopBody::from(request)).expect("a struct of plain values");
        self.request(Method::POST, "/v1/stop", body).await.map(|_| ())
    }

    /// Asks it to end and to leave its VM alone. Returns when it has agreed.
    pub async fn release(&self) -> Result<(), ClientError> {
        self.request(Method::POST, "/v1/release", Vec::new()).await.map(|_| ())
    }

    /// Returns its events, the present status first.
    pub async fn events(&self) -> Result<Events, ClientError> {
        let operation = "GET /v1/events";
        let response = self.send(Method::GET, "/v1/events", Vec::new(), operation).await?;
        Ok(Events { body: response.into_body(), buffer: Vec::new() })
    }

    async fn request(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Bytes, ClientError> {
        let operation = format!("{method} {path}");
        let exchange = async {
            let response = self.send(method, path, body, &operation).await?;
            let collected = response.into_body().collect().await.map_err(broken(&operation))?;
            Ok(collected.to_bytes())
        };
        timeout(ANSWER, exchange).await.map_err(|_| ClientError::TimedOut { operation: operation.clone() })?
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        operation: &str,
    ) -> Result<http::Response<Incoming>, ClientError> {
        let connect = UnixStream::connect(&self.socket).await;
        let stream = connect.map_err(|source| ClientError::Connect { socket: self.socket.clone(), source })?;
        let handshake = hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(broken(operation))?;
        // It ends with the response's body; nobody has to wait for it.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "hostagent")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body.into()))
            .expect("the parts are constant and well-formed");
        let response = sender.send_request(request).await.map_err(broken(operation))?;
        let status = response.status();
        if status == StatusCode::OK || status == StatusCode::ACCEPTED {
            return Ok(response);
        }
        let bytes = response.into_body().collect().await.map_err(broken(operation))?.to_bytes();
        let error: ErrorBody = serde_json::from_slice(&bytes).unwrap_or_default();
        Err(ClientError::Refused { operation: operation.to_owned(), status: status.as_u16(), message: error.message })
    }
}

fn broken(operation: &str) -> impl Fn(hyper::Error) -> ClientError {
    let operation = operation.to_owned();
    move |error| ClientError::Broken { operation: operation.clone(), reason: error.to_string() }
}

/// The events of a hostagent.
#[derive(Debug)]
pub struct Events {
    body: Incoming,
    buffer: Vec<u8>,
}

impl Events {
    /// Returns the next event; `None` when the hostagent has ended.
    pub async fn next(&mut self) -> Result<Option<HostagentEvent>, ClientError> {
        let operation = "GET /v1/events";
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let event = serde_json::from_slice(&line);
                let broken =
                    |e: serde_json::Error| ClientError::Broken { operation: operation.into(), reason: e.to_string() };
                return event.map(Some).map_err(broken);
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    let frame = frame.map_err(broken(operation))?;
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}
