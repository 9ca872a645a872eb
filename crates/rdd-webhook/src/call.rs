//! A call to be made: a webhook, and how it sees the request.

use std::sync::Arc;

use crate::hook::Hook;

/// A call to be made.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) hook: Arc<Hook>,
    /// The version at which the webhook sees the request.
    pub(crate) version: String,
}
