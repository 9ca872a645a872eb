//! The server as its embedder holds it.

use std::net::TcpListener as StdTcpListener;
use std::sync::Arc;

use rdd_auth::UserInfo;
use rdd_store::Store;
use rdd_verbs::Verbs;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::health::Readiness;
use crate::rbac;
use crate::serve::{self, ServeError};
use crate::service::InProcess;
use crate::shared::Shared;

/// A running API server. Clones are the same server.
#[derive(Clone)]
pub struct ApiServer {
    shared: Arc<Shared>,
    store: Store,
    /// What runs as long as the server does.
    tasks: TaskTracker,
}

impl ApiServer {
    pub(crate) fn new(shared: Arc<Shared>, store: Store) -> Self {
        let tasks = TaskTracker::new();
        tasks.spawn(shared.verbs.clone().run_custom_kinds(shared.stop.clone().cancelled_owned()));
        tasks.spawn(rbac::run_aggregation(shared.verbs.clone(), store.clone(), shared.stop.clone()));
        tasks.close();
        Self { shared, store, tasks }
    }

    /// Returns the server as a tower service that acts as `user`, without a port. Fit for
    /// `kube::Client::new(server.service(user), "default")`.
    pub fn service(&self, user: UserInfo) -> InProcess {
        InProcess::new(self.shared.clone(), user)
    }

    /// Serves TLS connections (HTTP/2 and HTTP/1.1) until `shutdown` is cancelled or the server
    /// stops. Then accepts no more, ends watches, answers what is in flight, and returns.
    pub async fn serve_tls(
        &self,
        listener: TcpListener,
        tls: rustls::ServerConfig,
        shutdown: CancellationToken,
    ) -> Result<(), ServeError> {
        serve::tls(self.shared.clone(), listener, Arc::new(tls), shutdown).await
    }

    /// As [`ApiServer::serve_tls`], for a listener that was bound before the runtime was there.
    pub async fn serve_tls_std(
        &self,
        listener: StdTcpListener,
        tls: rustls::ServerConfig,
        shutdown: CancellationToken,
    ) -> Result<(), ServeError> {
        listener.set_nonblocking(true).map_err(ServeError::Listener)?;
        let listener = TcpListener::from_std(listener).map_err(ServeError::Listener)?;
        self.serve_tls(listener, tls, shutdown).await
    }

    /// Serves connections on a unix socket, as [`ApiServer::serve_tls`] does. Who may connect is
    /// `user`, unless a bearer token says otherwise: guard the socket by its directory.
    #[cfg(unix)]
    pub async fn serve_unix(
        &self,
        listener: tokio::net::UnixListener,
        user: UserInfo,
        shutdown: CancellationToken,
    ) -> Result<(), ServeError> {
        serve::unix(self.shared.clone(), listener, user, shutdown).await
    }

    /// Returns the verbs, for parts of the embedder that need no HTTP.
    pub fn verbs(&self) -> &Verbs {
        &self.shared.verbs
    }

    /// Returns the facts that `/readyz` rests on.
    pub fn readiness(&self) -> &Readiness {
        &self.shared.readiness
    }

    /// Returns a token that is cancelled when the server stops.
    pub fn stopping(&self) -> CancellationToken {
        self.shared.stop.clone()
    }

    /// Stops: ends watches and listeners, lets writes in flight end, then closes the store.
    /// Acknowledged writes are on disk. Await the `serve_…` futures first where their last answers
    /// matter.
    pub async fn shutdown(self) {
        self.shared.stop.cancel();
        self.tasks.wait().await;
        self.shared.verbs.drain().await;
        self.store.close().await;
    }
}
