//! Everything that is no API object: discovery, OpenAPI, health, version, metrics.

use http::header::{CACHE_CONTROL, ETAG, EXPIRES, IF_NONE_MATCH, LOCATION, VARY};
use http::{HeaderMap, HeaderValue, Method};
use rdd_api::{Reason, Status};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::call::Call;
use crate::discovery::{aggregated, legacy};
use crate::documents::Document;
use crate::negotiate;
use crate::openapi::gnostic;
use crate::service_account_tokens::ISSUER;
use crate::{answer, health};

/// Answers a path.
pub(crate) fn handle(call: &Call, path: &str) -> Result<Answer, Status> {
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    let found = match segments.as_slice() {
        [] => Some(json(call, &root(call))),
        ["version"] => Some(json(call, &call.shared.version.to_json())),
        ["metrics"] => {
            let text = call.shared.metrics.print(call.shared.verbs.revision());
            Some(Answer::bytes(200, "text/plain; version=0.0.4; charset=utf-8", text))
        }
        [endpoint @ ("healthz" | "livez" | "readyz"), check @ ..] if check.len() <= 1 => {
            health(call, endpoint, check.first().copied())
        }
        ["api"] => Some(discovery(call, true)),
        ["apis"] => Some(discovery(call, false)),
        ["api", version] => legacy::resource_list(call.shared.documents().kinds(), "", version).map(|v| json(call, &v)),
        ["apis", group] => legacy::group(call.shared.documents().kinds(), group).map(|v| json(call, &v)),
        ["apis", group, version] => {
            legacy::resource_list(call.shared.documents().kinds(), group, version).map(|v| json(call, &v))
        }
        [".well-known", "openid-configuration"] => Some(json(call, &openid_configuration())),
        ["openid", "v1", "jwks"] => {
            let keys = answer::json_text(&call.shared.service_accounts.key_set(), false);
            Some(Answer::bytes(200, "application/jwk-set+json", keys))
        }
        ["openapi", "v2"] => Some(openapi_v2(call)?),
        ["openapi", "v3"] => {
            let documents = call.shared.documents();
            Some(document(documents.v3_index(), "application/json", &call.headers))
        }
        ["openapi", "v3", key @ ..] => Some(openapi_v3(call, &key.join("/"))?),
        _ => None,
    };
    let Some(found) = found else { return Err(Status::no_such_path()) };
    if !matches!(call.method, Method::GET | Method::HEAD) {
        let message = "the server does not allow this method on the requested resource";
        return Err(Status::new(405, Reason::METHOD_NOT_ALLOWED, message));
    }
    Ok(found)
}

fn json(call: &Call, value: &Value) -> Answer {
    let pretty = negotiate::agree(&call.headers, call.query.optional_flag("pretty")).is_ok_and(|a| a.pretty);
    Answer::bytes(200, "application/json", answer::json_text(value, pretty))
}

fn root(call: &Call) -> Value {
    let mut paths: Vec<String> = [
        "/.well-known/openid-configuration",
        "/api",
        "/apis",
        "/healthz",
        "/healthz/ping",
        "/livez",
        "/livez/ping",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/openid/v1/jwks",
        "/readyz",
        "/readyz/ping",
        "/readyz/shutdown",
        "/readyz/store",
        "/version",
    ]
    .map(str::to_owned)
    .into();
    for group in call.shared.documents().kinds().groups() {
        let root = if group.name.is_empty() { "/api".to_owned() } else { format!("/apis/{}", group.name) };
        paths.extend(group.versions.iter().map(|version| format!("{root}/{version}")));
        paths.push(root);
    }
    paths.extend(call.shared.readiness.checks().into_iter().map(|(name, _)| format!("/readyz/{name}")));
    paths.sort();
    paths.dedup();
    json!({"paths": paths})
}

/// Where those who are shown a ServiceAccount's token find out who signed it.
fn openid_configuration() -> Value {
    json!({
        "issuer": ISSUER, "jwks_uri": format!("{ISSUER}/openid/v1/jwks"), "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"],
    })
}

fn health(call: &Call, endpoint: &str, one: Option<&str>) -> Option<Answer> {
    let mut checks = vec![("ping".to_owned(), true)];
    if endpoint == "readyz" {
        checks.extend(call.shared.readiness.checks());
        checks.push(("store".to_owned(), call.shared.verbs.can_write()));
        checks.push(("shutdown".to_owned(), !call.stop.is_cancelled()));
    }
    let excluded: Vec<&str> = call.query.all("exclude").collect();
    let verbose = call.query.flag("verbose");
    if let Some(one) = one {
        let (_, holds) = checks.iter().find(|(name, _)| name == one)?;
        return Some(match holds {
            true => Answer::text(200, "ok"),
            false => Answer::text(500, "internal server error: reason withheld\n"),
        });
    }
    let (code, text) = health::answer(endpoint, &checks, &excluded, verbose);
    Some(Answer::text(code, text))
}

fn discovery(call: &Call, core: bool) -> Answer {
    let documents = call.shared.documents();
    if let Some(form) = aggregated::wanted(&call.headers) {
        return document(documents.aggregated(core, form), form.content_type(), &call.headers);
    }
    let value = if core {
        let host = call.headers.get(http::header::HOST).and_then(|v| v.to_str().ok());
        legacy::api_versions(host.or_else(|| call.uri.authority().map(|a| a.as_str())).unwrap_or_default())
    } else {
        legacy::group_list(documents.kinds())
    };
    let mut answer = json(call, &value);
    answer.headers.insert(VARY, HeaderValue::from_static("Accept"));
    answer
}

fn openapi_v2(call: &Call) -> Result<Answer, Status> {
    let documents = call.shared.documents();
    let clauses = negotiate::clauses(&call.headers);
    if clauses.is_empty() {
        return Ok(document(documents.v2_json(), "application/json", &call.headers));
    }
    for clause in &clauses {
        if clause.media_type == gnostic::ASKED || clause.media_type == gnostic::CONTENT_TYPE {
            return Ok(document(documents.v2_protobuf(), gnostic::CONTENT_TYPE, &call.headers));
        }
        if clause.allows("application/json") {
            return Ok(document(documents.v2_json(), "application/json", &call.headers));
        }
    }
    Err(Status::not_acceptable(&format!("application/json, {}", gnostic::ASKED)))
}

fn openapi_v3(call: &Call, key: &str) -> Result<Answer, Status> {
    let documents = call.shared.documents();
    let found = documents.v3(key).ok_or_else(Status::no_such_path)?;
    match call.query.text("hash") {
        None => Ok(document(&found, "application/json", &call.headers)),
        Some(hash) if hash == found.hash => {
            let mut answer = document(&found, "application/json", &call.headers);
            answer.headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
            let in_a_year = call.shared.verbs.clock().now() + jiff::SignedDuration::from_hours(365 * 24);
            let text = in_a_year.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            if let Ok(expires) = HeaderValue::from_str(&text) {
                answer.headers.insert(EXPIRES, expires);
            }
            Ok(answer)
        }
        Some(_) => {
            let url = format!("/openapi/v3/{key}?hash={}", found.hash);
            let mut answer = Answer::text(301, "");
            let location = HeaderValue::from_str(&url).map_err(|_| Status::no_such_path())?;
            answer.headers.insert(LOCATION, location);
            Ok(answer)
        }
    }
}

/// Answers with a document, or with 304 if the client has it.
fn document(document: &Document, content_type: &'static str, request: &HeaderMap) -> Answer {
    let etag = document.etag();
    let known = request.get_all(IF_NONE_MATCH).iter().any(|value| value.as_bytes() == etag.as_bytes());
    let mut answer = if known {
        Answer::bytes(304, content_type, "")
    } else {
        Answer::bytes(200, content_type, document.bytes.clone())
    };
    answer.headers.insert(ETAG, HeaderValue::from_str(&etag).expect("hex is ASCII"));
    answer.headers.insert(VARY, HeaderValue::from_static("Accept"));
    answer.headers.insert(CACHE_CONTROL, HeaderValue::from_static("public"));
    answer
}
