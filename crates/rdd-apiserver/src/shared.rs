//! What all requests share.

use std::sync::Arc;

use rdd_auth::{Authenticator, Authorizer};
use rdd_verbs::Verbs;
use tokio_util::sync::CancellationToken;

use crate::documents::{Cache, Documents};
use crate::health::Readiness;
use crate::in_flight::InFlight;
use crate::metrics::Metrics;
use crate::pieces::Printers;
use crate::service_account_tokens::ServiceAccountTokens;
use crate::version::VersionInfo;

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) verbs: Verbs,
    pub(crate) authenticator: Authenticator,
    pub(crate) service_accounts: Arc<ServiceAccountTokens>,
    pub(crate) authorizer: Arc<dyn Authorizer>,
    pub(crate) version: VersionInfo,
    pub(crate) readiness: Readiness,
    pub(crate) metrics: Metrics,
    pub(crate) documents: Cache,
    pub(crate) printers: Printers,
    pub(crate) in_flight: InFlight,
    /// Cancelled when the server stops: watches end, listeners close.
    pub(crate) stop: CancellationToken,
}

impl Shared {
    /// Returns the documents of the present state of the registry.
    pub(crate) fn documents(&self) -> Arc<Documents> {
        self.documents.of(&self.verbs.registry().kinds(), &self.version.git_version)
    }
}
