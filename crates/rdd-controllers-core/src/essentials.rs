//! Sees that each namespace has what clients count on: the ServiceAccount `default`, and the ConfigMap
//! `kube-root-ca.crt`, by which the server can be told from others.
//!
//! Level-triggered: whatever happens to a namespace or to one of the two is a reason to look at that namespace, and so is
//! the beginning of a watch. Which one of the controllers of kube-controller-manager would do it shows in the caller only.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{SelectAll, select_all};
use futures::{StreamExt, TryFutureExt};
use rdd_api::{GroupVersionResource, Reason, Status, object};
use rdd_verbs::{Caller, Object, Target, Verbs, WatchEvent, WatchOptions, WatchStream, WriteOptions};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

/// How long until what failed is tried again, and until a watch that ended is begun anew.
const RETRY: Duration = Duration::from_secs(1);

const SERVICE_ACCOUNT: &str = "default";
const ROOT_CA: &str = "kube-root-ca.crt";
/// What the ConfigMap says about itself upstream.
const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints \
     such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of \
     Kubernetes clusters.";

/// Runs until `stop` is done. `root_ca` is the PEM of the authority that clients are to trust.
pub async fn run(verbs: Verbs, root_ca: Arc<str>, stop: impl Future<Output = ()>) {
    let follow = async {
        loop {
            if let Err(status) = follow(&verbs, &root_ca).await {
                tracing::warn!(%status, "namespaces cannot be followed");
            }
            sleep(RETRY).await;
        }
    };
    tokio::select! {
        () = stop => {}
        () = follow => {}
    }
}

/// Looks at each namespace that something happens to, until a watch ends.
async fn follow(verbs: &Verbs, root_ca: &str) -> Result<(), Status> {
    let mut events = watches(verbs).await?;
    let mut failed = BTreeSet::new();
    let mut retry = Instant::now();
    loop {
        let concerned = tokio::select! {
            event = events.next() => match event.flatten() {
                Some(WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object)) => {
                    BTreeSet::from([place(&object)])
                }
                Some(WatchEvent::Bookmark { .. }) => continue,
                // What happened since is seen when the watches begin anew.
                Some(WatchEvent::Error(_)) | None => return Ok(()),
            },
            () = sleep_until(retry), if !failed.is_empty() => std::mem::take(&mut failed),
        };
        for namespace in concerned {
            if let Err(status) = ensure(verbs, &namespace, root_ca).await {
                tracing::warn!(%status, namespace, "a namespace cannot be given what belongs there");
                if failed.is_empty() {
                    retry = Instant::now() + RETRY;
                }
                failed.insert(namespace);
            }
        }
    }
}

type Watched = futures::stream::BoxStream<'static, Option<WatchEvent>>;

/// Watches namespaces and the two objects, from the beginning.
async fn watches(verbs: &Verbs) -> Result<SelectAll<Watched>, Status> {
    let named =
        |name: &str| WatchOptions { field_selector: format!("metadata.name={name}"), ..WatchOptions::default() };
    let mut streams = Vec::new();
    for (resource, options) in [
        ("namespaces", WatchOptions::default()),
        ("serviceaccounts", named(SERVICE_ACCOUNT)),
        ("configmaps", named(ROOT_CA)),
    ] {
        let stream: WatchStream = verbs.watch(&target(verbs, resource)?, &options).await?;
        // The end of one is the end of all, so it must be told.
        streams.push(stream.map(Some).chain(futures::stream::once(async { None })).boxed());
    }
    Ok(select_all(streams))
}

/// Returns the namespace that an object is, or is in.
fn place(object: &Object) -> String {
    let namespace = object::namespace(object);
    if namespace.is_empty() { object::name(object) } else { namespace }.to_owned()
}

async fn ensure(verbs: &Verbs, namespace: &str, root_ca: &str) -> Result<(), Status> {
    match verbs.get(&target(verbs, "namespaces")?.named(namespace)) {
        Ok(present) if !object::is_terminating(&present) => {}
        Ok(_) => return Ok(()),
        Err(status) if status.is(&Reason::NOT_FOUND) => return Ok(()),
        Err(status) => return Err(status),
    }
    let account = json!({"metadata": {"name": SERVICE_ACCOUNT}});
    let authority = json!({
        "metadata": {"name": ROOT_CA, "annotations": {"kubernetes.io/description": DESCRIPTION}},
        "data": {"ca.crt": root_ca},
    });
    let authority = create_or_restore(verbs, namespace, authority);
    // At once, so that they share a commit of the store.
    tokio::try_join!(create(verbs, "serviceaccounts", "service-account-controller", namespace, account), authority)?;
    Ok(())
}

async fn create_or_restore(verbs: &Verbs, namespace: &str, wanted: Value) -> Result<(), Status> {
    const PUBLISHER: &str = "root-ca-cert-publisher";
    let one = target(verbs, "configmaps")?.in_namespace(namespace).named(ROOT_CA);
    let Ok(present) = verbs.get(&one) else { return create(verbs, "configmaps", PUBLISHER, namespace, wanted).await };
    if present.get("data") == wanted.get("data") {
        return Ok(());
    }
    let mut next = present.into_value();
    next["data"] = wanted["data"].clone();
    settle(verbs.update(&caller(PUBLISHER), &one, next, &WriteOptions::default()).map_ok(drop).await)
}

async fn create(verbs: &Verbs, resource: &str, controller: &str, namespace: &str, wanted: Value) -> Result<(), Status> {
    let all = target(verbs, resource)?.in_namespace(namespace);
    if verbs.get(&all.clone().named(object::name(&wanted))).is_ok() {
        return Ok(());
    }
    settle(verbs.create(&caller(controller), &all, wanted, &WriteOptions::default()).map_ok(drop).await)
}

/// Lets pass what means that somebody else was quicker; their write is looked at by itself.
fn settle(written: Result<(), Status>) -> Result<(), Status> {
    let quicker = [&Reason::ALREADY_EXISTS, &Reason::CONFLICT, &Reason::NOT_FOUND];
    match written {
        Err(status) if quicker.into_iter().any(|reason| status.is(reason)) => Ok(()),
        Err(status) if is_terminating(&status) => Ok(()),
        other => other,
    }
}

fn is_terminating(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

fn caller(controller: &str) -> Caller {
    Caller::system(&format!("system:serviceaccount:kube-system:{controller}"))
}

fn target(verbs: &Verbs, resource: &str) -> Result<Target, Status> {
    verbs.target(&GroupVersionResource::new("", "v1", resource))
}
