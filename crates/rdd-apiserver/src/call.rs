//! A request on its way from the pipeline to a handler.

use std::sync::Arc;

use http::{HeaderMap, Method, Uri};
use rdd_api::Status;
use rdd_verbs::Caller;
use tokio_util::sync::CancellationToken;

use crate::query::Query;
use crate::shared::Shared;

/// A request on its way to a handler.
pub(crate) struct Call {
    pub(crate) shared: Arc<Shared>,
    pub(crate) caller: Caller,
    /// The refusal of a PUT or PATCH that would create.
    pub(crate) may_not_create: Option<Status>,
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) query: Query,
    pub(crate) uri: Uri,
    /// Cancelled when the connection's listener or the server stops.
    pub(crate) stop: CancellationToken,
}
