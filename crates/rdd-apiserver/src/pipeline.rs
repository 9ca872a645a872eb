//! The way of every request: who asks, what for, may they, and then the handler.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures::FutureExt;
use http::{HeaderValue, Method, Request, Response};
use rdd_api::{Reason, Status};
use rdd_auth::{AccessRequest, Authorizer, Credentials, Decision, Refused, UserInfo};
use rdd_schema::selector::FieldSelector;
use rdd_verbs::Caller;
use rustls::pki_types::CertificateDer;
use tokio_util::sync::CancellationToken;

use crate::answer::Answer;
use crate::call::Call;
use crate::query::Query;
use crate::request_info::{self, ResourcePath, Route};
use crate::shared::Shared;
use crate::{forbidden, impersonate, paths, resources};

/// How long a request may take, and a watch to begin.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long a write may take. What deletes a collection makes many.
const WRITE_TIMEOUT: Duration = Duration::from_secs(34);
const AUDIT_ID: &str = "audit-id";

/// What is known about the other end before the request is read.
#[derive(Clone)]
pub(crate) enum Peer {
    /// The embedder itself.
    User(UserInfo),
    /// Somebody who may connect, and who may say who else they are.
    Trusted(UserInfo),
    /// Anybody; with the client certificate that the TLS layer has verified.
    Anybody(Option<CertificateDer<'static>>),
}

/// Answers a request. Never fails: what goes wrong is in the answer.
pub(crate) async fn handle(
    shared: Arc<Shared>,
    peer: Peer,
    stop: CancellationToken,
    request: Request<Body>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let (method, headers) = (parts.method.clone(), parts.headers.clone());
    let audit_id = match headers.get(AUDIT_ID) {
        Some(id) => id.clone(),
        None => HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()).expect("a UUID is ASCII"),
    };
    let going = shared.metrics.request();
    let route = request_info::parse(parts.uri.path());
    let query = Query::parse(parts.uri.query());
    let (verb, resource) = names(&shared, &method, &route, &query);
    let call = Call {
        shared: shared.clone(),
        caller: Caller::default(),
        may_not_create: None,
        method: parts.method,
        headers: parts.headers,
        query,
        uri: parts.uri,
        stop,
    };
    let allowed = allowed(verb, &call.query);
    let work = AssertUnwindSafe(answer(call, body, peer, route, verb)).catch_unwind();
    let answer = match allowed {
        Err(status) => Answer::status(&status),
        Ok(allowed) => match tokio::time::timeout(allowed, work).await {
            Ok(Ok(Ok(answer))) => answer,
            Ok(Ok(Err(status))) => Answer::status(&status),
            Ok(Err(_)) => {
                tracing::error!(%method, resource, "a handler panicked");
                let cause = "this request caused apiserver to panic. Look in the logs for details";
                Answer::status(&Status::internal(cause))
            }
            Err(_) => Answer::status(&Status::new(504, Reason::TIMEOUT, timeout_message(verb))),
        },
    };
    let mut response = answer.into_response(&method, &headers).await;
    response.headers_mut().insert(AUDIT_ID, audit_id);
    shared.metrics.finished(verb, &resource, response.status().as_u16());
    drop(going);
    response
}

fn is_write(verb: &str) -> bool {
    matches!(verb, "create" | "update" | "patch" | "delete")
}

/// Returns how long a request may take: as long as the client waits, and no longer than the server wants to.
fn allowed(verb: &str, query: &Query) -> Result<Duration, Status> {
    let most = if is_write(verb) { WRITE_TIMEOUT } else { TIMEOUT };
    if verb == "watch" {
        return Ok(most);
    }
    let wanted = query
        .duration("timeout")
        .map_err(|problem| Status::bad_request(format!("invalid timeout specified in the request URL - {problem}")))?;
    Ok(wanted.filter(|wanted| !wanted.is_zero()).map_or(most, |wanted| wanted.min(most)))
}

fn timeout_message(verb: &str) -> &'static str {
    if is_write(verb) {
        "Timeout: request did not complete within requested timeout - context deadline exceeded"
    } else {
        "Timeout: request did not complete within the allotted timeout"
    }
}

/// Returns the verb, and the resource for metrics: only if it is served, as everything else that people make up would
/// stay in memory.
fn names(shared: &Shared, method: &Method, route: &Route, query: &Query) -> (&'static str, String) {
    match route {
        Route::Resource(path) => {
            let served = shared.verbs.registry().kinds().resource(&path.group, &path.version, &path.resource).is_some();
            let resource = if served { path.resource.clone() } else { String::new() };
            (request_info::verb(method, path, query.flag("watch")), resource)
        }
        Route::Path(_) => (path_verb(method), String::new()),
    }
}

fn path_verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        Method::OPTIONS => "options",
        _ => "other",
    }
}

async fn answer(mut call: Call, body: Body, peer: Peer, route: Route, verb: &'static str) -> Result<Answer, Status> {
    let user = authenticate(&call, peer)?;
    let authorizer = call.shared.authorizer.clone();
    let user = impersonate::user(&call.headers, user, authorizer.as_ref()).await?;
    let _place = call.shared.in_flight.begin(verb)?;
    let access = access(&route, verb, &call.query);
    if let Decision::Deny { reason } = authorizer.authorize(&user, &access).await {
        return Err(forbidden::denied(&user, &access, &reason));
    }
    call.may_not_create = may_not_create(authorizer.as_ref(), &user, access, &call.method).await;
    let agent = call.headers.get(http::header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    call.caller = Caller { user, user_agent: agent.to_owned() };
    match route {
        Route::Path(path) => paths::handle(&call, &path),
        Route::Resource(path) => resources::handle(&call, body, &path, verb).await,
    }
}

/// Returns the refusal to make what a PUT or PATCH does not find. Whether they would, the verbs know later.
async fn may_not_create(
    authorizer: &dyn Authorizer,
    user: &UserInfo,
    access: AccessRequest,
    method: &Method,
) -> Option<Status> {
    let AccessRequest::Resource { group, version, resource, subresource, namespace, name, .. } = access else {
        return None;
    };
    if !matches!(*method, Method::PUT | Method::PATCH) {
        return None;
    }
    let verb = "create".to_owned();
    let create = AccessRequest::Resource { verb, group, version, resource, subresource, namespace, name };
    match authorizer.authorize(user, &create).await {
        Decision::Allow { .. } => None,
        Decision::Deny { reason } => Some(forbidden::denied(user, &create, &reason)),
    }
}

fn authenticate(call: &Call, peer: Peer) -> Result<UserInfo, Status> {
    // One that cannot be read is shown all the same, and known to nobody.
    let authorization = call.headers.get(http::header::AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
    let certificate = match peer {
        Peer::User(user) => return Ok(user),
        Peer::Trusted(user) if authorization.is_none() => return Ok(rdd_auth::authenticate::authenticated(user)),
        Peer::Trusted(_) => None,
        Peer::Anybody(certificate) => certificate,
    };
    let shown = Credentials { authorization, certificate: certificate.as_ref() };
    match call.shared.authenticator.authenticate(shown) {
        Ok(user) => Ok(user),
        Err(Refused::Anonymous) => Ok(rdd_auth::authenticate::anonymous()),
        Err(Refused::Invalid) => Err(Status::unauthorized()),
    }
}

fn access(route: &Route, verb: &str, query: &Query) -> AccessRequest {
    match route {
        Route::Path(path) => AccessRequest::Path { verb: verb.to_owned(), path: path.clone() },
        Route::Resource(path) => AccessRequest::Resource {
            verb: verb.to_owned(),
            group: path.group.clone(),
            version: path.version.clone(),
            resource: path.resource.clone(),
            subresource: path.subresource.clone(),
            namespace: path.namespace.clone(),
            name: name(path, verb, query),
        },
    }
}

/// A list, a watch or a deletecollection of one name counts as access to that name.
fn name(path: &ResourcePath, verb: &str, query: &Query) -> String {
    if !path.name.is_empty() || !matches!(verb, "list" | "watch" | "deletecollection") {
        return path.name.clone();
    }
    // Read as the verbs read it: a selector that only looks like this one must not open other objects.
    let selector = FieldSelector::parse(query.get("fieldSelector").unwrap_or_default()).unwrap_or_default();
    selector.required("metadata.name").unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(verb: &str, query: &str, expect: Option<u64>) {
        let millis = allowed(verb, &Query::parse(Some(query))).ok().map(|d| d.as_millis());
        assert_eq!(millis, expect.map(u128::from), "{verb} {query}");
    }

    fn check_name(verb: &str, query: &str, expect: &str) {
        let path = ResourcePath { resource: "secrets".to_owned(), ..ResourcePath::default() };
        assert_eq!(name(&path, verb, &Query::parse(Some(query))), expect, "{verb} {query}");
    }

    #[test]
    fn a_selector_of_one_name_is_access_to_it() {
        check_name("list", "fieldSelector=metadata.name%3Da", "a");
        check_name("watch", "fieldSelector=type%3Dx%2Cmetadata.name%3D%3Da", "a");
        check_name("create", "fieldSelector=metadata.name%3Da", "");
        check_name("list", "fieldSelector=metadata.name!%3Da", "");
        // One term, of all secrets whose type is not this.
        check_name("list", "fieldSelector=type!%3Dx%5C%2Cmetadata.name%3Da", "");
        check_name("list", "labelSelector=metadata.name%3Da", "");
    }

    #[test]
    fn the_shorter_of_two_timeouts_counts() {
        for verb in ["create", "update", "patch", "delete"] {
            check(verb, "", Some(34_000));
            check(verb, "timeout=60s", Some(34_000));
            check(verb, "timeout=1.5s", Some(1_500));
        }
        for verb in ["get", "list", "deletecollection"] {
            check(verb, "", Some(60_000));
            check(verb, "timeout=0", Some(60_000));
            check(verb, "timeout=32s", Some(32_000));
            check(verb, "timeout=1m30s", Some(60_000));
        }
        check("watch", "timeout=1s", Some(60_000));
        check("get", "timeout=soon", None);
        check("get", "timeout=-1s", None);
    }
}
