//! The server as a tower service: requests come as values, no port is needed.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use rdd_auth::UserInfo;

use crate::pipeline::{self, Peer};
use crate::shared::Shared;

/// The server, acting as one user. Whatever credentials a request carries are not looked at.
#[derive(Clone)]
pub struct InProcess {
    shared: Arc<Shared>,
    user: UserInfo,
}

impl InProcess {
    pub(crate) fn new(shared: Arc<Shared>, user: UserInfo) -> Self {
        Self { shared, user: rdd_auth::authenticate::authenticated(user) }
    }
}

impl<B> tower::Service<Request<B>> for InProcess
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<tower::BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let shared = self.shared.clone();
        let peer = Peer::User(self.user.clone());
        let stop = shared.stop.clone();
        let request = request.map(Body::new);
        Box::pin(async move { Ok(pipeline::handle(shared, peer, stop, request).await) })
    }
}
