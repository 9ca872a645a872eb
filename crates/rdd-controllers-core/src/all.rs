//! All of the core controllers at once.

use std::future::Future;
use std::sync::Arc;

use futures::FutureExt;
use rdd_verbs::Verbs;

use crate::{essentials, gc, namespace};

/// Runs all of them until `stop` is done. `root_ca` is the PEM of the authority that clients are to trust.
pub async fn run(verbs: Verbs, root_ca: Arc<str>, stop: impl Future<Output = ()> + Send) {
    let stop = stop.shared();
    tokio::join!(
        namespace::run(verbs.clone(), stop.clone()),
        gc::run(verbs.clone(), stop.clone()),
        essentials::run(verbs, root_ca, stop),
    );
}
