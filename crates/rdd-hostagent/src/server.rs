//! The HTTP server on `ha.sock`. An edge: it checks, converts, and hands on.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use rdd_machine::event::{HostagentEvent, HostagentInfo};
use tokio::net::UnixListener;

use crate::events::Events;
use crate::orders::Orders;
use crate::protocol::{ErrorBody, StopBody, StopRequest};

/// What the handlers work on.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) events: Arc<Events>,
    pub(crate) orders: Arc<Orders>,
}

/// Binds the socket for its owner only. Whatever is at its place goes: the caller holds the machine's
/// lock, so nobody serves it.
pub(crate) fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::symlink_metadata(path) {
        // Only an empty directory: what is in one is somebody's.
        Ok(metadata) if metadata.is_dir() => std::fs::remove_dir(path)?,
        Ok(_) => std::fs::remove_file(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    use std::os::unix::fs::PermissionsExt;
    // Until here the machine's directory, which is its owner's, keeps others out.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves until `stopped` is done; then answers what was asked before, and ends.
pub(crate) async fn serve(
    listener: UnixListener,
    shared: Shared,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, router(shared)).with_graceful_shutdown(stopped).await
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/v1/info", get(info))
        .route("/v1/stop", post(stop))
        .route("/v1/release", post(release))
        .route("/v1/events", get(events))
        .fallback(|| async { error(StatusCode::NOT_FOUND, "no such path") })
        .method_not_allowed_fallback(|| async { error(StatusCode::METHOD_NOT_ALLOWED, "method not allowed") })
        .with_state(shared)
}

fn error(status: StatusCode, message: impl Into<String>) -> Response {
    (status, Json(ErrorBody { message: message.into() })).into_response()
}

async fn info(State(shared): State<Shared>) -> Json<HostagentInfo> {
    let ssh_local_port = shared.events.status().ssh_local_port;
    Json(HostagentInfo { ssh_local_port, auto_started_identifier: None })
}

async fn stop(State(shared): State<Shared>, body: Bytes) -> Response {
    let body = if body.trim_ascii().is_empty() { Ok(StopBody::default()) } else { serde_json::from_slice(&body) };
    let request = body.map_err(|e| e.to_string()).and_then(|body: StopBody| StopRequest::try_from(body));
    match request {
        Ok(request) => {
            tracing::info!(grace = ?request.grace, force = request.force, "asked to stop");
            shared.orders.stop(&request);
            (StatusCode::ACCEPTED, Json(serde_json::json!({}))).into_response()
        }
        Err(message) => error(StatusCode::BAD_REQUEST, message),
    }
}

async fn release(State(shared): State<Shared>) -> Response {
    if shared.orders.release() {
        tracing::info!("asked to let go of the VM");
        (StatusCode::ACCEPTED, Json(serde_json::json!({}))).into_response()
    } else {
        error(StatusCode::CONFLICT, "the machine is being stopped")
    }
}

async fn events(State(shared): State<Shared>) -> Response {
    let mut receiver = shared.events.subscribe();
    receiver.mark_changed();
    let lines = futures_of(receiver);
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

/// The events as lines, up to the one that says that the hostagent ends.
fn futures_of(
    receiver: tokio::sync::watch::Receiver<HostagentEvent>,
) -> impl tokio_stream::Stream<Item = Result<Bytes, Infallible>> {
    let (sender, lines) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        let mut receiver = receiver;
        loop {
            tokio::select! {
                changed = receiver.changed() => if changed.is_err() { return },
                // Nobody listens any more; the next event may be hours away.
                () = sender.closed() => return,
            }
            let event = receiver.borrow_and_update().clone();
            let mut line = serde_json::to_vec(&event).expect("a struct of plain values");
            line.push(b'\n');
            if sender.send(Ok(line.into())).await.is_err() || event.status.exiting {
                return;
            }
        }
    });
    tokio_stream::wrappers::ReceiverStream::new(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Client, ClientError};
    use crate::orders::Order;
    use std::time::Duration;

    fn shared() -> Shared {
        Shared { events: Arc::new(Events::new(Box::new(std::io::sink()))), orders: Arc::default() }
    }

    #[tokio::test]
    async fn requests_and_answers() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ha.sock");
        std::fs::write(&path, "garbage").unwrap();
        let shared = shared();
        let listener = bind(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let server = tokio::spawn(serve(listener, shared.clone(), std::future::pending()));
        let client = Client::new(&path);

        assert_eq!(client.info().await.unwrap().ssh_local_port, 0);
        let mut events = client.events().await.unwrap();
        assert_eq!(events.next().await.unwrap().unwrap().status.ssh_local_port, 0);
        shared.events.update(|status| status.ssh_local_port = 60022);
        assert_eq!(events.next().await.unwrap().unwrap().status.ssh_local_port, 60022);
        assert_eq!(client.info().await.unwrap().ssh_local_port, 60022);

        client.release().await.unwrap();
        assert_eq!(*shared.orders.subscribe().borrow(), Order::Release);
        client.stop(&StopRequest { grace: Duration::from_secs(5), force: false }).await.unwrap();
        assert!(matches!(*shared.orders.subscribe().borrow(), Order::Stop { force: false, .. }));
        let refused = client.release().await.unwrap_err();
        assert!(matches!(refused, ClientError::Refused { status: 409, .. }), "{refused}");

        shared.events.update(|status| status.exiting = true);
        assert!(events.next().await.unwrap().unwrap().status.exiting);
        assert!(events.next().await.unwrap().is_none());
        server.abort();
    }

    #[tokio::test]
    async fn what_is_not_ours_is_refused_with_a_message() {
        use tower_like::request;
        for (method, path, body, status) in [
            ("GET", "/v1/nothing", "", 404),
            ("DELETE", "/v1/info", "", 405),
            ("POST", "/v1/stop", "{\"graceSeconds\":-1}", 400),
            ("POST", "/v1/stop", "", 202),
        ] {
            let (got, text) = request(method, path, body).await;
            assert_eq!(got, status, "{method} {path}");
            assert_eq!(text.contains("message"), status != 202, "{text}");
        }
    }

    /// A raw request over a socket.
    mod tower_like {
        use super::*;
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        pub(super) async fn request(method: &str, path: &str, body: &str) -> (u16, String) {
            let dir = tempfile::tempdir().unwrap();
            let socket = dir.path().join("ha.sock");
            let server = tokio::spawn(serve(bind(&socket).unwrap(), shared(), std::future::pending()));
            let mut stream = tokio::net::UnixStream::connect(&socket).await.unwrap();
            let text = format!(
                "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(text.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            server.abort();
            let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
            (status, answer.split("\r\n\r\n").nth(1).unwrap().to_owned())
        }
    }
}
