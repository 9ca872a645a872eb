//! Listeners: accept, shake hands, serve each connection in a task of its own, end them in order.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rdd_auth::UserInfo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::pipeline::{self, Peer};
use crate::shared::Shared;

/// Every informer is a stream; the usual 100 would serialise watches without a word.
const MAX_STREAMS: u32 = 1000;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long connections get to finish what is in flight when the listener stops.
const GRACE: Duration = Duration::from_secs(10);
/// How long an HTTP/1.1 connection may be idle: longer than clients keep theirs (90 s), so that it is
/// they who close it and no request is sent into a closing connection.
const IDLE: Duration = Duration::from_secs(120);
/// How long to wait after a failed accept, as when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener that cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The listener cannot be used with the runtime.
    #[error("use the listener")]
    Listener(#[source] io::Error),
}

/// Serves TLS.
pub(crate) async fn tls(
    shared: Arc<Shared>,
    listener: TcpListener,
    config: Arc<rustls::ServerConfig>,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let acceptor = TlsAcceptor::from(config);
    let mut connections = Connections::new(shared, shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = connections.stop.cancelled() => break,
        };
        let Some((stream, _)) = connections.accepted(accepted).await else { continue };
        // Events are small and must not wait for more; a socket that is gone shows when it is used.
        let _ = stream.set_nodelay(true);
        let (shared, stop, acceptor) = (connections.shared.clone(), connections.stop.clone(), acceptor.clone());
        connections.tasks.spawn(async move {
            let stream = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
                Err(_) => return tracing::debug!("TLS handshake timed out"),
            };
            let certificates = stream.get_ref().1.peer_certificates();
            let peer = Peer::Anybody(certificates.and_then(|all| all.first()).map(|c| c.clone().into_owned()));
            connection(shared, stream, peer, stop).await;
        });
    }
    connections.finish().await;
    Ok(())
}

/// Serves a unix socket.
#[cfg(unix)]
pub(crate) async fn unix(
    shared: Arc<Shared>,
    listener: tokio::net::UnixListener,
    user: UserInfo,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let mut connections = Connections::new(shared, shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = connections.stop.cancelled() => break,
        };
        let Some((stream, _)) = connections.accepted(accepted).await else { continue };
        let (shared, stop) = (connections.shared.clone(), connections.stop.clone());
        let peer = Peer::Trusted(user.clone());
        connections.tasks.spawn(connection(shared, stream, peer, stop));
    }
    connections.finish().await;
    Ok(())
}

/// The connections of one listener.
struct Connections {
    shared: Arc<Shared>,
    /// Cancelled when the listener or the server stops.
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Connections {
    fn new(shared: Arc<Shared>, shutdown: CancellationToken) -> Self {
        let stop = shared.stop.child_token();
        let mut tasks = JoinSet::new();
        let both = stop.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => both.cancel(),
                () = both.cancelled() => {}
            }
        });
        Self { shared, stop, tasks }
    }

    /// Takes what `accept` returned, and forgets connections that are done.
    async fn accepted<S>(&mut self, accepted: io::Result<S>) -> Option<S> {
        while self.tasks.try_join_next().is_some() {}
        match accepted {
            Ok(stream) => Some(stream),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                None
            }
        }
    }

    /// Waits for all connections, those that do not end in time are dropped.
    async fn finish(mut self) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, all).await.is_err() {
            tracing::warn!(left = self.tasks.len(), "connections did not end in time");
            self.tasks.shutdown().await;
        }
    }
}

async fn connection<S>(shared: Arc<Shared>, stream: S, peer: Peer, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(IDLE);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(MAX_STREAMS);
    let ending = stop.clone();
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (shared, peer, stop) = (shared.clone(), peer.clone(), stop.clone());
        async move { Ok::<_, Infallible>(pipeline::handle(shared, peer, stop, request.map(Body::new)).await) }
    });
    let served = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    let outcome = tokio::select! {
        outcome = served.as_mut() => outcome,
        () = ending.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended badly");
    }
}
