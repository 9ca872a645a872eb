//! `POST serviceaccounts/<name>/token`: a token for a ServiceAccount.

use axum::body::Body;
use rdd_api::time::format_time;
use rdd_api::{FieldError, GroupKind, GroupResource, Status, object};
use rdd_auth::service_account_token::{NameAndUid, TokenClaims};
use rdd_registry::builtin;
use rdd_verbs::{Target, parse_dry_run};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::call::Call;
use crate::review_spec;
use crate::service_account_tokens::{ISSUER, find};

const DEFAULT_SECONDS: i64 = 3600;
const LEAST_SECONDS: i64 = 600;
const MOST_SECONDS: i64 = 1 << 32;

/// Answers a request for a token.
pub(crate) async fn handle(call: &Call, sent: Body, target: &Target) -> Result<Answer, Status> {
    let kind = builtin::token_request();
    let mut request = review_spec::read(call, sent, kind).await?;
    // Nothing is stored, so a dry run is what every run is; but the parameter must be one.
    parse_dry_run(&call.query.all("dryRun").collect::<Vec<_>>(), "CreateOptions")?;
    let (namespace, name) =
        (target.namespace.as_deref().unwrap_or_default(), target.name.as_deref().unwrap_or_default());
    check_identity(&request, namespace, name)?;
    let account = find(&call.shared.verbs, "serviceaccounts", namespace, name)?;
    let spec = &request["spec"];
    let seconds = spec["expirationSeconds"].as_i64().unwrap_or(DEFAULT_SECONDS);
    check_seconds(seconds)?;
    let mut audiences: Vec<String> = review_spec::texts(&spec["audiences"]);
    if audiences.is_empty() {
        audiences.push(ISSUER.to_owned());
    }
    let secret = bound_secret(call, &spec["boundObjectRef"], namespace)?;
    let now = call.shared.verbs.clock().now();
    let claims = TokenClaims {
        id: uuid::Uuid::new_v4().to_string(),
        audiences: audiences.clone(),
        issued_at: now.as_second(),
        expires_at: now.as_second() + seconds,
        namespace: namespace.to_owned(),
        account: named(&account),
        secret,
    };
    let token = call.shared.service_accounts.issue(&claims).map_err(Status::internal)?;
    let end = jiff::Timestamp::from_second(claims.expires_at).map_err(Status::internal)?;
    request["metadata"] = json!({"name": name, "namespace": namespace, "creationTimestamp": format_time(now)});
    request["spec"]["audiences"] = json!(audiences);
    request["spec"]["expirationSeconds"] = json!(seconds);
    request["status"] = json!({"token": token, "expirationTimestamp": format_time(end)});
    Ok(Answer::json(201, &request, false))
}

fn check_identity(request: &Value, namespace: &str, name: &str) -> Result<(), Status> {
    let (given, place) = (object::name(request), object::namespace(request));
    if !given.is_empty() && given != name {
        let text = format!("the name of the object ({given}) does not match the name on the URL ({name})");
        return Err(Status::bad_request(text));
    }
    if !place.is_empty() && place != namespace {
        let text = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Status::bad_request(text));
    }
    Ok(())
}

fn check_seconds(seconds: i64) -> Result<(), Status> {
    let problem = match seconds {
        ..LEAST_SECONDS => "may not specify a duration less than 10 minutes",
        LEAST_SECONDS..=MOST_SECONDS => return Ok(()),
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    let kind = builtin::token_request().group_kind();
    Err(Status::invalid(&kind, "", &[FieldError::invalid("spec.expirationSeconds", &json!(seconds), problem)]))
}

/// Finds the object that the token is bound to. Of those that upstream knows, only Secrets are served here.
fn bound_secret(call: &Call, reference: &Value, namespace: &str) -> Result<Option<NameAndUid>, Status> {
    let text = |key: &str| reference[key].as_str().unwrap_or_default();
    if !reference.is_object() {
        return Ok(None);
    }
    let (kind, name, uid) = (text("kind"), text("name"), text("uid"));
    let resource = match (text("apiVersion"), kind) {
        ("v1" | "", "Secret") => "secrets",
        ("v1" | "", "Pod") => return Err(Status::not_found(&GroupResource::new("", "pods"), name)),
        ("v1" | "", "Node") => return Err(Status::not_found(&GroupResource::new("", "nodes"), name)),
        _ => {
            let account = GroupKind { group: String::new(), kind: kind.to_owned() };
            let text = format!("cannot bind token to object of type {account}");
            return Err(Status::bad_request(text));
        }
    };
    let found = find(&call.shared.verbs, resource, namespace, name)?;
    let found = named(&found);
    if !uid.is_empty() && uid != found.uid {
        let text = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object \
                            might have been deleted and then recreated"
        );
        return Err(Status::conflict(&GroupResource::new("", resource), name, &text));
    }
    Ok(Some(found))
}

fn named(found: &Value) -> NameAndUid {
    NameAndUid { name: object::name(found).to_owned(), uid: object::uid(found).to_owned() }
}
